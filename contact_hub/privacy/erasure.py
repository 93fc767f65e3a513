"""Removing a person: everything that is theirs goes, counts without identifiers stay.

All of it happens in one transaction that holds the person's conversations and addresses: work in
hand either ends before it or finds nothing any more, and a message that comes afterwards begins a
new stranger. `replay` is for whoever restores a backup: it removes again whom an older one brought
back.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.service import record, take_words
from contact_hub.citizens import silence
from contact_hub.citizens.models import Address, Citizen
from contact_hub.citizens.service import DESK, SESSION_CHANNELS
from contact_hub.database import Database, at_the_end, new_id, now, sealer_of
from contact_hub.events.service import emit
from contact_hub.privacy import articles, counts, holds, ledger
from contact_hub.privacy.belongings import PROVIDERS_IDS, REMOVALS, Removal
from contact_hub.privacy.holds import Held
from contact_hub.privacy.records import LegalHold
from contact_hub.privacy.schedule import Rule, Schedule
from contact_hub.search import saved
from contact_hub.staff.access import SYSTEM, Viewer

log = structlog.get_logger()

_LEADS_NOWHERE = (
    "UPDATE inbound SET touchpoint_id = NULL, outcome = coalesce(outcome, 'suppressed'),"
    " step = coalesce(step, 'erased'), settled_at = coalesce(settled_at, now())"
)
_ASSISTANT = "assistant."  # Rasa's own tables: not there before it first started


@dataclass(frozen=True, slots=True)
class Line:
    """What became of one class of records: how many were erased, or are kept, and then by which rule."""

    records: str
    erased: int = 0
    kept: int = 0
    rule: Rule | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        rule = None if self.rule is None else self.rule.name
        return {"records": self.records, "erased": self.erased, "kept": self.kept, "rule": rule}


@dataclass(frozen=True, slots=True)
class Answer:
    """What an erasure did, or with `dry_run` would do, class by class."""

    lines: tuple[Line, ...]
    entry: uuid.UUID | None = None  # of the ledger

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"erasure": self.entry and str(self.entry), "records": [x.as_dict() for x in self.lines]}


@dataclass(frozen=True, slots=True)
class Replayed:
    """What replaying the ledger found: its entries, and how many people and addresses it removed again."""

    entries: int
    citizens: int = 0
    addresses: int = 0


@dataclass(frozen=True, slots=True)
class _Person:
    """Whom an erasure is about, with everything held that anybody could still write to."""

    citizens: list[uuid.UUID]
    addresses: list[Address]
    conversations: list[uuid.UUID]

    def values(self) -> dict[str, Any]:
        """What the conditions of `belongings` ask for."""
        return {
            "citizens": self.citizens,
            "addresses": [address.id for address in self.addresses],
            "conversations": self.conversations,
            "names": [str(conversation) for conversation in self.conversations],
            "sessions": [uuid.UUID(a.value) for a in self.addresses if a.channel in SESSION_CHANNELS],
        }


async def preview(session: AsyncSession, citizen_id: uuid.UUID, schedule: Schedule) -> Answer:
    """What erasing a citizen would do, changing nothing; raises LookupError and Held."""
    person = await _person(session, citizen_id)
    await _refuse_held(session, person)
    values = person.values()
    gone: Counter[str] = Counter()
    for removal in await _there(session):
        gone[removal.of] += await _count(session, removal.table, removal.which, values)
    kept = {
        "reports": await _count(session, "report", "address_id = ANY(:addresses)", values),
        "message_ids": await _count(session, "inbound", PROVIDERS_IDS, values),
    }
    return Answer(tuple(await _lines(session, person, schedule, gone, kept)))


async def erase(
    session: AsyncSession,
    viewer: Viewer,
    citizen_id: uuid.UUID,
    *,
    schedule: Schedule,
    folder: Path,
    reason: str,
) -> Answer:
    """Remove a citizen with every address that is theirs; raises LookupError and Held.

    It is over when the caller's transaction commits. `folder` is CIVICLINE_DATA, for the ledger.
    """
    person = await _person(session, citizen_id)
    await _refuse_held(session, person)
    lines = await _remove(session, person, schedule)
    entry = _entry(session, person)
    # As late as can be: the file cannot be rolled back.
    at_the_end(session, lambda last: ledger.write(last, folder, entry))
    await counts.add(session, "erasure", "person", entry.at)
    await record(session, viewer, "citizen.erase", subject=f"erasure {entry.id}", reason=reason)
    # Whoever was told of this person by this id has to remove them as well.
    for citizen in person.citizens:
        await emit(session, "erasure", {"erasure": entry.id}, citizen_id=citizen)
    log.info("erasure.done", erasure=str(entry.id))
    return Answer(tuple(lines), entry.id)


async def take_away(session: AsyncSession, citizen_id: uuid.UUID) -> None:
    """Remove somebody who never was: unlike an erasure it keeps no figure, no report and no mark."""
    person = await _person(session, citizen_id)
    values = person.values()
    await _forget_words(session, person)
    await session.execute(text("DELETE FROM report WHERE address_id = ANY(:addresses)"), values)
    await session.execute(text(f"DELETE FROM inbound WHERE {PROVIDERS_IDS}"), values)  # noqa: S608
    for removal in await _there(session):
        await session.execute(text(f"DELETE FROM {removal.table} WHERE {removal.which}"), values)  # noqa: S608
    session.expunge_all()


async def replay(database: Database, folder: Path) -> Replayed:
    """Remove again everybody the ledger names; `folder` is CIVICLINE_DATA, whose `erasures.log` stays.

    To be called after every restore, before any process of the line starts. Holds do not stop it:
    whether one did was decided when the person was erased. Raises LedgerBroken.
    """
    async with database.begin() as session:
        entries = await ledger.read(session, folder)
        people = await _returned(session, entries)
        for person in people:
            await _remove(session, person, None)
    return Replayed(
        len(entries),
        citizens=sum(len(person.citizens) for person in people),
        addresses=sum(a.channel != DESK for person in people for a in person.addresses),
    )


async def keep_in_step(database: Database, folder: Path) -> int:
    """Bring table and file of the ledger up to each other; returns how many entries there are.

    To be called on the live tables before they are given up for a backup. Raises LedgerBroken.
    """
    async with database.begin() as session:
        return len(await ledger.read(session, folder))


async def forget_strays(session: AsyncSession) -> int:
    """Remove what Rasa wrote of a conversation that was erased while it was thinking."""
    gone = 0
    for removal in await _there(session):
        if removal.table.startswith(_ASSISTANT):
            since = "changed_at" if removal.table.endswith("tracker") else "taken_at"
            done = await session.execute(
                text(
                    f"DELETE FROM {removal.table} x WHERE {since} > now() - interval '2 days' AND"  # noqa: S608
                    " NOT EXISTS (SELECT FROM conversation c WHERE c.id::text = x.conversation)"
                )
            )
            gone += int(done.rowcount)  # type: ignore[attr-defined]
    return gone


async def forget_conversation(session: AsyncSession, conversation_id: uuid.UUID) -> None:
    """The same for one conversation that turned out to be gone."""
    for removal in await _there(session):
        if removal.table.startswith(_ASSISTANT):
            await session.execute(
                text(
                    f"DELETE FROM {removal.table} WHERE conversation = :name AND"  # noqa: S608
                    " NOT EXISTS (SELECT FROM conversation WHERE id = :id)"
                ),
                {"name": str(conversation_id), "id": conversation_id},
            )


# Whom --------------------------------------------------------------------------------------------


async def _person(session: AsyncSession, citizen_id: uuid.UUID) -> _Person:
    addresses = await _addresses(session, citizen_id)
    if not addresses and await session.get(Citizen, citizen_id) is None:
        raise LookupError("There is no such citizen.")
    # Always in this order: conversations, then the ledger of merges, then addresses.
    await _hold_conversations(session, addresses)
    await session.execute(text("SELECT pg_advisory_xact_lock(hashtext('the ledger of merges'))"))
    addresses = await _addresses(session, citizen_id)  # as they are now that nobody can merge or part them
    citizens = {citizen_id, *(uuid.UUID(a.value) for a in addresses if a.channel == DESK)}
    return _Person(sorted(citizens), addresses, await _hold(session, addresses))


async def _addresses(session: AsyncSession, citizen_id: uuid.UUID) -> list[Address]:
    query = select(Address).where(Address.citizen_id == citizen_id).order_by(Address.id)
    return list(await session.scalars(query.execution_options(populate_existing=True)))


async def _hold(session: AsyncSession, addresses: Sequence[Address]) -> list[uuid.UUID]:
    """Lock addresses, so that no conversation can begin there, and give their conversations, locked."""
    places = text("SELECT FROM address WHERE id = ANY(:addresses) ORDER BY id FOR UPDATE")
    await session.execute(places, {"addresses": [address.id for address in addresses]})
    return await _hold_conversations(session, addresses)


async def _hold_conversations(session: AsyncSession, addresses: Sequence[Address]) -> list[uuid.UUID]:
    talks = text("SELECT id FROM conversation WHERE address_id = ANY(:addresses) ORDER BY id FOR UPDATE")
    return list(await session.scalars(talks, {"addresses": [address.id for address in addresses]}))


async def _refuse_held(session: AsyncSession, person: _Person) -> None:
    query = select(LegalHold).where(LegalHold.citizen_id.in_(person.citizens), holds.lasting(now()))
    standing = (await session.scalars(query)).all()
    if standing:
        raise Held(standing)


def _entry(session: AsyncSession, person: _Person) -> ledger.Entry:
    key, moment = silence.key_of(sealer_of(session)), now()
    addresses: dict[bytes, datetime] = {}
    for address in person.addresses:
        addresses[silence.mark(key, address.channel, address.value)] = moment
        if address.retired_at is not None:
            # An older backup knows the number under its plain value, and from then on it is another's.
            plain = address.value.partition(" (until ")[0]
            addresses[silence.mark(key, address.channel, plain)] = address.retired_at
    citizens = frozenset(silence.mark(key, "citizen", str(citizen)) for citizen in person.citizens)
    return ledger.Entry(new_id(), moment, key, citizens, addresses)


async def _returned(session: AsyncSession, entries: Sequence[ledger.Entry]) -> list[_Person]:
    """Whom a backup brought back, each of them held.

    An address goes by its own mark: by the time of its erasure it may have belonged to somebody else
    than in the backup. What such a citizen has besides stays, with a new citizen where the old one goes.
    """
    if not entries:
        return []
    keys = {entry.key for entry in entries}
    people = {mark for entry in entries for mark in entry.citizens}
    until: dict[bytes, datetime] = {}
    for entry in entries:
        for mark, moment in entry.addresses.items():
            until[mark] = max(moment, until.get(mark, moment))
    citizens = [
        citizen
        for citizen in await session.scalars(select(Citizen.id))
        if any(silence.mark(key, "citizen", str(citizen)) in people for key in keys)
    ]
    rows = await session.execute(select(Address.id, Address.channel, Address.value, Address.created_at))
    addresses = [
        identity
        for identity, channel, value, made in rows
        for mark in {silence.mark(key, channel, value) for key in keys}
        if mark in until and made <= until[mark]
    ]
    if not citizens and not addresses:
        return []
    await _leave_the_rest(session, citizens, addresses)
    found = list(await session.scalars(select(Address).where(Address.id.in_(addresses))))
    return [_Person(citizens, found, await _hold(session, found))]


async def _leave_the_rest(
    session: AsyncSession, citizens: list[uuid.UUID], addresses: list[uuid.UUID]
) -> None:
    """Give what else an erased citizen has in the backup to a new one: it was nobody's to erase."""
    query = select(Address).where(Address.citizen_id.in_(citizens), Address.id.not_in(addresses))
    strangers: dict[uuid.UUID, uuid.UUID] = {}
    for address in await session.scalars(query):
        if address.citizen_id not in strangers:
            strangers[address.citizen_id] = stranger = new_id()
            session.add(Citizen(id=stranger, created_at=now()))
            session.add(
                Address(
                    id=new_id(),
                    citizen_id=stranger,
                    channel=DESK,
                    value=str(stranger),
                    created_at=now(),
                    verified_at=now(),
                    proof="inner",
                )
            )
            await session.flush()
        await session.execute(
            update(Address)
            .where(Address.id == address.id)
            .values(citizen_id=strangers[address.citizen_id], born_to=None)
        )


