"""The desk's queue: who sees whom, in which order, how it is taken, and how it changes as one looks."""

from __future__ import annotations

import asyncio
import html
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import time_machine

from contact_hub.app import create_app
from contact_hub.citizens.sealed import seal
from contact_hub.city import City
from contact_hub.composition import Parts
from contact_hub.database import now
from contact_hub.settings import read_settings
from contact_hub.staff.access import SYSTEM
from contact_hub.staff.models import Role
from tests.contract.providers import nobody_listens
from tests.fakes import server
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import SECRET, SECRET_KEY, Line, Resident
from tests.hub.test_access import staff_of

HOSTILE = "<img src=x onerror=alert(1)> \"quoted\" & 'more' </script>"
JSON = {"Accept": "application/json"}
Head = dict[str, str]


async def waits(
    line: Line,
    number: str,
    words: str,
    *,
    department: str | None = "waste",
    reason: str = "asked",
    **more: Any,
) -> Resident:
    """Somebody who wrote and waits for a person; `more` is what else stands on their conversation."""
    resident = line.texter(number)
    await resident.does(words=words)
    talk = await resident.conversation()
    more = {"state": "waiting"} | more
    also = "".join(f", {name} = :{name}" for name in more)
    await line.sql(
        "UPDATE conversation SET department = :department, reason = :reason, language = 'en',"
        f" waiting_since = now(), epoch = epoch + 1{also} WHERE id = :id",
        id=talk.id,
        department=department,
        reason=reason,
        **more,
    )
    return resident


async def flag(resident: Resident, level: str, *signals: str) -> None:
    """Somebody's conversation is flagged, for these reasons."""
    talk, said = await resident.conversation(), (await resident.touchpoints())[-1]
    found = [
        {"signal": "words", "weight": 1.0, "evidence": str(said.id), "words": words} for words in signals
    ]
    await resident.line.sql(
        "INSERT INTO flag (id, conversation_id, address_id, touchpoint_id, channel, score, level, signals,"
        " handed_over, raised_at)"
        " VALUES (:id, :talk, :address, :said, 'sms', 0.9, :level, CAST(:signals AS jsonb), true, now())",
        id=uuid.uuid4(),
        talk=talk.id,
        address=talk.address_id,
        said=said.id,
        level=level,
        signals=json.dumps(found),
    )


async def claim(web: httpx.AsyncClient, head: Head, resident: Resident) -> httpx.Response:
    which = (await resident.conversation()).id
    return await web.post(f"/desk/queue/{which}/claim", headers={**head, **JSON})


async def lists(web: httpx.AsyncClient, head: Head, query: str = "") -> dict[str, Any]:
    answer = await web.get(f"/desk/lists?{query}", headers={**head, **JSON})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def id_of(resident: Resident) -> str:
    return str((await resident.conversation()).id)


# Who sees whom ---------------------------------------------------------------------------------------


async def test_only_agents_and_supervisors_sit_at_the_desk(line: Line, web: httpx.AsyncClient) -> None:
    for role in Role:
        _, head = await staff_of(line, f"A {role}", role, "waste")
        allowed = role in {Role.AGENT, Role.SUPERVISOR}
        for path in ("/desk", "/desk/lists", "/desk/counts"):
            assert (await web.get(path, headers=head)).status_code == (200 if allowed else 403), (role, path)
    page = await web.get("/desk?department=waste")
    assert (page.status_code, page.headers["location"]) == (
        303,
        "/staff/login?next=/desk%3Fdepartment%3Dwaste",
    )
    for path in ("/desk/lists", "/desk/counts", "/desk/events"):
        assert (await web.get(path, headers=JSON)).status_code == 401


