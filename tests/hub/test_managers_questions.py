"""From questions without an answer to an article, and the news to those who asked."""

from __future__ import annotations

import asyncio
import re
import threading
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
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
from contact_hub.journey import clock
from contact_hub.journey.found import tell_those_who_asked
from contact_hub.knowledge import drafts
from contact_hub.managers import questions
from contact_hub.managers.markdown import rendered
from contact_hub.settings import read_settings
from contact_hub.staff.models import Role
from tests.contract.providers import nobody_listens
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import SECRET, SECRET_KEY, Line, Resident, Script, found, turn
from tests.hub.test_staff import Browsers, browsers, hire, sign_in

__all__ = ["browsers"]

YES = "use my messages"
PARK = "[Lark Park](https://www.larkhaven.example/parks)"
TEXT = f"## Drones\n\nYou may fly a **small** drone in {PARK} until dusk."


@pytest.fixture
async def web(
    emptied_url: str, tmp_path: Path, whole_city: City, script: Script
) -> AsyncIterator[httpx.AsyncClient]:
    """The whole web process with a scripted brain."""
    settings = read_settings(
        civicline_data=tmp_path,
        internal_secret=SECRET,
        secret_key=SECRET_KEY,
        public_url=PUBLIC_URL,
        brain_url=script.url,
        rasa_url=nobody_listens(),
    )
    parts = Parts(settings, emptied_url, pool_size=3)
    parts.__dict__["city"] = whole_city
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(parts)), base_url=PUBLIC_URL
    ) as client:
        yield client
    await parts.close()


@pytest.fixture
async def people(asking: Line, browsers: Browsers) -> dict[str, httpx.AsyncClient]:
    """Two who may write and publish, signed in."""
    made = {}
    for name, role in (("Nora Ek", Role.MANAGER), ("Sam Waste", Role.SUPERVISOR)):
        await hire(asking, name, role, "waste")
        made[name] = browsers()
        await sign_in(made[name], name)
    return made


async def asks(
    line: Line, script: Script, words: str, *, language: str = "en", agrees: bool = True
) -> Resident:
    """Somebody whose question has no answer, and who perhaps agrees to its use."""
    script.on_turn = lambda asked: turn({"answer": found("refused")})
    script.on_read = lambda asked: {"language": language, "confidence": 0.9}
    resident = await line.visitor(language)
    await resident.says(words)
    if agrees:
        await resident.says(YES)
    return resident


async def test_what_the_bot_took_for_none_of_its_business_is_a_question_without_an_answer_as_well(
    asking: Line, script: Script
) -> None:
    script.on_turn = lambda asked: turn(
        {"say": "out_of_scope", "unanswered": found("clarified")}, intent="out_of_scope"
    )
    ana = await asking.visitor()
    (words,) = await ana.says("May I keep bees on my roof?")
    assert words.startswith(asking.city.say("out_of_scope", "en"))
    await ana.says(YES)
    async with asking.database.begin() as session:
        (question,) = await questions.open_questions(session)
    assert (question.question, question.outcome) == ("May I keep bees on my roof?", "refused")


async def test_a_question_that_was_asked_back_about_counts_until_something_was_answered(
    asking: Line, script: Script
) -> None:
    async def open_ones() -> list[str]:
        async with asking.database.begin() as session:
            return [one.question for one in await questions.open_questions(session)]

    script.on_turn = lambda asked: turn({"answer": found("clarified")})
    ana, ben = await asking.visitor(), await asking.visitor()
    for resident, words in ((ana, "May I keep bees in the city?"), (ben, "Bees on my roof?")):
        await resident.says(words)
        await resident.says(YES)
    assert await open_ones() == ["Bees on my roof?", "May I keep bees in the city?"]
    script.on_turn = lambda asked: turn({"answer": found("answered")})
    await ben.says("On a flat roof, I mean")
    assert await open_ones() == ["May I keep bees in the city?"]


def _says(nonsense: object, texts: list[str]) -> object:
    return nonsense


async def answers_of(line: Line) -> list[uuid.UUID]:
    return [row.id for row in await line.sql("SELECT id FROM answer ORDER BY id")]


async def begun(person: httpx.AsyncClient, answers: list[uuid.UUID]) -> str:
    done = await person.post("/managers/drafts", data={"answers": [str(answer) for answer in answers]})
    assert done.status_code == 303, done.text
    return str(done.headers["location"])


def form(**changes: str) -> dict[str, str]:
    return {
        "topic": "environment-and-parks",
        "language": "en",
        "title": "Flying a drone",
        "text": TEXT,
        "url": "https://www.larkhaven.example/parks/drones",
        "then": "review",
        **changes,
    }


