"""The desk's other pages: what was ever said, a citizen's history, colleagues, and being named."""

from __future__ import annotations

import html
import re

import httpx

from contact_hub.staff.models import Role
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import Line, Resident
from tests.hub.test_access import staff_of
from tests.hub.test_desk_queue import HOSTILE, waits

UNKNOWN = "01990000-0000-7000-8000-000000000000"


async def closed(line: Line, number: str, words: str, department: str = "waste") -> Resident:
    """Somebody whose conversation is over."""
    resident = await waits(line, number, words, department=department)
    talk = await resident.conversation()
    await line.sql("UPDATE conversation SET state = 'closed', closed_at = now() WHERE id = :i", i=talk.id)
    return resident


def words_of(page: httpx.Response) -> str:
    """What a page says, without its markup."""
    main = page.text.partition("<main")[2].partition("</main>")[0]
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", "", main)))


async def test_only_the_desk_searches(line: Line, web: httpx.AsyncClient) -> None:
    for role in Role:
        _, head = await staff_of(line, f"A {role}", role, "waste")
        expected = 200 if role in {Role.AGENT, Role.SUPERVISOR} else 403
        for path in ("/desk/search", "/desk/search?q=bin", "/desk/people", "/desk/mentions"):
            assert (await web.get(path, headers=head)).status_code == expected, (role, path)
        kept = await web.post("/desk/search/saved?q=bin", data={"name": "bins"}, headers=head)
        assert kept.status_code == (303 if expected == 200 else 403)
    assert (await web.get("/desk/search?q=bin")).status_code == 303


async def test_an_agent_finds_what_is_theirs_and_with_a_reason_what_is_not(
    line: Line, web: httpx.AsyncClient
) -> None:
    await waits(line, "+15551230001", "my recycling bin is broken")
    await closed(line, "+15551230002", "the recycling truck never came", "parking")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    mine = await web.get("/desk/search?q=recycling", headers=head)
    assert "my <mark>recycling</mark> bin is broken" in mine.text
    assert "truck" not in mine.text
    wide = await web.get("/desk/search?q=recycling&reason=she+called+about+it", headers=head)
    assert "the <mark>recycling</mark> truck never came" in wide.text
    assert 'name="reason" value="she called about it"' in wide.text
    assert "reason=she%20called%20about%20it" in wide.text, "what is opened from here carries the reason on"
    rows = await line.sql("SELECT words FROM audit WHERE action = 'search' ORDER BY number")
    assert [row.words for row in rows] == [{"shown": 1}, {"shown": 2, "reason": "she called about it"}]
    assert await line.count("audit", "action = 'search.shown'") == 3
    assert await line.count("audit", "words::text LIKE '%recycling%'") == 0, "not what they looked for"


async def test_people_are_found_by_name_and_by_number(line: Line, web: httpx.AsyncClient) -> None:
    await waits(line, "+353871234567", "hello")
    await line.sql("UPDATE citizen SET name = 'Orla Byrne'")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    for typed in ("orla", "087 123 4567"):
        found = words_of(await web.get("/desk/search", params={"q": typed}, headers=head))
        assert "Orla Byrne" in found


async def test_filters_days_and_order_narrow_a_search(line: Line, web: httpx.AsyncClient) -> None:
    await waits(line, "+15551230001", "recycling one")
    second = await waits(line, "+15551230002", "recycling two", state="agent", holder="Ana")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")

    async def found(**more: str) -> str:
        return words_of(await web.get("/desk/search", params={"q": "recycling", **more}, headers=head))

    for narrowing in ({"state": "agent"}, {"state": "agent", "channel": "sms", "order": "relevance"}):
        shown = await found(**narrowing)
        assert ("recycling two" in shown, "recycling one" in shown) == (True, False)
    assert "Nothing was found" in await found(channel="telegram")
    assert "Nothing was found" in await found(until="2020-01-01")
    assert "recycling one" in await found(since="2020-01-01", until="2999-01-01", kind="text")
    wrong = await web.get("/desk/search", params={"q": "recycling", "since": "yesterday"}, headers=head)
    assert (wrong.status_code, "A day looks like" in wrong.text) == (422, True)
    nothing = await web.get("/desk/search", params={"q": "-recycling"}, headers=head)
    assert (nothing.status_code, "at least one word" in nothing.text) == (422, True)
    link = re.findall(r'href="(/desk/c/[^"]+)"', (await web.get("/desk/search?q=two", headers=head)).text)
    assert link[0].startswith(f"/desk/c/{(await second.conversation()).id}?at=")