async def test_an_office_sees_its_own_queue_and_nobody_a_sealed_record_not_theirs(
    line: Line, web: httpx.AsyncClient
) -> None:
    mine = await waits(line, "+15551230001", "the bin again")
    other = await waits(line, "+15551230002", "a parking fine", department="parking")
    unknown = await waits(line, "+15551230003", "nobody knows whose this is", department=None)
    sealed = await waits(line, "+15551230004", "the mayor's own bin")
    ana, ana_in = await staff_of(line, "Ana", Role.AGENT, "waste")
    _, ben_in = await staff_of(line, "Ben", Role.AGENT, "waste")
    _, front_in = await staff_of(line, "Cem", Role.SUPERVISOR, "contact_centre", "parking")
    async with line.database.begin() as session:
        await seal(session, (await sealed.place()).citizen_id, [ana.id], "a councillor", viewer=SYSTEM)

    async def seen(head: Head) -> list[str]:
        return list((await lists(web, head))["lists"]["waiting"])

    assert await seen(ana_in) == [await id_of(mine), await id_of(sealed)]
    assert await seen(ben_in) == [await id_of(mine)]
    assert await seen(front_in) == [await id_of(other), await id_of(unknown)]
    for head in (ben_in, front_in):
        told = (await web.get("/desk", headers=head)).text + json.dumps(await lists(web, head))
        assert "mayor" not in told
    assert "parking fine" not in (await web.get("/desk", headers=ana_in)).text
    for resident in (sealed, other):
        refused = await claim(web, ben_in, resident)
        assert refused.status_code == 404
        assert (await resident.conversation()).state == "waiting"


async def test_taking_what_is_not_ones_own_is_like_taking_what_is_not_there_and_is_written_down(
    line: Line, web: httpx.AsyncClient
) -> None:
    other = await waits(line, "+15551230002", "a parking fine", department="parking")
    which = (uuid.UUID(await id_of(other)), uuid.uuid4())
    heads = {role: (await staff_of(line, f"A {role}", role, "waste"))[1] for role in Role}
    for role, head in heads.items():
        for kind in (JSON, {"Accept": "text/html"}):
            answers = [await web.post(f"/desk/queue/{one}/claim", headers={**head, **kind}) for one in which]
            assert [answer.status_code for answer in answers] == [404, 404], role
            told = {re.sub(r'data-\w+="[^"]*"', "", answer.text) for answer in answers}
            assert len(told) == 1 and "parking fine" not in told.pop()
    trail = await line.sql("SELECT viewer_name, subject FROM audit WHERE action = 'citizen.refused'")
    assert sorted(map(tuple, trail)) == sorted(
        (f"A {role}", str(one)) for role in heads for one in which for _ in range(2)
    )
    assert (await other.conversation()).state == "waiting"


async def test_whoever_watches_the_queue_without_a_stream_is_written_down_now_and_then(
    line: Line, web: httpx.AsyncClient
) -> None:
    await waits(line, "+15551230001", "help")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    for _ in range(3):
        await lists(web, head)
    assert await line.count("audit", "action = 'queue.watched' AND viewer_name = 'Ana'") == 1
    with time_machine.travel(now() + timedelta(minutes=16), tick=True):
        await lists(web, head)
    assert await line.count("audit", "action = 'queue.watched' AND viewer_name = 'Ana'") == 2


# What it shows ---------------------------------------------------------------------------------------