async def read_at(person: httpx.AsyncClient, where: str) -> str:
    """The version of an article that is on a person's page."""
    found = re.search(r'name="changed_at" value="([^"]*)"', (await person.get(where)).text)
    return found[1] if found else ""


async def writes(person: httpx.AsyncClient, where: str, written: dict[str, str]) -> httpx.Response:
    """A person opens an article, changes it and saves."""
    return await person.post(where, data={"changed_at": await read_at(person, where), **written})


# Finding the questions -----------------------------------------------------------------------------


async def test_questions_are_grouped_by_meaning_and_only_of_those_who_agreed(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone? Call +353 1 555 0199")
    await asks(asking, script, "¿Puedo volar un dron?", language="es")
    await asks(asking, script, "When does the ice rink open? <script>alert(1)</script>")
    await asks(asking, script, "My neighbour Joe is a spy", agrees=False)
    grouped: list[list[str]] = []

    def group(texts: list[str]) -> list[list[int]]:
        grouped.append(texts)
        drones = [at for at, words in enumerate(texts) if "dron" in words]
        return [drones, *([at] for at in range(len(texts)) if at not in drones)]

    script.on_group = group
    page = (await people["Nora Ek"].get("/managers/questions")).text
    assert "2 questions" in page and "1 question<" in page
    assert "¿Puedo volar un dron?" in page and 'lang="es"' in page
    assert "[phone]" in page and "555 0199" not in page
    assert "&lt;script&gt;" in page and "<script>alert" not in page
    assert "spy" not in page
    assert all("spy" not in words for words in grouped[0]), "nor does the brain see them"


async def test_with_the_brain_away_the_questions_are_there_all_the_same(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    for nonsense in ("no groups", [[0, 0]], [[7]], [["x"]]):
        script.on_group = partial(_says, nonsense)
        page = await people["Nora Ek"].get("/managers/questions")
        assert page.status_code == 200
        assert "the brain does not answer" in page.text and "May I fly a drone?" in page.text


async def test_what_is_being_written_about_is_no_open_question(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    where = await begun(people["Nora Ek"], await answers_of(asking))
    assert "There is no open question" in (await people["Nora Ek"].get("/managers/questions")).text
    await people["Nora Ek"].post(f"{where}/discard")
    assert "1 question<" in (await people["Nora Ek"].get("/managers/questions")).text


async def test_what_somebody_asked_whose_record_is_sealed_is_no_open_question(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    resident = await asks(asking, script, "May I fly a drone over 12 Quay Street?")
    async with asking.database.begin() as session:
        await seal(session, (await resident.place()).citizen_id, [], "a councillor")
    assert "Quay Street" not in (await people["Nora Ek"].get("/managers/questions")).text


async def test_questions_that_are_taken_push_no_older_ones_out(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_QUESTIONS", 2)
    asked = ("Bees?", "May I fly a drone?", "And my big drone?", "A small one?")
    for words in asked:
        await asks(asking, script, words)
    oldest, *_, last_but_one, newest = await answers_of(asking)
    await begun(people["Nora Ek"], [last_but_one, newest])
    async with asking.database.begin() as session:
        found = await questions.open_questions(session)
    assert [one.question for one in found] == ["May I fly a drone?", "Bees?"]
    # What is asked between the page and the click takes nothing out of the article.
    for words in ("Owls?", "Bats?"):
        await asks(asking, script, words)
    await begun(people["Nora Ek"], [oldest])
    assert await asking.count("draft_article", "answers = CAST(:a AS jsonb)", a=f'["{oldest}"]') == 1


async def test_whoever_withdraws_meanwhile_is_left_out(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    resident = await asks(asking, script, "May I fly a drone?")
    answers = await answers_of(asking)
    await resident.says("do not use my messages")
    refused = await people["Nora Ek"].post("/managers/drafts", data={"answers": [str(a) for a in answers]})
    assert refused.status_code == 422
    assert await asking.count("draft_article") == 0


# Writing and publishing ----------------------------------------------------------------------------


async def test_two_clicks_hand_an_article_in_and_another_person_publishes_it(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone in the park?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    where = await begun(nora, await answers_of(asking))
    prefilled = (await nora.get(where)).text
    assert 'value="May I fly a drone in the park?"' in prefilled
    assert 'value="https://www.larkhaven.example"' in prefilled
    assert '<option value="births-deaths-marriages">Births, deaths and marriages</option>' in prefilled
    assert re.findall(r"<option[^>]* selected>([^<]*)", prefilled) == ["English"], "no topic is guessed"
    assert (await writes(nora, where, form())).headers["location"] == f"{where}?done=review"
    mine = (await nora.get(where)).text
    assert "Somebody else has to read and publish" in mine
    refused = await nora.post(f"{where}/publish")
    assert refused.status_code == 422 and "Somebody else" in refused.text
    shown = (await sam.get(where)).text
    assert "May I fly a drone in the park?" in shown, "what was asked stands beside what is answered"
    assert shown.index('id="publish"') < shown.index('id="write"'), "who reviews reads first"
    assert "<strong>small</strong>" in shown and 'href="https://www.larkhaven.example/parks"' in shown
    done = await sam.post(f"{where}/publish")
    assert done.headers["location"] == "/managers/questions?done=published"
    (row,) = await asking.sql("SELECT * FROM draft_article")
    assert (row.state, row.written_by, row.reviewed_by) == ("published", "Nora Ek", "Sam Waste")
    (article,) = await asking.sql(
        "SELECT v.article, v.title, v.url FROM article_version v JOIN knowledge_entry e"
        " ON e.article_version_id = v.id WHERE e.number = :n",
        n=row.knowledge_version,
    )
    assert tuple(article) == ("environment-and-parks/flying-a-drone", "Flying a drone", form()["url"])
    assert await asking.count("passage") == 1, "searchable at once"
    trail = await asking.sql(
        "SELECT action, viewer_name FROM audit WHERE action LIKE 'draft.%' ORDER BY number"
    )
    assert [tuple(entry) for entry in trail] == [
        ("draft.begun", "Nora Ek"),
        ("draft.written", "Nora Ek"),
        ("draft.review", "Nora Ek"),
        ("draft.published", "Sam Waste"),
    ]


async def test_whoever_changes_an_article_cannot_publish_it_either(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    where = await begun(nora, await answers_of(asking))
    await writes(nora, where, form())
    await writes(sam, where, form(text="Never."))
    assert (await sam.post(f"{where}/publish")).status_code == 422, "it must be handed in again"
    await writes(sam, where, form(text="Never."))
    assert (await sam.post(f"{where}/publish")).status_code == 422, "it is Sam's article now"
    assert (await nora.post(f"{where}/publish")).status_code == 303


async def test_two_who_write_at_once_do_not_overwrite_each_other_unknowingly(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    where = await begun(nora, await answers_of(asking))
    before = await read_at(nora, where)
    await writes(sam, where, form(text="Only with a *permit*.", then="save"))
    mine = form(text="Never at night.", then="review")
    for _ in range(2):  # not even by pressing the old page's button again
        refused = await nora.post(where, data={"changed_at": before, **mine})
        assert refused.status_code == 422
    assert "was changed meanwhile, and yours was not saved" in refused.text
    assert ">Never at night.</textarea>" in refused.text, "what was typed is kept"
    assert "As it is saved now, by Sam Waste" in refused.text and "<em>permit</em>" in refused.text
    (row,) = await asking.sql("SELECT state, text, written_by FROM draft_article")
    assert tuple(row) == ("draft", "Only with a *permit*.", "Sam Waste")
    (seen,) = re.findall(r'name="changed_at" value="([^"]*)"', refused.text)
    assert (await nora.post(where, data={"changed_at": seen, **mine})).status_code == 303
    (row,) = await asking.sql("SELECT state, text, written_by FROM draft_article")
    assert tuple(row) == ("review", "Never at night.", "Nora Ek")


async def test_who_saves_the_same_twice_is_told_nothing_and_a_page_without_its_version_saves_nothing(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora = people["Nora Ek"]
    where = await begun(nora, await answers_of(asking))
    sent = {"changed_at": await read_at(nora, where), **form(then="save")}
    assert [(await nora.post(where, data=sent)).status_code for _ in range(2)] == [303, 303]
    assert (await nora.post(where, data=form(text="Never."))).status_code == 422
    wrong = await nora.post(where, data=form(title=" ", text="Never."))
    assert wrong.status_code == 422 and 'name="changed_at" value=""' in wrong.text


@dataclass
class Embedding:
    """A brain in the middle of an article, until it is let go on."""

    script: Script
    begun: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.begun.wait, 10)

    def embedded(self, articles: list[dict[str, Any]]) -> dict[str, Any]:
        self.begun.set()
        assert self.over.wait(10)
        return self.script.embedded(articles)


@pytest.fixture
def embedding(script: Script) -> Iterator[Embedding]:
    made = Embedding(script)
    script.on_passages = made.embedded
    yield made
    made.over.set()


@pytest.mark.parametrize("meanwhile", ["discard", "back", "write"])
async def test_whoever_is_first_while_the_brain_computes_wins_and_the_publisher_is_told(
    asking: Line,
    script: Script,
    people: dict[str, httpx.AsyncClient],
    embedding: Embedding,
    meanwhile: str,
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    where = await begun(nora, await answers_of(asking))
    await writes(nora, where, form())
    publishing = asyncio.create_task(sam.post(f"{where}/publish"))
    await embedding.wait()
    changed = form(text="Never.")  # and handed in at once: it still is not what Sam has read
    done = await (writes(nora, where, changed) if meanwhile == "write" else nora.post(f"{where}/{meanwhile}"))
    assert done.status_code == 303
    embedding.over.set()
    refused = await publishing
    assert refused.status_code == 422
    told = "discarded" if meanwhile == "discard" else "changed the article meanwhile"
    assert told in refused.text
    assert await asking.count("knowledge_version") == 0, "residents find nothing of it"
    assert await asking.count("article_version") == 0
    assert await asking.count("draft_article", "state = 'published'") == 0
    assert await asking.count("audit", "action = 'draft.published'") == 0


async def test_whoever_comes_after_the_publishing_is_told_who_published(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    where = await begun(nora, await answers_of(asking))
    await writes(nora, where, form())
    await sam.post(f"{where}/publish")
    for late in (
        nora.post(f"{where}/discard"),
        nora.post(f"{where}/back"),
        writes(nora, where, form(text="Never.")),
        nora.post(f"{where}/publish"),
    ):
        refused = await late
        assert refused.status_code == 422
        assert "Sam Waste has published this article" in refused.text
    (row,) = await asking.sql("SELECT state, text FROM draft_article")
    assert tuple(row) == ("published", TEXT)


async def test_two_publish_at_once_and_one_of_them_is_told(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient], browsers: Browsers
) -> None:
    await asks(asking, script, "May I fly a drone?")
    nora, sam = people["Nora Ek"], people["Sam Waste"]
    await hire(asking, "Pat Roe", Role.MANAGER)
    pat = browsers()
    await sign_in(pat, "Pat Roe")
    where = await begun(nora, await answers_of(asking))
    await writes(nora, where, form())
    both = await asyncio.gather(*(one.post(f"{where}/publish") for one in (sam, pat)))
    assert sorted(answer.status_code for answer in both) == [303, 422]
    assert "has published this article" in next(a.text for a in both if a.status_code == 422)
    assert await asking.count("knowledge_version") == 1


async def test_with_the_brain_away_nothing_is_published(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    where = await begun(people["Nora Ek"], await answers_of(asking))
    await writes(people["Nora Ek"], where, form())
    script.on_passages = lambda articles: (503, {"detail": "loading"})
    answer = await people["Sam Waste"].post(f"{where}/publish")
    assert answer.status_code == 503 and "nothing was imported" in answer.text
    assert await asking.count("draft_article", "state = 'review'") == 1
    script.on_passages = None
    assert (await people["Sam Waste"].post(f"{where}/publish")).status_code == 303


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "  "},
        {"title": "x" * 201},
        {"topic": ""},
        {"topic": "dragons"},
        {"language": "tlh"},
        {"url": "javascript:alert(1)"},
        {"url": "www.larkhaven.example"},
        {"url": "https://"},
        {"text": "x" * 20_001},
        {"text": " "},
    ],
)
async def test_what_no_article_can_be_is_refused_and_nothing_typed_is_lost(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient], changes: dict[str, str]
) -> None:
    await asks(asking, script, "May I fly a drone?")
    where = await begun(people["Nora Ek"], await answers_of(asking))
    answer = await writes(people["Nora Ek"], where, form(**changes))
    assert answer.status_code == 422
    assert "until dusk" in answer.text or "text" in changes
    assert await asking.count("draft_article", "state = 'draft'") == 1


async def test_a_name_that_is_taken_is_not_taken_over(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    for words in ("May I fly a drone?", "And my big drone?"):
        await asks(asking, script, words)
    first, second = await answers_of(asking)
    for answer, status in ((first, 303), (second, 422)):
        where = await begun(people["Nora Ek"], [answer])
        await writes(people["Nora Ek"], where, form())
        assert (await people["Sam Waste"].post(f"{where}/publish")).status_code == status


@pytest.mark.parametrize(
    ("text", "never"),
    [
        ("<script>alert(1)</script>", "<script"),
        ("<img src=x onerror=alert(1)>", "<img"),
        ("[x](javascript:alert(1))", "href"),
        ("[x](JaVaScRiPt:alert(1))", "href"),
        ("[x](data:text/html,hello)", "href"),
        ("[x](vbscript:x)", "href"),
        ("[x](//evil.example)", "href"),
        ("![x](https://evil.example/pixel.png)", "<img"),
        ('<https://evil.example/"onmouseover=alert(1)>', 'onmouseover="'),
        ("[x]: javascript:alert(1)\n[x]", 'javascript:alert(1)"'),
    ],
)
def test_a_preview_holds_no_markup_of_its_own(text: str, never: str) -> None:
    assert never not in rendered(text)


def test_a_preview_shows_what_articles_are_made_of() -> None:
    shown = rendered(
        "# A\n\n- one\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n[mail](mailto:a@b.example) [call](tel:112)"
    )
    for tag in ("<h1>", "<li>", "<td>", 'href="mailto:a@b.example"', 'href="tel:112"'):
        assert tag in shown


# Telling those who asked ---------------------------------------------------------------------------


async def published(people: dict[str, httpx.AsyncClient], answers: list[uuid.UUID]) -> None:
    where = await begun(people["Nora Ek"], answers)
    await writes(people["Nora Ek"], where, form())
    assert (await people["Sam Waste"].post(f"{where}/publish")).status_code == 303


def news(line: Line, question: str, language: str = "en") -> str:
    beginning = "You may fly a small drone in Lark Park until dusk."
    return line.city.say("answer_found", language, question=question, answer=beginning)


async def test_those_who_asked_and_agreed_are_told_once_in_their_language(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    told = await asks(asking, script, "May I fly a drone?")
    await told.says("And a very small drone?")
    spanish = await asks(asking, script, "¿Puedo volar un dron?", language="es")
    silent = await asks(asking, script, "Drones in the park?")
    for resident in (told, spanish):
        await resident.says("send me alerts")
    await published(people, await answers_of(asking))
    before = len(await told.reads())
    with time_machine.travel(_at_noon(), tick=True):
        for _ in range(3):
            await clock.once(asking.writer, asking.wakeups, {"tell": tell_those_who_asked})
            await asking.work()
    assert (await told.reads())[before:] == [news(asking, "And a very small drone?")]
    last = (await told.written())[-1]
    assert last.payload["sources"] == [{"title": "Flying a drone", "url": form()["url"]}]
    assert (await spanish.reads())[-1] == news(asking, "¿Puedo volar un dron?", "es")
    assert not any("until dusk" in words for words in await silent.reads())
    assert await asking.count("answer", "told_at IS NOT NULL") == 3


def _at_noon() -> datetime:
    """Noon of today or tomorrow in the city, whichever is still to come."""
    today = now().replace(hour=12, minute=0)
    return today if today > now() else today + timedelta(days=1)


async def test_nobody_is_told_at_night_nor_against_their_will(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    resident = await asks(asking, script, "May I fly a drone?")
    await resident.says("send me alerts")
    await published(people, await answers_of(asking))
    before = await resident.reads()
    with time_machine.travel(_at_noon() + timedelta(hours=11), tick=True):
        assert await tell_those_who_asked(asking.writer) == ()
    await resident.says("no more alerts")
    with time_machine.travel(_at_noon(), tick=True):
        await tell_those_who_asked(asking.writer)
    assert not any("until dusk" in words for words in (await resident.reads())[len(before) :])


async def test_while_a_person_looks_after_somebody_the_news_waits(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    resident = await asks(asking, script, "May I fly a drone?")
    await resident.says("send me alerts")
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await resident.says("A person please")
    await published(people, await answers_of(asking))
    with time_machine.travel(_at_noon(), tick=True):
        await tell_those_who_asked(asking.writer)
        assert await asking.count("answer", "told_at IS NOT NULL") == 0


async def test_the_news_waits_as_well_while_a_person_looks_after_them_about_something_else(
    asking: Line, script: Script, people: dict[str, httpx.AsyncClient]
) -> None:
    resident = await asks(asking, script, "May I fly a drone?")
    await resident.says("send me alerts")
    await published(people, await answers_of(asking))
    await asking.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    await resident.says("A person please")
    with time_machine.travel(_at_noon(), tick=True):
        await tell_those_who_asked(asking.writer)
        assert await asking.count("answer", "told_at IS NOT NULL") == 0
        await asking.sql("UPDATE conversation SET state = 'closed', closed_at = now()")
        await tell_those_who_asked(asking.writer)
    assert await asking.count("answer", "told_at IS NOT NULL") == 1


def test_an_article_without_latin_letters_has_a_name_all_the_same() -> None:
    title = "可以在公园里放飞无人机吗"
    name = drafts._name("pets", title)
    assert name.startswith("pets/article-") and name == drafts._name("pets", title)