# What --------------------------------------------------------------------------------------------


async def _remove(session: AsyncSession, person: _Person, schedule: Schedule | None) -> list[Line]:
    """Remove everything of a held person; without a schedule, as in a replay, nothing is kept of them."""
    values = person.values()
    await _keep_counts(session, values)
    for address in person.addresses:
        await silence.keep(session, address.channel, address.value)
    kept: dict[str, int] = {}
    kept["reports"] = await _part_with_reports(session, values, schedule)
    await _forget_words(session, person)
    done = await session.execute(text(f"{_LEADS_NOWHERE} WHERE {PROVIDERS_IDS}"), values)
    kept["message_ids"] = int(done.rowcount)  # type: ignore[attr-defined]
    gone: Counter[str] = Counter()
    for removal in await _there(session):
        statement = f"DELETE FROM {removal.table} WHERE {removal.which}"  # noqa: S608 - our own words
        done = await session.execute(text(statement), values)
        gone[removal.of] += int(done.rowcount)  # type: ignore[attr-defined]
    session.expunge_all()  # what it remembers of these rows is no longer true
    return [] if schedule is None else await _lines(session, person, schedule, gone, kept)


async def _keep_counts(session: AsyncSession, values: dict[str, Any]) -> None:
    theirs = "t.address_id = ANY(:addresses)"
    for measure in ("touchpoint", "handoff", "answer", "helpful"):
        await counts.keep(session, measure, theirs, addresses=values["addresses"])
    await counts.keep(session, "report", "r.address_id = ANY(:addresses)", addresses=values["addresses"])
    await counts.keep(session, "conversation", "c.id = ANY(:talks)", talks=values["conversations"])
    for measure, alias in (("flag", "f"), ("rating", "g"), ("wait", "w")):
        await counts.keep(
            session,
            measure,
            f"({alias}.address_id = ANY(:addresses) OR {alias}.conversation_id = ANY(:talks))",
            addresses=values["addresses"],
            talks=values["conversations"],
        )
    await counts.keep(session, "citizen", "z.id = ANY(:citizens)", citizens=values["citizens"])
    await counts.keep(
        session,
        "inbound",
        "i.channel IN ('web_chat', 'console') AND i.touchpoint_id IN"
        " (SELECT id FROM touchpoint WHERE address_id = ANY(:addresses))",
        addresses=values["addresses"],
    )


