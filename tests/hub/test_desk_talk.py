"""One conversation on the desk: who sees it, what stands there, what can be done there."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import event
from starlette.routing import Route

from channels.base.contract import InboundKind
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Citizen
from contact_hub.citizens.sealed import seal
from contact_hub.database import new_id
from contact_hub.desk.room import Seat
from contact_hub.desk.talk_acts import snoozed_until
from contact_hub.desk.talk_panel import Panel, panel_of
from contact_hub.desk.talk_room import Here
from contact_hub.flags.models import Flag
from contact_hub.identity.merging import merge
from contact_hub.identity.models import Likeness
from contact_hub.identity.suggestions import note
from contact_hub.journey.buttons import button_id
from contact_hub.journey.by_hand import CannotDo
from contact_hub.privacy import holds
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.staff.models import Role
from contact_hub.timeline import service as timeline
from tests.hub.desk import Colleague, colleague, words_of
from tests.hub.line import Line, Resident

SAID = "The lamp in Mill Lane is dark, canaryword."
UNKNOWN = uuid.UUID("01990000-0000-7000-8000-000000000000")


@pytest.fixture
async def ada(line: Line, web: httpx.AsyncClient) -> Colleague:
    return await colleague(line, web, "Ada Byron")


@pytest.fixture
async def ben(line: Line, web: httpx.AsyncClient) -> Colleague:
    return await colleague(line, web, "Ben Okri")


@pytest.fixture
async def resident(line: Line) -> Resident:
    """Somebody on the web chat who said one thing."""
    found = await line.visitor()
    await found.does(words=SAID)
    return found


async def path_of(resident: Resident) -> str:
    return f"/desk/c/{(await resident.conversation()).id}"


async def held_by(resident: Resident) -> tuple[str, str | None]:
    talk = await resident.conversation()
    return talk.state, talk.holder


async def beside(resident: Resident) -> tuple[Panel, int]:
    """What the side shows of a resident, and how many questions to the database that takes."""
    asked: list[str] = []

    def count(*about: Any) -> None:
        asked.append(about[2])

    place, talk, database = await resident.place(), await resident.conversation(), resident.line.database
    event.listen(database.engine.sync_engine, "before_cursor_execute", count)
    try:
        async with database.begin() as session:
            citizen = await session.get_one(Citizen, place.citizen_id)
            seat = Seat(cast("Any", None), Viewer("system", "Ada Byron"), 0)
            side = await panel_of(session, Here(seat, talk, place, citizen, True), resident.line.city)
    finally:
        event.remove(database.engine.sync_engine, "before_cursor_execute", count)
    return side, len(asked)


async def test_beside_danger_nothing_is_suggested_unless_it_is_looked_for(
    line: Line, resident: Resident, ada: Colleague
) -> None:
    path = f"{await path_of(resident)}/suggestions"
    away = "The knowledge base does not answer"
    assert away in (await ada.get(path)).text
    await resident.says("there is a gas leak")
    told = (await ada.get(path)).text
    assert "Somebody may be in danger: nothing is suggested" in told
    assert SAID not in told
    assert away in (await ada.get(f"{path}?q=gas+leaks")).text


async def test_the_side_asks_as_often_for_many_addresses_and_likenesses_as_for_one(
    line: Line, resident: Resident
) -> None:
    async def look_alike(number: int) -> None:
        texter = line.texter(f"+1555123000{number}")
        await texter.does(words="By text.")
        async with line.database.begin() as session:
            other = (await texter.place()).citizen_id
            await note(session, (await resident.place()).citizen_id, other, Likeness.SAME_NUMBER)

    await look_alike(1)
    side, asked = await beside(resident)
    assert (len(side.places), len(side.likely)) == (1, 1)
    for number in (2, 3, 4):
        await look_alike(number)
    phone = line.texter("+15551230009")
    await phone.does(words="And from my phone.")
    async with line.database.begin() as session:
        citizen = (await resident.place()).citizen_id
        await merge(session, citizen, (await phone.place()).citizen_id, reason="She told me so.")
        await citizens.suppress(session, "sms", "+15551230009", "citizen")
    more, as_often = await beside(resident)
    assert [place.notes for place in more.places] == [(), ("asked for silence",)]
    assert (len(more.likely), as_often) == (4, asked)


# Who sees it ---------------------------------------------------------------------------------------


async def test_the_history_of_every_channel_stands_on_one_screen(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    texter = line.texter()
    await texter.does(words="The same lamp again, by text.")
    other = (await texter.place()).citizen_id
    await ada.post(
        f"{await path_of(resident)}/merge", data={"other": str(other), "why": "She told me so by phone."}
    )
    page = await ada.get(await path_of(resident))
    said = words_of(page.text)
    assert SAID in said
    assert "The same lamp again, by text." in said
    assert "another conversation" in said
    assert "Merged into one citizen" in said
    assert "+15551230001" in said


async def test_opening_is_one_entry_of_the_audit_and_the_address_is_no_secret(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    page = await ada.get(await path_of(resident))
    assert page.headers["cache-control"] == "no-store"
    assert "unsafe" not in page.headers["content-security-policy"]
    assert await line.count("audit", "action = 'conversation.read'") == 1
    await ada.get(f"{await path_of(resident)}/older")
    assert await line.count("audit", "action = 'conversation.read'") == 1


async def test_who_looks_with_a_reason_is_written_down_whichever_piece_they_ask_for(
    line: Line, web: httpx.AsyncClient, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    other = await colleague(line, web, "Another office", "roads")
    looks = "action = 'conversation.read' AND words->>'reason' = 'She called us.'"
    assert (await other.get(f"{path}/older")).status_code == 404
    assert await line.count("audit", looks) == 0
    assert (await other.get(f"{path}/older?reason=She called us.")).status_code == 200
    assert await line.count("audit", looks) == 1
    await other.get(f"{path}/older?reason=She called us.")
    assert await line.count("audit", looks) == 1
    refused = await other.post(f"{path}/claim?reason=She called us.")  # shows the whole screen
    assert refused.status_code in {404, 409}
    assert await line.count("audit", looks) == (2 if refused.status_code == 409 else 1)


def desk_routes(web: httpx.AsyncClient) -> list[tuple[str, str]]:
    """Every address of a conversation's screen with its method."""
    app: FastAPI = web._transport.app  # type: ignore[attr-defined]
    found = [inner for outer in app.routes for inner in getattr(outer, "original_router", FastAPI()).routes]
    return [
        (method, route.path)
        for route in found
        if isinstance(route, Route) and route.path.startswith(("/desk/c/", "/desk/files/"))
        for method in sorted(route.methods or ())
    ]


