"""One history over all channels: every kind, every filter, page by page, while more is being written."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from contact_hub.citizens import service as citizens
from contact_hub.staff import tokens
from contact_hub.staff.access import Scope
from contact_hub.timeline import service as timeline
from contact_hub.timeline.reading import (
    EVERYTHING,
    PAGE,
    Event,
    Wanted,
    asked,
    first_id_at,
    moment_of,
    page,
)
from tests.hub.line import Line, Resident

KINDS = (
    *("text", "button", "photo", "voice", "document", "location", "contact", "edit", "unsupported"),
    *("rating", "note", "flag", "handoff", "report", "consent", "merge", "delivery", "silence"),
)
NOW = datetime.now(UTC)


async def happened(
    line: Line, address: uuid.UUID, kind: str = "text", at: datetime | None = None, **more: Any
) -> uuid.UUID:
    """Something that happened, now or long ago."""
    identity = None if at is None else uuid.UUID(int=first_id_at(at).int | uuid.uuid4().int >> 64)
    values = {"direction": "in", "actor": "citizen", "words": "Hello"} | more
    async with line.database.begin() as session:
        return await timeline.record(session, address_id=address, kind=kind, touchpoint_id=identity, **values)


async def read(line: Line, citizen: uuid.UUID, wanted: Wanted = EVERYTHING, limit: int = 50) -> list[Event]:
    """A whole history, however many pages it takes."""
    found: list[Event] = []
    before: uuid.UUID | None = None
    while True:
        async with line.database.begin() as session:
            part = await page(session, citizen, before=before, limit=limit, wanted=wanted)
        found += part.events
        if part.older is None:
            return found
        assert len(part.events) == limit
        before = part.older


async def one_person(line: Line) -> tuple[uuid.UUID, dict[str, uuid.UUID]]:
    """A citizen with three addresses and a desk, and a stranger who wrote as well."""
    phone, chat, visitor = line.texter(), line.chatter(), await line.visitor()
    addresses = {}
    for name, resident in (("sms", phone), ("telegram", chat), ("web_chat", visitor)):
        await resident.does(words="Hello")
        addresses[name] = (await resident.place()).id
    citizen = (await phone.place()).citizen_id
    for address in addresses.values():
        await line.sql("UPDATE address SET citizen_id = :c WHERE id = :a", c=citizen, a=address)
    async with line.database.begin() as session:
        addresses["desk"] = await citizens.desk_address(session, citizen)
    await line.texter("+15551239999").does(words="Nobody's business")
    return citizen, addresses


async def test_every_kind_of_event_is_on_the_one_timeline(line: Line) -> None:
    citizen, addresses = await one_person(line)
    places = list(addresses.values())
    for number, kind in enumerate(KINDS):
        await happened(line, places[number % 4], kind, words=None, payload={"n": number})
    found = await read(line, citizen)
    assert [event.kind for event in found][: len(KINDS)] == list(reversed(KINDS))
    assert {event.channel for event in found} == {"sms", "telegram", "web_chat", "desk"}
    assert "Nobody's business" not in {event.text for event in found}
    for kind in KINDS:
        only = await read(line, citizen, Wanted(kinds=(kind,)))
        assert {event.kind for event in only} == {kind}
        assert len(only) == [event.kind for event in found].count(kind)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(channels=("sms",)),
        Wanted(channels=("sms", "desk")),
        Wanted(kinds=("text", "note")),
        Wanted(directions=("out",)),
        Wanted(directions=("out", "inner"), channels=("telegram", "web_chat")),
        Wanted(since=NOW - timedelta(days=20)),
        Wanted(until=NOW - timedelta(days=20)),
        Wanted(since=NOW - timedelta(days=300), until=NOW - timedelta(days=100), kinds=("note",)),
        Wanted(since=NOW, until=NOW - timedelta(days=1)),
        Wanted(channels=("nowhere",)),
        Wanted(kinds=("nothing",)),
    ],
)
async def test_filters_show_exactly_what_they_say(line: Line, wanted: Wanted) -> None:
    citizen, addresses = await one_person(line)
    days = (0, 1, 19, 21, 70, 120, 250, 299, 301, 800, 4000)
    for number, back in enumerate(days):
        for place, address in enumerate(addresses.values()):
            await happened(
                line,
                address,
                ("text", "note", "rating")[(number + place) % 3],
                NOW - timedelta(days=back, minutes=1),
                direction=("in", "out", "inner")[(number * 2 + place) % 3],
            )
    everything = await read(line, citizen)
    assert len(everything) == len(days) * 4 + 3
    assert [event.id for event in everything] == sorted((event.id for event in everything), reverse=True)

    def fits(event: Event) -> bool:
        at = moment_of(event.id)
        return (
            (not wanted.channels or event.channel in wanted.channels)
            and (not wanted.kinds or event.kind in wanted.kinds)
            and (not wanted.directions or event.direction in wanted.directions)
            and (wanted.since is None or at >= wanted.since)
            and (wanted.until is None or at < wanted.until)
        )

    expected = [event.id for event in everything if fits(event)]
    for limit in (1, 4, 50):
        assert [event.id for event in await read(line, citizen, wanted, limit)] == expected


async def test_pages_stay_put_while_new_events_arrive(line: Line) -> None:
    citizen, addresses = await one_person(line)
    for number in range(30):
        await happened(line, list(addresses.values())[number % 4], words=f"{number}")
    expected = [event.id for event in await read(line, citizen)]
    seen: list[uuid.UUID] = []
    before: uuid.UUID | None = None
    while True:
        async with line.database.begin() as session:
            part = await page(session, citizen, before=before, limit=7)
        seen += [event.id for event in part.events]
        await happened(line, addresses["sms"], words="meanwhile")
        await happened(line, addresses["desk"], words="meanwhile", kind="note")
        if part.older is None:
            break
        before = part.older
    assert seen == expected


async def test_a_message_shows_how_far_it_got_and_what_it_was_answered_from(
    line: Line, web: httpx.AsyncClient
) -> None:
    citizen, addresses = await one_person(line)
    question = await happened(line, addresses["sms"], words="When is my bin collected?")
    answer_id, sent = uuid.uuid4(), uuid.uuid4()
    answered = await happened(
        line,
        addresses["sms"],
        direction="out",
        actor="bot",
        words="On Friday.",
        payload={"answer": {"id": str(answer_id), "outcome": "answered", "probability": 0.9}},
        in_reply_to=question,
    )
    await line.sql(
        "INSERT INTO answer (id, touchpoint_id, question_id, question, language, outcome, probability,"
        " knowledge_version, passages, created_at) VALUES (:id, :t, :q, 'When?', 'en', 'answered', 0.93, 7,"
        """ '[{"passage": 4, "article": "waste/bins", "version": 12, "title": "Bins", "score": 0.8}]',"""
        " now())",
        id=answer_id,
        t=answered,
        q=question,
    )
    conversation = await line.one("SELECT id FROM conversation WHERE address_id = :a", a=addresses["sms"])
    for part, state in ((2, "failed"), (1, "delivered")):
        await line.sql(
            "INSERT INTO delivery (id, touchpoint_id, conversation_id, address_id, channel, epoch, author,"
            " part, parts, text, state, reason, tries, segments, despite_silence, possible_duplicate,"
            " created_at, settled_at) VALUES (:id, :t, :c, :a, 'sms', 0, 'bot', :part, 2, '', :state,"
            " :reason, 1, 1, false, false, now(), now())",
            id=uuid.uuid4(),
            t=answered,
            c=conversation,
            a=addresses["sms"],
            part=part,
            state=state,
            reason="no such number" if state == "failed" else None,
        )
    async with line.database.begin() as session:
        await timeline.keep_file(
            session, touchpoint_id=question, address_id=addresses["sms"], name="bin.jpg", mime="image/jpeg",
            data=b"bytes", file_id=sent,
        )  # fmt: skip
        token = await tokens.create_token(session, "test", [Scope.TIMELINE_READ])
    told = (
        await web.get(
            f"/api/v1/citizens/{citizen}/timeline?limit=2&channel=sms&channel=telegram",
            headers={"Authorization": f"Bearer {token}"},
        )
    ).json()["touchpoints"]
    assert [event["text"] for event in told] == ["On Friday.", "When is my bin collected?"]
    assert [(d["part"], d["state"], d["reason"]) for d in told[0]["deliveries"]] == [
        (1, "delivered", None),
        (2, "failed", "no such number"),
    ]
    assert told[0]["answer"]["probability"] == 0.93
    assert told[0]["answer"]["knowledge_version"] == 7
    assert told[0]["answer"]["passages"][0] == {
        "article": "waste/bins",
        "version": 12,
        "language": None,
        "title": "Bins",
        "score": 0.8,
    }
    assert told[1]["files"] == [{"id": str(sent), "name": "bin.jpg", "mime": "image/jpeg", "size": 5}]
    assert (told[1]["deliveries"], told[1]["answer"]) == ([], None)


async def test_a_broken_link_to_an_answer_breaks_no_page(line: Line) -> None:
    citizen, addresses = await one_person(line)
    for named in ("gone", {"id": str(uuid.uuid4())}, {"id": 5}, {}, None, ["x"], str(uuid.uuid4())):
        await happened(line, addresses["sms"], payload={"answer": named})
    assert all(event.answer is None for event in await read(line, citizen))


async def test_the_api_takes_several_of_each_filter_and_times(line: Line, web: httpx.AsyncClient) -> None:
    citizen, addresses = await one_person(line)
    for days, kind in ((1, "note"), (3, "rating"), (5, "note"), (200, "note")):
        await happened(line, addresses["desk"], kind, NOW - timedelta(days=days), words=f"{days}")
    async with line.database.begin() as session:
        token = await tokens.create_token(session, "test", [Scope.TIMELINE_READ])
    head = {"Authorization": f"Bearer {token}"}
    url = f"/api/v1/citizens/{citizen}/timeline"

    async def texts(**query: Any) -> list[str]:
        told = await web.get(url, params=query, headers=head)
        assert told.status_code == 200, told.text
        return [event["text"] for event in told.json()["touchpoints"]]

    assert await texts(kind=["note", "rating"]) == ["1", "3", "5", "200"]
    assert await texts(kind="note", to=(NOW - timedelta(days=2)).isoformat()) == ["5", "200"]
    assert await texts(**{"from": (NOW - timedelta(days=4)).isoformat(), "channel": "desk"}) == ["1", "3"]
    assert await texts(direction=["out", "inner"]) == []
    for wrong in (
        {"direction": "up"},
        {"from": "yesterday"},
        {"from": "2026-01-01T00:00:00"},
        {"kind": "\x00"},
    ):
        assert (await web.get(url, params=wrong, headers=head)).status_code == 422


async def test_a_page_touches_the_newest_months_alone(line: Line) -> None:
    phone: Resident = line.texter()
    await phone.does(words="Hello")
    place = await phone.place()
    await line.sql(
        "SELECT ensure_touchpoint_partition((now() - make_interval(months => m))::date)"
        " FROM generate_series(0, 24) AS m"
    )
    await line.sql(
        "INSERT INTO touchpoint (id, address_id, direction, actor, kind, payload, recorded_at)"
        " SELECT (lpad(to_hex((extract(epoch FROM now() - make_interval(hours => n * 5)) * 1000)::bigint),"
        "              12, '0') || '7000a' || lpad(to_hex(n), 15, '0'))::uuid,"
        "        :a, 'in', 'citizen', 'text', '{}', now() FROM generate_series(1, 3000) AS n",
        a=place.id,
    )
    async with line.database.begin() as session:
        await session.execute(text("ANALYZE touchpoint"))
        newest, oldest = first_id_at(NOW + timedelta(days=1)), first_id_at(NOW - timedelta(days=61))
        rows = await session.execute(
            text(f"EXPLAIN (ANALYZE, COSTS OFF) {PAGE}"),
            asked(place.citizen_id, newest, oldest, 51, EVERYTHING),
        )
        plan = "\n".join(row[0] for row in rows)
    read_months = {word for word in plan.split() if word.startswith("touchpoint_2") and word[11:].isdecimal()}
    assert len(read_months) <= 4, plan
    assert "touchpoint_default" not in plan, plan
    assert "Seq Scan on touchpoint" not in plan.replace("Seq Scan on touchpoint_default", ""), plan