async def test_a_long_search_goes_on_page_by_page(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", "recycling 0")
    for number in range(1, 25):
        await resident.does(words=f"recycling {number}")
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    page = await web.get("/desk/search?q=recycling", headers=head)
    seen = re.findall(r"<mark>recycling</mark> (\d+)", page.text)
    (more,) = re.findall(r'href="(/desk/search\?[^"]*cursor=[^"]*)"', page.text)
    page = await web.get(html.unescape(more), headers=head)
    seen += re.findall(r"<mark>recycling</mark> (\d+)", page.text)
    assert [int(number) for number in seen] == list(range(24, -1, -1))
    assert "cursor=" not in page.text


async def test_what_was_said_and_typed_is_never_markup(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", HOSTILE)
    await line.sql("UPDATE citizen SET name = :n", n=HOSTILE)
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    who = (await resident.place()).citizen_id
    await web.post("/desk/search/saved?q=quoted", data={"name": HOSTILE}, headers=head)
    pages = [
        await web.get("/desk/search", params={"q": "quoted", "reason": HOSTILE}, headers=head),
        await web.get("/desk/search", params={"q": HOSTILE}, headers=head),
        await web.get(f"/desk/citizens/{who}", params={"reason": HOSTILE}, headers=head),
    ]
    for page in pages:
        assert page.status_code == 200
        assert "<img src=x" not in page.text
        assert not re.search(r"<script(?![^>]*\ssrc=)", page.text)
        assert not re.search(r"<[^>]*\s(style|on\w+)=", re.sub(r'"[^"]*"', '""', page.text))


async def test_searches_are_kept_and_forgotten_by_their_owner_alone(
    line: Line, web: httpx.AsyncClient
) -> None:
    _, ana = await staff_of(line, "Ana", Role.AGENT, "waste")
    _, ben = await staff_of(line, "Ben", Role.AGENT, "waste")
    address = "/desk/search/saved?q=recycling&channel=sms&reason=of+the+day"
    kept = await web.post(address, data={"name": "Bins by phone"}, headers=ana)
    assert kept.status_code == 303
    page = (await web.get("/desk/search", headers=ana)).text
    assert 'href="/desk/search?q=recycling&amp;channel=sms"' in page
    (which,) = re.findall(r"/desk/search/saved/([0-9a-f-]{36})/forget", page)
    assert "Bins by phone" not in (await web.get("/desk/search", headers=ben)).text
    await web.post(f"/desk/search/saved/{which}/forget", headers=ben)
    assert "Bins by phone" in (await web.get("/desk/search", headers=ana)).text
    await web.post(f"/desk/search/saved/{which}/forget", headers=ana)
    assert await line.count("saved_search") == 0
    unnamed = await web.post("/desk/search/saved?q=bin", data={"name": " "}, headers=ana)
    assert (unnamed.status_code, "needs a name" in unnamed.text) == (422, True)
    evil = {**ana, "Origin": "https://evil.example"}
    assert (await web.post("/desk/search/saved?q=x", data={"name": "x"}, headers=evil)).status_code == 403


# A citizen's history ---------------------------------------------------------------------------------


async def test_a_history_is_read_page_by_page_by_whoever_may(line: Line, web: httpx.AsyncClient) -> None:
    resident = await waits(line, "+15551230001", "message 0")
    for number in range(1, 60):
        await resident.does(words=f"message {number}")
    who = (await resident.place()).citizen_id
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    page = await web.get(f"/desk/citizens/{who}", headers=head)
    seen = re.findall(r">message (\d+)<", page.text)
    (older,) = re.findall(r'href="(/desk/citizens/[^"]+before=[^"]+)"', page.text)
    page = await web.get(html.unescape(older), headers=head)
    seen += re.findall(r">message (\d+)<", page.text)
    assert [int(number) for number in seen] == list(range(59, -1, -1))
    assert "Go to the newest" in page.text
    assert await line.count("audit", "action = 'timeline.read' AND citizen_id = :c", c=who) == 2


async def test_a_history_that_is_not_theirs_is_the_one_404_and_written_down(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = await closed(line, "+15551230001", "long ago", "parking")
    who = (await resident.place()).citizen_id
    _, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    answers = [await web.get(f"/desk/citizens/{which}", headers=head) for which in (who, UNKNOWN)]
    assert [answer.status_code for answer in answers] == [404, 404]
    assert answers[0].json() == answers[1].json()
    assert await line.count("audit", "action = 'citizen.refused' AND viewer_name = 'Ana'") == 2
    reasoned = await web.get(f"/desk/citizens/{who}?reason=a+call", headers=head)
    assert "long ago" in reasoned.text
    for role in (Role.MANAGER, Role.ADMIN, Role.RECORDS):
        _, other = await staff_of(line, f"A {role}", role, "parking")
        assert (await web.get(f"/desk/citizens/{who}?reason=x", headers=other)).status_code == 404


# Colleagues ------------------------------------------------------------------------------------------


async def test_colleagues_are_shown_with_what_they_have_in_hand(line: Line, web: httpx.AsyncClient) -> None:
    _, head = await staff_of(line, "Ana", Role.SUPERVISOR, "waste", "roads")
    ben, _ = await staff_of(line, "Ben", Role.AGENT, "waste")
    await staff_of(line, "Cem", Role.AGENT, "parking")
    await staff_of(line, "Dee", Role.MANAGER, "waste")
    await line.sql("UPDATE staff SET languages = '[\"es\"]' WHERE id = :i", i=ben.id)
    await waits(line, "+15551230001", "a", state="agent", holder="Ben")
    owed = await waits(line, "+15551230002", "b", state="agent", holder="Ben")
    talk = (await owed.conversation()).id
    await line.sql("UPDATE conversation SET unanswered_since = now() WHERE id = :i", i=talk)
    shown = words_of(await web.get("/desk/people", headers=head))
    assert re.search(r"Ben at the desk 2 1 Waste and Recycling Spanish", shown), shown
    assert "Ana supervisor at the desk 0 0" in shown
    assert "Cem" not in shown
    assert "Dee" not in shown


async def test_whoever_is_named_in_a_note_finds_it_and_the_count_goes_once_it_is_seen(
    line: Line, web: httpx.AsyncClient
) -> None:
    resident = await waits(line, "+15551230001", "help")
    ana, head = await staff_of(line, "Ana", Role.AGENT, "waste")
    _, ben = await staff_of(line, "Ben", Role.AGENT, "waste")
    talk = await resident.conversation()
    note = await web.post(
        f"/desk/c/{talk.id}/note",
        data={"words": f"@Ana do you know this street? {HOSTILE}"},
        headers={**ben, "Origin": PUBLIC_URL},
    )
    assert note.status_code < 400, note.text
    page = await web.get("/desk/mentions", headers=head)
    assert "do you know this street?" in words_of(page)
    assert "<img src=x" not in page.text
    assert re.search(r'data-count="mentions">1</span>', page.text)
    counts = (await web.get("/desk/counts", headers=head)).json()
    assert counts == {"waiting": 1, "mine": 0, "owed": 0, "danger": 0, "alarms": [], "mentions": 1}
    assert (await web.get("/desk/counts", headers=ben)).json()["mentions"] == 0
    await web.get(f"/desk/c/{talk.id}", headers=head)
    assert (await web.get("/desk/counts", headers=head)).json()["mentions"] == 0
    assert "do you know this street?" in words_of(await web.get("/desk/mentions", headers=head))
    assert "do you know" not in words_of(await web.get("/desk/mentions", headers=ben))
    assert await line.count("mention", "staff_id = :i AND seen_at IS NOT NULL", i=ana.id) == 1