async def test_a_line_says_who_why_since_when_and_by_when(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", "Nobody listens to me", reason="complaint", priority=20)
    await line.sql("UPDATE citizen SET name = 'Orla Byrne'")
    await line.sql(
        "UPDATE conversation SET waiting_since = now() - interval '95 minutes',"
        " promised_at = now() - interval '1 minute', language = 'es'"
    )
    await flag(resident, "unhappy", "sounds angry", "the third contact in 14 days")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    page = (await web.get("/desk", headers=head)).text
    (shown,) = re.findall(r'<li class="talk.*?</form>\s*</li>', page, re.S)
    words = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", shown)))
    for expected in (
        "Orla Byrne",
        "complains",
        "Unhappy",
        "sounds angry",
        "the third contact in 14 days",
        "Nobody listens to me",
        "waits 1 h 35 min",
        "overdue , promised by",
        "SMS",
        "Spanish",
        "Waste and Recycling",
        "Claim",
    ):
        assert expected in words, words
    await line.sql("UPDATE flag SET dismissed_at = now()")
    assert "sounds angry" not in (await web.get("/desk", headers=head)).text


async def test_danger_stands_before_whatever_else_speaks_for_a_conversation(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = await waits(line, "+15551230001", "gas", reason="emergency", priority=100)
    await flag(resident, "unhappy", "sounds angry")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    for path in ("/desk", f"/desk/c/{await id_of(resident)}"):
        page = (await web.get(path, headers=head)).text
        assert page.index('<strong class="alarm">emergency</strong>') < page.index("Unhappy")
    assert (await claim(web, head, resident)).status_code == 200
    assert '<strong class="alarm">emergency</strong>' in (await web.get("/desk", headers=head)).text


async def test_who_waits_in_danger_is_shown_with_the_words_that_told_of_it(
    line: Line, web: httpx.AsyncClient
) -> None:
    other = await waits(line, "+15551230002", "the bin again")
    resident = line.texter("+15551230001")
    await resident.says("there is a gas leak in Mill Lane")
    await resident.does(words="please hurry")
    await line.work()
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    rows = (await lists(web, head))["rows"]
    danger, usual = rows[await id_of(resident)], rows[await id_of(other)]
    assert ">there is a gas leak in Mill Lane</q>" in danger
    assert "please hurry" not in danger
    assert ">the bin again</q>" in usual
    assert (await claim(web, head, resident)).status_code == 200
    assert ">please hurry</q>" in (await lists(web, head))["rows"][await id_of(resident)]


async def test_danger_is_told_once_with_what_has_heard_it_and_only_as_long_as_it_lasts(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = line.texter("+15551230001")
    await resident.says("there is a gas leak in Mill Lane")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    row = (await lists(web, head))["rows"][await id_of(resident)]
    assert '<strong class="alarm">emergency</strong>' in row and "Fixed words of danger." in row
    assert ">Danger<" not in row, "the alarm says it already"
    page = (await web.get(f"/desk/c/{await id_of(resident)}", headers=head)).text
    assert 'href="#panel-flags"' not in page, "nor is it said twice above the conversation"
    assert "Danger, 100 %" in page and "Fixed words of danger." in page
    await line.sql(
        "UPDATE conversation SET priority = 0, reason = 'asked', department = 'waste', read_from = :m",
        m=uuid.UUID(int=2**128 - 1),
    )
    row = (await lists(web, head))["rows"][await id_of(resident)]
    assert "Fixed words" not in row and "danger" not in row


async def test_what_residents_write_is_never_markup(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", HOSTILE, reason=HOSTILE)
    await line.sql("UPDATE citizen SET name = :n", n=HOSTILE)
    await flag(resident, "unhappy", HOSTILE)
    _, head = await staff_of(line, "Ana <b>", Role.AGENT, "waste")
    told = await lists(web, head)
    pages = [(await web.get("/desk", headers=head)).text, *told["rows"].values()]
    for page in pages:
        assert "<img src=x" not in page
        assert "&lt;img src=x onerror=alert(1)&gt;" in page
        assert 'dir="auto"' in page
        bare = re.sub(r'"[^"]*"', '""', page)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", bare)
    assert not re.search(r"<script(?![^>]*\ssrc=)", pages[0])
    assert told["facets"]["reason"] == [[HOSTILE, HOSTILE, 1]], "as text, for the browser to show as text"


async def test_filters_narrow_what_is_shown_and_say_how_many_there_are(
    line: Line, web: httpx.AsyncClient
) -> None:
    first = await waits(line, "+15551230001", "one", reason="complaint")
    await waits(line, "+15551230002", "two", department="parking")
    third = await waits(line, "+15551230003", "three", department=None)
    await line.sql("UPDATE conversation SET language = 'fr' WHERE id = :i", i=await id_of(third))
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste", "parking", "contact_centre")
    told = await lists(web, head)
    assert told["counts"]["waiting"] == 3
    assert told["facets"]["department"] == [
        ["parking", "Parking Services", 1],
        ["waste", "Waste and Recycling", 1],
        ["none", "no department yet", 1],
    ]
    told = await lists(web, head, "reason=complaint")
    assert told["lists"]["waiting"] == [await id_of(first)]
    assert (told["counts"]["waiting"], told["found"]) == (3, "1 of 3")
    assert (await lists(web, head, "department=none&language=fr"))["lists"]["waiting"] == [await id_of(third)]
    assert (await lists(web, head, "channel=telegram"))["lists"]["waiting"] == []
    short = await lists(web, head, "show=2")
    assert (len(short["lists"]["waiting"]), short["more"]) == (2, "show=52")
    page = (await web.get("/desk?reason=complaint", headers=head)).text
    assert '<option value="complaint" data-words="complains" selected>complains (1)</option>' in page
    assert page.count('class="open"') == 1


async def test_no_department_hides_danger(line: Line, web: httpx.AsyncClient) -> None:
    bin_ = await waits(line, "+15551230001", "the bin again")
    await waits(line, "+15551230002", "a parking fine", department="parking")
    danger = await waits(line, "+15551230003", "gas", department=None, reason="emergency", priority=100)
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste", "parking")
    told = await lists(web, head, "department=waste")
    assert told["lists"]["waiting"] == [await id_of(danger), await id_of(bin_)]
    assert told["found"] == "2 of 3"
    page = (await web.get("/desk?department=waste", headers=head)).text
    assert "every department" in page
    assert "every department" in (await web.get(f"/desk/c/{await id_of(danger)}", headers=head)).text
    assert (await claim(web, head, danger)).status_code == 200
    assert (await web.get(f"/desk/c/{await id_of(danger)}", headers=head)).status_code == 200


# Taking ----------------------------------------------------------------------------------------------


async def test_whoever_claims_first_has_it_and_the_other_is_told_who(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = await waits(line, "+15551230001", "help")
    heads = dict([await staff_and_head(line, name) for name in ("Ana", "Ben", "Cem", "Dee")])
    answers = await asyncio.gather(*(claim(web, head, resident) for head in heads.values()))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]
    holder = (await resident.conversation()).holder
    refusals = {answer.json()["reason"] for answer in answers if answer.status_code == 409}
    assert refusals == {f"{holder} is already answering this conversation."}
    which = await id_of(resident)
    for name, head in heads.items():
        told = (await lists(web, head))["lists"]
        assert told["waiting"] == []
        assert (which in told["mine"], which in told["colleagues"]) == (name == holder, name != holder)
    assert await line.count("audit", "action = 'conversation.taken'") == 1


async def staff_and_head(line: Line, name: str) -> tuple[str, Head]:
    return name, (await staff_of(line, name, Role.AGENT, "waste"))[1]


async def test_without_scripts_a_form_takes_it_and_the_page_says_so(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = await waits(line, "+15551230001", "help")
    which = await id_of(resident)
    _, ana = await staff_of(line, "Ana", Role.AGENT, "waste")
    _, ben = await staff_of(line, "Ben", Role.AGENT, "waste")
    page = (await web.get("/desk", headers=ana)).text
    assert f'<form class="claim" method="post" action="/desk/queue/{which}/claim">' in page
    taken = await web.post(f"/desk/queue/{which}/claim", headers={**ana, "Accept": "text/html"})
    assert (taken.status_code, taken.headers["location"]) == (303, "/desk?done=claimed")
    assert "is yours" in (await web.get("/desk?done=claimed", headers=ana)).text
    late = await web.post(f"/desk/queue/{which}/claim", headers={**ben, "Accept": "text/html"})
    assert late.status_code == 409
    assert '<p role="alert" class="wrong" id="wrong">Ana is already answering this conversation.' in late.text
    assert "<title>Error: Queue" in late.text


async def test_another_site_cannot_claim_for_somebody(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", "help")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    which = await id_of(resident)
    for forged in (
        {"Origin": "https://evil.example"},
        {"Origin": PUBLIC_URL, "Sec-Fetch-Site": "cross-site"},
    ):
        answer = await web.post(f"/desk/queue/{which}/claim", headers={**head, **forged})
        assert answer.status_code == 403
    assert (await resident.conversation()).state == "waiting"


async def test_mine_has_the_unanswered_first_and_what_is_put_aside_apart(
    line: Line, web: httpx.AsyncClient
) -> None:
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    answered, late, soon, aside = [
        await waits(line, f"+1555123000{number}", "x", state="agent", holder="Ana") for number in range(1, 5)
    ]
    changes = (
        (answered, "unanswered_since = NULL"),
        (late, "unanswered_since = now() - interval '1 minute'"),
        (soon, "unanswered_since = now() - interval '1 hour'"),
        (aside, "unanswered_since = now(), snoozed_until = now() + interval '1 day'"),
    )
    for resident, change in changes:
        await line.sql(
            f"UPDATE conversation SET waiting_since = NULL, {change} WHERE id = :i", i=await id_of(resident)
        )
    told = (await lists(web, head))["lists"]
    assert told["mine"] == [await id_of(who) for who in (soon, late, answered)]
    assert told["snoozed"] == [await id_of(aside)]
    await line.sql("UPDATE conversation SET snoozed_until = now() - interval '1 second'")
    assert (await lists(web, head))["lists"]["snoozed"] == []


async def test_danger_comes_first_for_whoever_holds_it_and_calls_them_on_every_page(
    line: Line, web: httpx.AsyncClient
) -> None:
    _, ana = await staff_of(line, "Ana", Role.AGENT, "waste")
    _, ben = await staff_of(line, "Ben", Role.AGENT, "waste")
    answered, owed, danger = [await waits(line, f"+1555123000{number}", "x") for number in range(1, 4)]
    for who, minutes, priority in ((answered, None, 0), (owed, 60, 30), (danger, 1, 100)):
        await line.sql(
            "UPDATE conversation SET state = 'agent', holder = 'Ana', waiting_since = NULL, priority = :p,"
            " unanswered_since = now() - make_interval(mins => :m) WHERE id = :i",
            i=await id_of(who),
            m=minutes,
            p=priority,
        )
    await waits(line, "+15551230004", "help")
    told = await lists(web, ana)
    order = [await id_of(who) for who in (danger, owed, answered)]
    assert told["lists"]["mine"] == order
    assert (await lists(web, ben))["lists"]["colleagues"] == order
    hers = {"waiting": 1, "mine": 3, "mentions": 0, "owed": 2, "danger": 1}
    counts = (await web.get("/desk/counts", headers=ana)).json()
    assert counts == hers | {"alarms": [await id_of(danger)]}
    assert told["counts"] | hers == told["counts"]
    his = (await web.get("/desk/counts", headers=ben)).json()
    assert his == {"waiting": 1, "mine": 0, "mentions": 0, "owed": 0, "danger": 0, "alarms": []}
    await line.sql("UPDATE conversation SET unanswered_since = NULL WHERE holder = 'Ana'")
    counts = (await web.get("/desk/counts", headers=ana)).json()
    assert (counts["owed"], counts["danger"], counts["alarms"]) == (0, 0, [])
    await waits(line, "+15551230005", "help", priority=100)
    assert (await web.get("/desk/counts", headers=ben)).json()["danger"] == 1


async def test_reading_the_queue_is_written_down_and_keeps_nobody_awake_by_itself(
    line: Line, web: httpx.AsyncClient
) -> None:
    await waits(line, "+15551230001", "help")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    await web.get("/desk", headers=head)
    (entry,) = await line.sql("SELECT viewer_name, words FROM audit WHERE action = 'queue.read'")
    assert (entry.viewer_name, entry.words) == ("Ana", {"shown": 1})
    await line.sql("UPDATE staff_session SET last_seen_at = now() - interval '20 minutes'")
    for path in ("/desk/lists", "/desk/counts"):
        assert (await web.get(path, headers=head)).status_code == 200
    assert await line.count("staff_session", "last_seen_at > now() - interval '19 minutes'") == 0
    await web.get("/desk", headers=head)
    assert await line.count("staff_session", "last_seen_at > now() - interval '19 minutes'") == 1


# As it changes ---------------------------------------------------------------------------------------


@pytest.fixture
def served(emptied_url: str, tmp_path: Path, city: City) -> Iterator[str]:
    """The web process behind a real socket: its streams end only when somebody hangs up."""
    settings = read_settings(
        civicline_data=tmp_path,
        internal_secret=SECRET,
        secret_key=SECRET_KEY,
        public_url=PUBLIC_URL,
        brain_url=nobody_listens(),
        rasa_url=nobody_listens(),
    )
    parts = Parts(settings, emptied_url, pool_size=5)
    parts.__dict__["city"] = city
    with server.running(create_app(parts)) as url:
        yield url


class Stream:
    """What arrives on a stream of the desk."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self, wanted: str = "queue") -> tuple[str, dict[str, Any]]:
        """The id and the data of the next event of a kind."""
        identity = name = ""
        async with asyncio.timeout(20):
            async for words in self._lines:
                field, _, value = words.partition(": ")
                if field == "id":
                    identity = value
                elif field == "event":
                    name = value
                elif field == "data" and name == wanted:
                    return identity, json.loads(value)
        raise AssertionError(f"the stream ended without {wanted}")


@asynccontextmanager
async def watching(served: str, head: Head, query: str = "", **more: str) -> AsyncIterator[Stream]:
    async with (
        httpx.AsyncClient(base_url=served, timeout=30) as client,
        client.stream("GET", f"/desk/events?{query}", headers={**head, **more}) as response,
    ):
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Stream(response)


@pytest.fixture
async def telling(line: Line) -> AsyncIterator[Line]:
    """A line that tells other processes what happened, as a worker does."""
    await line.wakeups.start()
    yield line
    await line.wakeups.stop()


async def test_whoever_looks_sees_who_comes_and_who_goes(telling: Line, served: str) -> None:
    first = await waits(telling, "+15551230001", "the first")
    _, ana = await staff_of(telling, "Ana", Role.AGENT, "waste")
    _, ben = await staff_of(telling, "Ben", Role.AGENT, "waste")
    async with watching(served, ana) as hers, watching(served, ben) as his:
        for stream in (hers, his):
            _, told = await stream.next()
            assert told["lists"]["waiting"] == [await id_of(first)]
        second = await waits(telling, "+15551230002", "the second", priority=100, reason="emergency")
        telling.wakeups.tell("desk")
        for stream in (hers, his):
            _, told = await stream.next()
            assert told["lists"]["waiting"] == [await id_of(second), await id_of(first)], "most urgent first"
            assert list(told["rows"]) == [await id_of(second)], "only what is new is drawn"
            assert "emergency" in told["rows"][await id_of(second)]
        async with httpx.AsyncClient(base_url=served) as client:
            assert (await claim(client, ana, second)).status_code == 200
        _, told = await hers.next()
        assert (told["lists"]["mine"], told["counts"]["mine"]) == ([await id_of(second)], 1)
        _, told = await his.next()
        assert told["lists"]["colleagues"] == [await id_of(second)]
        assert "with <bdi>Ana</bdi>" in told["rows"][await id_of(second)]


async def test_a_stream_that_broke_goes_on_where_it_was(telling: Line, served: str) -> None:
    await waits(telling, "+15551230001", "the first")
    _, ana = await staff_of(telling, "Ana", Role.AGENT, "waste")
    async with watching(served, ana) as stream:
        mark, told = await stream.next()
        assert len(told["rows"]) == 1
        async with watching(served, ana, **{"Last-Event-ID": mark}) as again:
            await waits(telling, "+15551230002", "the second")
            telling.wakeups.tell("desk")
            _, told = await again.next()
            assert len(told["lists"]["waiting"]) == 2
            assert len(told["rows"]) == 1, "what the browser has is not sent again"
    async with watching(served, ana, **{"Last-Event-ID": "of-another-process"}) as third:
        _, told = await third.next()
        assert len(told["rows"]) == 2


async def test_a_lost_hint_costs_a_look_and_no_news(telling: Line, served: str) -> None:
    _, ana = await staff_of(telling, "Ana", Role.AGENT, "waste")
    async with watching(served, ana) as stream:
        await stream.next()
        resident = await waits(telling, "+15551230001", "nobody hinted at me")
        _, told = await stream.next()
        assert told["lists"]["waiting"] == [await id_of(resident)]


async def test_filters_and_other_offices_hold_for_what_comes_later(telling: Line, served: str) -> None:
    _, ana = await staff_of(telling, "Ana", Role.AGENT, "waste")
    async with watching(served, ana, "reason=complaint") as stream:
        await stream.next()
        await waits(telling, "+15551230001", "not theirs", department="parking", reason="complaint")
        await waits(telling, "+15551230002", "not looked for")
        wanted = await waits(telling, "+15551230003", "looked for", reason="complaint")
        telling.wakeups.tell("desk")
        _, told = await stream.next()
        while told["counts"]["waiting"] < 2:
            _, told = await stream.next()
        assert told["lists"]["waiting"] == [await id_of(wanted)]
        assert list(told["rows"]) in ([await id_of(wanted)], [])
        assert "not theirs" not in json.dumps(told)