async def test_whoever_may_not_see_it_gets_the_same_404_everywhere(
    line: Line, web: httpx.AsyncClient, resident: Resident
) -> None:
    talk = await resident.conversation()
    said = (await resident.touchpoints())[0]
    askers = [
        await colleague(line, web, f"Some {role}", "roads", role=role)
        for role in Role
        if role is not Role.AGENT
    ] + [await colleague(line, web, "Another office", "roads")]
    routes = desk_routes(web)
    assert len(routes) > 15
    for asker in askers:
        answers = set()
        for method, path in routes:
            for which, inner in ((talk.id, said.id), (UNKNOWN, UNKNOWN)):
                filled = path.replace("{which}", str(which))
                filled = re.sub(r"{\w+}", str(inner), filled)
                body = {"words": "hello", "why": "because of this", "other": str(UNKNOWN)}
                answer = await web.request(
                    method,
                    filled,
                    headers=asker.head,
                    params={"after": str(UNKNOWN)} if method == "GET" else None,
                    data=body if method == "POST" else None,
                )
                assert answer.status_code == 404, (asker.staff.name, method, filled, answer.text)
                assert "canaryword" not in answer.text
                answers.add(answer.text)
        assert len(answers) == 1
    assert await line.count("touchpoint", "kind <> 'text'") == 0


