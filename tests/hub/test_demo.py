"""The demonstration: a believable week that leaves nothing behind when it is taken away."""

from __future__ import annotations

import re
import uuid
from contextlib import suppress
from pathlib import Path

import pytest
import time_machine

from contact_hub.city import CityError
from contact_hub.database import now
from contact_hub.demo import script as scripts
from contact_hub.demo import week
from contact_hub.demo.script import Script as Told
from contact_hub.knowledge.service import ArticleIn, import_articles
from contact_hub.managers import reviews
from contact_hub.managers.period import Period
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role
from contact_hub.staff.service import make
from tests.hub.line import Line

SITE = "https://line.larkhaven.example"
FULL = (
    *("citizen", "address", "conversation", "touchpoint", "inbound", "delivery", "answer", "report"),
    *("flag", "reading", "wait", "rating", "review", "merge", "consent", "chat_session", "feed_entry"),
)


async def publish(line: Line, told: Told) -> None:
    """Every article that a story is answered from."""
    names = {
        (language, scripts.words(name, language))
        for story in told.stories
        for doing, name in story.turns
        if doing == "answered"
        for language in ("en", "es")
        if language in story.residents or story.resident
    }
    articles = [
        ArticleIn(name, language, f"About {name}", f"What the city says of {name}.", f"{SITE}/{name}")
        for language, name in sorted(names)
    ]
    await import_articles(line.database, line.neighbours, articles, "here")


@pytest.fixture
async def told(talking: Line) -> Told:
    """The script, on a line whose city has the articles it needs."""
    told = scripts.read(talking.city.folder / "demo")
    await publish(talking, told)
    return told


async def test_a_week_of_sixty_residents_fills_every_view(talking: Line, told: Told) -> None:
    async with talking.database.begin() as session:
        made = await week.make(session, talking.city, told, site_url=SITE)
    assert made.residents == 60
    assert made.conversations >= 80
    assert set(made.links) == {"Maria Keane", "Tom Ryan", "Ines Calvo", "Nuala Byrne"}
    for table in FULL:
        assert await talking.count(table) > 0, table
    # Two languages, three channels, one angry thread on two of them, somebody merged, flags judged.
    spoken = {row.language for row in await talking.sql("SELECT DISTINCT language FROM conversation")}
    assert spoken == {"en", "es"}
    used = {row.channel for row in await talking.sql("SELECT DISTINCT channel FROM address")}
    assert used == {"web_chat", "sms", "telegram", "desk"}
    assert await talking.count("conversation", "state = 'waiting'") >= 3
    assert await talking.count("conversation", "state = 'agent' AND holder IS NOT NULL") >= 1
    assert await talking.count("merge") == 1
    assert await talking.count("review", "verdict IS NULL") > 0
    # Their phones are of the numbers that belong to nobody, in whichever part of North America.
    phones = [row.value for row in await talking.sql("SELECT value FROM address WHERE channel = 'sms'")]
    assert [phone for phone in phones if not re.fullmatch(r"\+120[2-4]55501\d\d", phone)] == []
    # Nothing happened in the future, and nothing is waiting to be sent or read.
    assert await talking.count("touchpoint", "recorded_at > now()") == 0
    assert await talking.count("touchpoint", "recorded_at < now() - interval '9 days'") == 0
    assert await talking.count("task") == 0
    assert await talking.unsettled() == 0


@pytest.mark.parametrize("hour", [1, 9, 17])
async def test_enough_was_judged_to_tell_how_right_the_flags_are_and_what_was_missed(
    talking: Line, told: Told, hour: int
) -> None:
    with time_machine.travel(now().replace(hour=hour, minute=30)):
        async with talking.database.begin() as session:
            await week.make(session, talking.city, told, site_url=SITE)
        async with talking.database.begin() as session:
            period = Period.asked("", "", talking.city.zone, now())
            nuala = Viewer("staff", "Nuala Byrne", uuid.uuid4(), Role.MANAGER)
            found = await reviews.findings(session, nuala, period)
        assert await talking.count("review", "judged_at > :now", now=now()) == 0
    for share in (found.right, found.missed, found.caught):
        assert share is not None
        assert share.n >= 5
        assert 0 < share.low < share.value < share.high < 1, "believable, not perfect"
    assert found.blind > 0
    assert found.to_judge > 0


async def test_it_is_not_made_twice_and_goes_without_a_trace(talking: Line, told: Told) -> None:
    resident = await talking.visitor()
    await resident.says("Hello")
    await resident.says("THIS IS USELESS, I WANT A PERSON!!! A REAL ONE, AT ONCE!!!")
    tables = [*FULL, "staff"]
    before = {table: await talking.count(table) for table in tables}
    async with talking.database.begin() as session:
        assert await week.real(session) == 1
        await week.make(session, talking.city, told, site_url=SITE)
    async with talking.database.begin() as session:
        with pytest.raises(week.NotNow, match="there already"):
            await week.make(session, talking.city, told, site_url=SITE)
        assert await week.real(session) == 1
        assert await week.remove(session) == 60
    assert {table: await talking.count(table) for table in tables} == before
    assert await talking.count("kept_count") == 0
    assert await talking.count("erasure") == 0


async def test_it_takes_nobodys_account(talking: Line, told: Told) -> None:
    async with talking.database.begin() as session:
        await make(session, "maria keane", Role.AGENT, ["waste"])
    with pytest.raises(week.NotNow, match="Maria Keane works here already"):
        async with talking.database.begin() as session:
            await week.make(session, talking.city, told, site_url=SITE)
    assert await talking.count("citizen") == 0


async def test_without_the_citys_articles_it_says_what_to_do_and_changes_nothing(talking: Line) -> None:
    told = scripts.read(talking.city.folder / "demo")
    with suppress(week.NotNow):
        async with talking.database.begin() as session:
            await week.make(session, talking.city, told, site_url=SITE)
        pytest.fail("the demonstration was made without articles")
    assert await talking.count("citizen") == 0


def test_a_wrong_script_is_named_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "people.yml").write_text("en: [Ada]\n")
    (tmp_path / "stories.yml").write_text("stories:\n- key: one\n  turns:\n  - sings: aria\n")
    with pytest.raises(CityError, match="a turn of 'one' must be one of"):
        scripts.read(tmp_path)
    (tmp_path / "stories.yml").unlink()
    with pytest.raises(CityError, match=r"stories.yml is missing"):
        scripts.read(tmp_path)