async def _part_with_reports(session: AsyncSession, values: dict[str, Any], schedule: Schedule | None) -> int:
    """Keep what the city needs of a report for its own work, in nobody's words and nobody's name."""
    if schedule is not None and not schedule["reports"].without_person:
        statement = "DELETE FROM report WHERE address_id = ANY(:addresses)"
    else:
        statement = (
            "UPDATE report SET address_id = NULL, conversation_id = NULL, touchpoint_id = NULL,"
            " photo_id = NULL, place = '', description = '' WHERE address_id = ANY(:addresses)"
        )
    done = await session.execute(text(statement), values)
    return int(done.rowcount)  # type: ignore[attr-defined]


async def _forget_words(session: AsyncSession, person: _Person) -> None:
    """Take away what staff wrote about the person: reasons in the audit, and searches for them."""
    for citizen in person.citizens:
        await take_words(session, SYSTEM, citizen)
    names = await session.scalars(
        select(Citizen.name).where(Citizen.id.in_(person.citizens), Citizen.name.is_not(None))
    )
    addresses = [address.value for address in person.addresses if address.channel != DESK]
    await saved.forget_person(session, [name for name in names if name], addresses)
    await articles.forget_questions(session, [address.id for address in person.addresses])


async def _there(session: AsyncSession) -> list[Removal]:
    """The removals whose tables exist: Rasa makes its own when it first starts."""
    found = []
    for removal in REMOVALS:
        if removal.table.startswith(_ASSISTANT):
            name = await session.scalar(text("SELECT to_regclass(:name)::text"), {"name": removal.table})
            if name is None:
                continue
        found.append(removal)
    return found


async def _count(session: AsyncSession, table: str, which: str, values: dict[str, Any]) -> int:
    found = await session.scalar(text(f"SELECT count(*) FROM {table} WHERE {which}"), values)  # noqa: S608
    return int(found or 0)


async def _lines(
    session: AsyncSession, person: _Person, schedule: Schedule, gone: Counter[str], kept: dict[str, int]
) -> list[Line]:
    """The answer class by class: *erased*, or *kept under* a rule of the city's."""
    if not schedule["reports"].without_person:
        gone["reports"] = kept.pop("reports")
    kept["audit"] = await _count(
        session, "audit", "citizen_id = ANY(:citizens)", {"citizens": person.citizens}
    )
    kept["erasures"] = 1
    lines = [Line(name, gone[name], kept.get(name, 0), _rule(schedule, kept, name)) for name in gone]
    lines += [Line(name, 0, kept[name], schedule[name]) for name in kept if name not in gone]
    return [line for line in lines if line.erased or line.kept]


def _rule(schedule: Schedule, kept: dict[str, int], name: str) -> Rule | None:
    return schedule[name] if kept.get(name) else None