async def test_nobody_at_all_is_led_to_the_door(web: httpx.AsyncClient, resident: Resident) -> None:
    path = await path_of(resident)
    answer = await web.get(path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/staff/login?next=/desk/c/")
    assert (await web.get(f"{path}/live", headers={"HX-Request": "true"})).status_code == 401


async def test_a_screen_that_nobody_sits_at_keeps_nobody_signed_in(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await ada.get(path)
    last = (await resident.touchpoints())[-1].id
    await line.sql("UPDATE staff_session SET last_seen_at = now() - interval '20 minutes'")
    seen_lately = "last_seen_at > now() - interval '19 minutes'"
    with suppress(TimeoutError):
        await asyncio.wait_for(ada.get(f"{path}/live?after={last}"), 0.5)
    assert (await ada.get(f"{path}/suggestions")).status_code == 200
    assert await line.count("staff_session", seen_lately) == 0, "the screen asked that by itself"
    assert (await ada.get(f"{path}/suggestions?q=recycling")).status_code == 200
    assert await line.count("staff_session", seen_lately) == 1, "somebody typed"
    await line.sql("UPDATE staff_session SET last_seen_at = now() - interval '1 day'")
    for piece in ("live", "suggestions"):
        assert (await ada.get(f"{path}/{piece}?after={last}")).status_code == 401


async def test_a_sealed_record_is_there_for_those_named_only(
    line: Line, ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    citizen = (await resident.place()).citizen_id
    async with line.database.begin() as session:
        await seal(session, citizen, [ada.staff.id], "a councillor", viewer=SYSTEM)
    page = await ada.get(await path_of(resident))
    assert "Sealed record" in words_of(page.text)
    assert (await ben.get(await path_of(resident))).status_code == 404


async def test_a_records_officer_seals_a_record_and_opens_it_again(
    line: Line, web: httpx.AsyncClient, ada: Colleague, ben: Colleague
) -> None:
    texter = line.texter()
    await texter.does(words=SAID)
    citizen, path = (await texter.place()).citizen_id, await path_of(texter)
    officer = await colleague(line, web, "Olga", role=Role.RECORDS)
    found = await officer.get("/desk/seals", params={"channel": "sms", "address": "+15551230001"})
    seals = f"/desk/seals/{citizen}"
    assert (found.status_code, found.headers["location"]) == (303, seals)
    form = await officer.get(seals)
    assert "is not sealed" in form.text
    assert "Ada Byron" in form.text
    assert SAID not in form.text
    for wrong in ({"why": "A councillor."}, {"readers": [str(ada.staff.id)], "why": " "}):
        assert (await officer.post(seals, data=wrong)).status_code == 422
    named = [str(ada.staff.id), str(officer.staff.id)]
    done = await officer.post(seals, data={"readers": named, "why": "A councillor."})
    assert done.status_code == 303
    assert "Seen by Ada Byron, Olga" in words_of((await officer.get(seals)).text)
    assert (await ada.get(path)).status_code == 200
    assert (await ben.get(path)).status_code == 404
    other = await colleague(line, web, "Otto", role=Role.RECORDS)
    assert (await other.get(seals)).status_code == 404
    assert (await other.post(f"{seals}/open", data={"why": "Curious."})).status_code == 404
    assert (await officer.post(f"{seals}/open", data={"why": ""})).status_code == 422
    await officer.post(f"{seals}/open", data={"why": "No councillor any more."})
    assert (await ben.get(path)).status_code == 200
    assert (await ada.get(seals)).status_code == 403
    assert await line.count("audit", "action IN ('citizen.sealed', 'citizen.unsealed')") == 2


async def test_a_reason_lets_an_agent_read_and_never_answer(
    line: Line, web: httpx.AsyncClient, resident: Resident
) -> None:
    stranger = await colleague(line, web, "Stranger", "roads")
    path = await path_of(resident)
    page = await stranger.get(path, params={"reason": "They phoned me about the lamp"})
    assert page.status_code == 200
    assert SAID in words_of(page.text)
    assert "another department's to answer" in page.text
    assert 'id="reply"' not in page.text
    reasons = await line.one("SELECT words->>'reason' FROM audit WHERE action = 'conversation.read'")
    assert reasons == "They phoned me about the lamp"
    said = await stranger.post(f"{path}/reply?reason=curious", data={"words": "Hello"}, htmx=True)
    assert said.status_code == 409
    assert await held_by(resident) == ("bot", None)


async def test_a_supervisor_reads_what_is_closed_and_an_agent_no_more(
    line: Line, web: httpx.AsyncClient, ada: Colleague, resident: Resident
) -> None:
    chief = await colleague(line, web, "Chief", role=Role.SUPERVISOR)
    await line.work()
    path = await path_of(resident)
    await ada.post(f"{path}/claim")
    await ada.post(f"{path}/resolve", data={"resolution": "solved"})
    assert (await ada.get(path)).status_code == 404
    page = await chief.get(path)
    assert page.status_code == 200
    assert "This conversation is closed" in page.text
    assert "outcome Solved" in words_of(page.text)


# What stands there ---------------------------------------------------------------------------------


async def test_earlier_pages_follow_one_another_without_a_gap(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    place = await resident.place()
    async with line.database.begin() as session:
        for number in range(120):
            await timeline.record(
                session,
                address_id=place.id,
                conversation_id=(await resident.conversation()).id,
                direction="in",
                actor="citizen",
                kind="text",
                words=f"line-{number}.",
            )
    path = await path_of(resident)
    page = await ada.get(path)
    seen = re.findall(r"line-\d+\.", page.text)
    while cursor := re.search(r'hx-get="[^"]*before=([0-9a-f-]{36})"', page.text):
        page = await ada.get(f"{path}/older", params={"before": cursor[1]})
        seen = re.findall(r"line-\d+\.", page.text) + seen
    assert seen == [f"line-{number}." for number in range(120)]
    jumped = await ada.get(path, params={"at": str((await resident.touchpoints())[5].id)})
    assert re.findall(r"line-\d+\.", jumped.text)[-1] == "line-4."
    assert "You see an earlier part" in jumped.text
    assert "hx-sse:connect" not in jumped.text


async def test_filters_narrow_the_history(ada: Colleague, resident: Resident) -> None:
    path = await path_of(resident)
    await ada.post(f"{path}/note", data={"words": "She phoned as well."})
    notes = await ada.get(path, params={"show": "notes"})
    assert "She phoned as well." in notes.text
    assert SAID not in words_of(notes.text)
    assert SAID in words_of((await ada.get(path, params={"show": "said"})).text)
    assert SAID not in words_of((await ada.get(path, params={"channel": "sms"})).text)


async def test_a_pressed_button_shows_its_title(line: Line, ada: Colleague, resident: Resident) -> None:
    place, offer = await resident.place(), new_id()
    async with line.database.begin() as session:
        await timeline.record(
            session,
            touchpoint_id=offer,
            address_id=place.id,
            direction="out",
            actor="bot",
            kind="text",
            words="Did this help?",
            payload={"buttons": [{"id": button_id(offer, 1), "title": "Yes, it did", "meaning": {}}]},
        )
    await resident.does(InboundKind.BUTTON, payload={"button": button_id(offer, 1)})
    page = (await ada.get(await path_of(resident))).text
    assert words_of(page).count("Yes, it did") == 2
    pressed = re.search(r'<span class="kind">pressed</span>.*?<p class="words"[^>]*>(.*?)</p>', page, re.S)
    assert pressed is not None
    assert pressed[1] == "Yes, it did"


class Elements(HTMLParser):
    """What a browser would make of a page, as far as it could act on it."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        ours = tag == "script" and given.get("src", "").startswith("/static/")
        if tag in {"svg", "iframe", "object", "hx-partial", "style", "base"} or (
            tag == "script" and not ours
        ):
            self.wrong.append(tag)
        for name, value in given.items():
            leads = name in {"href", "src", "action", "formaction"} or name.startswith("hx-")
            if name.startswith("on") or name == "style":
                self.wrong.append(f"{tag} {name}")
            if leads and re.match(r"\s*(?:javascript|data):", value, re.I):
                self.wrong.append(f"{tag} {name}={value}")


def elements_of(page: str) -> Elements:
    found = Elements()
    found.feed(page)
    return found


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    '<hx-partial hx-target="#main">',
    "javascript:alert(1)",
    "<li id=lines hx-get=/desk>",
]
PAYLOADS: dict[str, Callable[[str], dict[str, Any]]] = {
    "text": lambda s: {"sources": [{"title": s, "url": s}], "buttons": [{"id": s, "title": s}], "by": s},
    "photo": lambda s: {"media": [{"ref": s, "kind": s, "name": s}]},
    "location": lambda s: {"latitude": s, "longitude": s, "label": s},
    "contact": lambda s: {"phone": s, "own": False},
    "button": lambda s: {"button": s},
    "edit": lambda s: {"of": s},
    "unsupported": lambda s: {"raw": s},
    "note": lambda s: {"by": s},
    "flag": lambda s: {"level": s, "score": 0.9, "signals": [{"signal": s, "words": s, "evidence": s}]},
    "flag_dismissed": lambda s: {"flag": s, "by": s, "why": s},
    "handoff": lambda s: {"to": s, "from": s, "holder": s, "reason": s, "why": s, "by": s, "department": s},
    "snooze": lambda s: {"until": s, "by": s},
    "rating": lambda s: {"rating": 1, "comment": s},
    "report": lambda s: {"reference": s, "category": s, "place": s, "description": s},
    "consent": lambda s: {"purpose": s, "decision": s, "by": s, "reason": s},
    "merge": lambda s: {"done": s, "method": s},
    "redaction": lambda s: {"by": s, "reason": s, "whole": True},
    "delivery": lambda s: {"state": s, "reason": s, "code": s},
    "silence": lambda s: {},
    "reachable": lambda s: {"reachable": False},
    "of_tomorrow": lambda s: {s: s, "plain": s},
}


@pytest.mark.parametrize("hostile", HOSTILE)
async def test_what_anybody_wrote_stays_text_in_every_kind_of_event(
    line: Line, ada: Colleague, resident: Resident, hostile: str
) -> None:
    place, talk = await resident.place(), await resident.conversation()
    await line.sql("UPDATE citizen SET name = :n WHERE id = :c", n=hostile, c=place.citizen_id)
    async with line.database.begin() as session:
        for kind, payload in PAYLOADS.items():
            for direction, actor in (("in", "citizen"), ("out", "bot"), ("inner", "agent")):
                await timeline.record(
                    session,
                    address_id=place.id,
                    conversation_id=talk.id,
                    direction=direction,
                    actor=actor,
                    kind=kind,
                    words=hostile,
                    payload=payload(hostile),
                )
    path = await path_of(resident)
    await ada.post(f"{path}/draft", data={"words": hostile})
    await ada.post(f"{path}/note", data={"words": hostile})
    pages = [(await ada.get(path)).text, (await ada.get(f"{path}/older")).text]
    for page in pages:
        assert elements_of(page).wrong == []
        assert "49{% raw %}" not in page
        assert len(re.findall('class="line ', page)) >= 40


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000a49444154789c6300010000050001 0d0a2db40000000049454e44ae426082".replace(" ", "")
)


async def file_of(line: Line, resident: Resident, name: str, mime: str, data: bytes) -> uuid.UUID:
    place, said = await resident.place(), (await resident.touchpoints())[0]
    async with line.database.begin() as session:
        return await timeline.keep_file(
            session, touchpoint_id=said.id, address_id=place.id, name=name, mime=mime, data=data
        )


async def test_a_file_is_shown_in_a_sandbox_or_downloaded(
    line: Line, web: httpx.AsyncClient, ada: Colleague, resident: Resident
) -> None:
    picture = await file_of(line, resident, "lamp.png", "image/png", PNG)
    page = await file_of(line, resident, 'x".html', "text/html", b"<script>alert(1)</script>")
    drawing = await file_of(line, resident, "x.svg", "image/svg+xml", b"<svg onload='alert(1)'/>")
    shown = await ada.get(f"/desk/files/{picture}")
    assert shown.content == PNG
    assert shown.headers["content-disposition"].startswith("inline; ")
    for file in (page, drawing):
        kept = await ada.get(f"/desk/files/{file}")
        assert kept.headers["content-disposition"].startswith("attachment; ")
        assert kept.headers["content-security-policy"] == "default-src 'none'; sandbox"
        assert kept.headers["x-content-type-options"] == "nosniff"
        assert kept.headers["cache-control"] == "no-store"
    assert await line.count("audit", "action = 'file.read'") == 3
    stranger = await colleague(line, web, "Stranger", "roads")
    assert (await stranger.get(f"/desk/files/{picture}")).status_code == 404
    screen = (await ada.get(await path_of(resident))).text
    assert f'<img src="/desk/files/{picture}"' in screen
    assert f'<img src="/desk/files/{drawing}"' not in screen


# What can be done ----------------------------------------------------------------------------------


async def test_one_takes_it_and_the_other_is_told_so_in_place(
    ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    taken = await ada.post(f"{path}/claim")
    assert taken.headers["location"] == f"{path}?done=claimed"
    assert await held_by(resident) == ("agent", "Ada Byron")
    refused = await ben.post(f"{path}/claim")
    assert refused.status_code == 409
    assert "Ada Byron is already answering this conversation." in words_of(refused.text)
    by_htmx = await ben.post(f"{path}/claim", htmx=True)
    assert by_htmx.status_code == 409
    assert 'hx-swap-oob="innerHTML"' in by_htmx.text


async def test_a_reply_waits_can_be_taken_back_and_then_leaves(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    await line.work()
    path = await path_of(resident)
    answer = await ada.post(f"{path}/reply", data={"words": "We mend it tomorow."}, htmx=True)
    assert answer.status_code == 200
    assert "We mend it tomorow." in words_of(answer.text)  # about to leave, and no more in the field
    assert re.search(r'name="words"[^>]*>\s*</textarea>', answer.text)
    await line.work()
    assert "We mend it tomorow." not in await resident.reads()
    held = re.search(r'id="held-([0-9a-f-]{36})"', answer.text)
    assert held is not None
    undone = await ada.post(f"{path}/undo/{held[1]}", data={"words": "And thank you."}, htmx=True)
    assert re.search(r"<textarea[^>]*>\s*We mend it tomorow\.\s+And thank you\.</textarea>", undone.text)
    await ada.post(f"{path}/reply", data={"words": "We mend it tomorrow."})
    await line.hurry()
    await line.work()
    assert (await resident.reads())[-1] == "We mend it tomorrow."
    again = await ada.post(f"{path}/undo/{held[1]}", data={"words": ""}, htmx=True)
    assert again.status_code == 409
    assert "has left already" in again.text


async def test_a_refused_reply_loses_nothing_that_was_typed(
    ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await ada.post(f"{path}/claim")
    refused = await ben.post(f"{path}/reply", data={"words": "A long and careful answer."})
    assert refused.status_code == 409
    assert refused.text.count("A long and careful answer.") == 1
    assert "Ada Byron is already answering" in refused.text
    assert "A long and careful answer.</textarea>" in (await ben.get(path)).text
    gap = await ada.post(f"{path}/reply", data={"words": "Your number is {reference}."}, htmx=True)
    assert gap.status_code == 409
    assert "Fill in {reference} before you send." in gap.text


async def test_a_draft_is_kept_and_a_colleague_hears_of_it(
    ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await ada.post(f"{path}/draft", data={"words": "Half a sent"}, htmx=True)
    page = words_of((await ben.get(path)).text)
    assert "Ada Byron is writing here" in page
    assert "Half a sent" not in page
    assert "Half a sent</textarea>" in (await ada.get(path)).text


async def test_a_reply_with_a_file_reaches_the_web_chat(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await line.work()
    await ada.post(
        f"{path}/reply", data={"words": "The plan:"}, files=[("files", ("plan.png", PNG, "image/png"))]
    )
    await line.hurry()
    await line.work()
    said = (await resident.written())[-1]
    assert said.text == "The plan:"
    assert len(said.payload["files"]) == 1
    refused = await ada.post(
        f"{path}/reply",
        data={"words": "Look"},
        files=[("files", ("x.html", b"<script>", "text/html"))],
        htmx=True,
    )
    assert refused.status_code == 409
    assert "This kind of file cannot be taken." in refused.text


async def test_a_file_goes_without_words_and_nothing_at_all_does_not(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await line.work()
    await ada.post(f"{path}/reply", data={"words": ""}, files=[("files", ("plan.png", PNG, "image/png"))])
    await line.hurry()
    await line.work()
    said = (await resident.written())[-1]
    assert (said.actor, said.text or "", len(said.payload["files"])) == ("agent", "", 1)
    for htmx in (True, False):
        refused = await ada.post(f"{path}/reply", data={"words": " "}, htmx=htmx)
        assert refused.status_code == 409
        assert "There is nothing to send: the reply is empty." in words_of(refused.text)


async def test_a_note_names_a_colleague_who_sees_it_by_opening(
    line: Line, ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    before = len(await resident.reads())
    await ada.post(f"{path}/note", data={"words": "@Ben Okri, you know this street."})
    assert await line.count("mention", "seen_at IS NULL") == 1
    page = await ben.get(path)
    assert "Note, never sent" in words_of(page.text)
    assert await line.count("mention", "seen_at IS NULL") == 0
    await line.work()
    assert all("@Ben Okri" not in words for words in (await resident.reads())[before:])


async def test_it_is_passed_on_with_a_reason_and_then_not_theirs_any_more(
    line: Line, web: httpx.AsyncClient, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    assert (await ada.post(f"{path}/transfer", data={"department": "roads", "why": " "})).status_code == 409
    passed = await ada.post(
        f"{path}/transfer", data={"department": "roads", "why": "A street lamp"}, htmx=True
    )
    assert passed.headers["hx-redirect"] == "/desk"
    assert await held_by(resident) == ("waiting", None)
    assert (await ada.get(path)).status_code == 404
    road = await colleague(line, web, "Road", "roads")
    said = words_of((await road.get(path)).text)
    assert "A street lamp" in said
    assert "Roads and Transport" in said


async def test_a_supervisor_gives_it_to_somebody(
    line: Line, web: httpx.AsyncClient, ada: Colleague, ben: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    chief = await colleague(line, web, "Chief", role=Role.SUPERVISOR)
    assert 'name="staff"' in (await chief.get(path)).text
    assert 'name="staff"' not in (await ada.get(path)).text
    await chief.post(f"{path}/assign", data={"staff": str(ben.staff.id)})
    assert await held_by(resident) == ("agent", "Ben Okri")
    assert (await ada.post(f"{path}/assign", data={"staff": str(ada.staff.id)})).status_code == 404
    assert await held_by(resident) == ("agent", "Ben Okri")


async def test_it_is_put_aside_taken_up_and_given_back(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    await line.work()
    await ada.post(f"{path}/claim")
    await ada.post(f"{path}/snooze", data={"until": "hour"})
    assert (await resident.conversation()).snoozed_until is not None
    assert "snoozed until" in words_of((await ada.get(path)).text)
    await ada.post(f"{path}/wake")
    assert (await resident.conversation()).snoozed_until is None
    wrong = await ada.post(f"{path}/snooze", data={"until": "own", "own": "soon"})
    assert "Say until when" in wrong.text
    back = await ada.post(f"{path}/give-back")
    assert back.headers["location"] == "/desk"
    assert await held_by(resident) == ("bot", None)


def test_a_morning_is_the_citys_own(line: Line) -> None:
    friday_night = datetime(2026, 11, 27, 23, 30, tzinfo=UTC)
    assert snoozed_until(line.city, "tomorrow", "", friday_night).isoformat() == "2026-11-28T09:00:00+00:00"
    assert snoozed_until(line.city, "monday", "", friday_night).isoformat() == "2026-11-30T09:00:00+00:00"
    summer = datetime(2026, 7, 6, 12, tzinfo=UTC)  # a Monday
    assert snoozed_until(line.city, "monday", "", summer).isoformat() == "2026-07-13T09:00:00+01:00"
    assert snoozed_until(line.city, "own", "2026-07-07T14:15", summer).astimezone(UTC).hour == 13
    with pytest.raises(CannotDo):
        snoozed_until(line.city, "own", "", summer)


async def test_it_ends_with_an_outcome(line: Line, ada: Colleague, resident: Resident) -> None:
    path = await path_of(resident)
    await line.work()
    await ada.post(f"{path}/claim")
    assert "Choose how it ended." in (await ada.post(f"{path}/resolve", data={"resolution": ""})).text
    ended = await ada.post(f"{path}/resolve", data={"resolution": "solved"}, htmx=True)
    assert ended.headers["hx-redirect"] == "/desk"
    talk = await resident.conversation()
    assert (talk.state, talk.resolution) == ("closed", "solved")


async def test_a_message_is_removed_with_a_reason(line: Line, ada: Colleague, resident: Resident) -> None:
    path, said = await path_of(resident), (await resident.touchpoints())[0]
    assert (await ada.post(f"{path}/remove/{said.id}", data={"why": ""})).status_code == 409
    citizen = (await resident.place()).citizen_id
    async with line.database.begin() as session:
        await holds.add(session, SYSTEM, citizen, "a claim", None)
    held = await ada.post(f"{path}/remove/{said.id}", data={"why": "It holds private details"})
    assert held.status_code == 409
    assert "A legal hold keeps this record" in held.text
    async with line.database.begin() as session:
        await holds.lift(session, SYSTEM, citizen)
    await ada.post(f"{path}/remove/{said.id}", data={"why": "It holds private details"})
    page = words_of((await ada.get(path)).text)
    assert "canaryword" not in page
    assert "[removed]" in page
    assert "A message was removed" in page
    assert await line.count("audit", "action = 'redact'") == 1
    stranger = line.texter("+15551239999")
    await stranger.does(words="somebody else's words")
    theirs = (await stranger.touchpoints())[0]
    wrong = await ada.post(f"{path}/remove/{theirs.id}", data={"why": "not of this history"})
    assert wrong.status_code == 404
    assert (await stranger.touchpoints())[0].text == "somebody else's words"


async def test_two_citizens_are_compared_merged_and_parted(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    texter = line.texter()
    await texter.does(words="By text.")
    path, other = await path_of(resident), (await texter.place()).citizen_id
    mine = (await resident.place()).citizen_id
    async with line.database.begin() as session:
        await note(session, mine, other, Likeness.SAME_NUMBER)
    assert "the same number was typed" in words_of((await ada.get(path)).text)
    asked = await ada.get(f"{path}/merge", params={"channel": "sms", "address": "+15551230001"})
    assert "Whose record goes on?" in asked.text
    short = await ada.post(f"{path}/merge", data={"other": str(other), "why": "yes"})
    assert short.status_code == 409
    assert "Say why" in short.text
    await ada.post(
        f"{path}/merge", data={"other": str(other), "survivor": str(other), "why": "He showed me his phone."}
    )
    assert (await resident.place()).citizen_id == (await texter.place()).citizen_id == other
    page = (await ada.get(path)).text
    merge = re.search(r"/merges/([0-9a-f-]{36})/undo", page)
    assert merge is not None
    assert "Each address goes back" in (await ada.get(f"{path}/merges/{merge[1]}/undo")).text
    await ada.post(f"{path}/merges/{merge[1]}/undo", data={"why": "It was his brother's."})
    assert (await resident.place()).citizen_id == mine


async def test_a_canned_reply_is_put_in_without_script(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path = await path_of(resident)
    place = await resident.place()
    await line.sql("UPDATE citizen SET name = 'Mary Kelly' WHERE id = :c", c=place.citizen_id)
    gone = await ada.post(f"{path}/insert", data={"words": "Good morning.", "insert": "greeting"})
    assert gone.status_code == 303
    page = (await ada.get(path)).text
    field = re.search(r"<textarea id=\"words\"[^>]*>([^<]*)</textarea>", page)
    assert field is not None
    assert "Good morning." in field[1]
    assert "Hello Mary Kelly, my name is Ada Byron" in field[1]


async def test_what_a_text_message_costs_is_said_as_it_is_written(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    texter = line.texter()
    await texter.does(words="hello there")
    path = await path_of(texter)

    async def cost(words: str) -> str:
        return words_of((await ada.post(f"{path}/draft", data={"words": words}, htmx=True)).text)

    assert await cost("a" * 160) == "160 characters in GSM-7, billed as 1 text message"
    assert await cost("a" * 161) == "161 characters in GSM-7, billed as 2 text messages"
    assert await cost("ł" * 71) == "71 characters in UCS-2, billed as 2 text messages"
    assert "Longer than 320 characters" in await cost("a" * 321)
    assert "text message" not in words_of(
        (await ada.post(f"{await path_of(resident)}/draft", data={"words": "a" * 400}, htmx=True)).text
    )


async def test_a_flag_shows_its_evidence_and_is_taken_away_with_a_reason(
    line: Line, ada: Colleague, resident: Resident
) -> None:
    path, said = await path_of(resident), (await resident.touchpoints())[0]
    signals = [{"signal": "words", "weight": 0.6, "evidence": str(said.id), "words": "The words sound angry"}]
    async with line.database.begin() as session:
        place, talk = await resident.place(), await resident.conversation()
        flag = Flag(
            id=new_id(),
            conversation_id=talk.id,
            address_id=place.id,
            touchpoint_id=said.id,
            channel="web_chat",
            score=0.82,
            level="unhappy",
            signals=signals,
        )
        session.add(flag)
    page = (await ada.get(path)).text
    assert words_of(page).count("Unhappy, 82 %") == 2  # above everything, and with its signs at the side
    assert "The words sound angry +0.60 see it" in words_of(page)
    assert f'data-jump="t-{said.id}"' in page
    assert "Flagged: The words sound angry" in words_of(page)  # beside the message itself
    roads = await colleague(line, ada.web, "Another office", "roads")
    reason = f"{path}/flags/{flag.id}/dismiss?reason=She called us."
    elsewhere = await roads.post(reason, data={"why": "Not ours to judge."})
    assert elsewhere.status_code == 409
    assert "another department" in elsewhere.text
    short = await ada.post(f"{path}/flags/{flag.id}/dismiss", data={"why": "no"})
    assert short.status_code == 409
    await ada.post(f"{path}/flags/{flag.id}/dismiss", data={"why": "She was joking."})
    told = words_of((await ada.get(path)).text)
    assert "Taken away by Ada Byron: She was joking." in told
    assert "Ada Byron took a flag away" in told
    assert "Flagged: The words sound angry" not in told
    again = await ada.post(f"{path}/flags/{flag.id}/dismiss", data={"why": "Once more."})
    assert "taken away already" in again.text
    stranger = line.texter("+15551239999")
    await stranger.does(words="somebody else")
    other = await ada.post(f"{await path_of(stranger)}/flags/{flag.id}/dismiss", data={"why": "Not theirs."})
    assert other.status_code == 404
