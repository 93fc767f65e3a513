"""The reckoning after the chaos: not how many messages there are, but whether each is the right one, once."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

from channels.base.bot_api.messages import DUPLICATE_MARK
from contact_hub.settings import libpq_url
from tests.chaos.residents import OPENING, Ended, OnTheWeb, Resident, plain
from tests.whole import WholeLine

_ARRIVED = {"sent", "delivered", "read"}
_SILENT = {"handed_off", "suppressed"}  # outcomes that need no word of the bot


@dataclass
class Reckoning:
    """What was found; `problems` is empty when nothing was lost, doubled, mixed up or wrong."""

    messages: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    unsettled: int = 0
    left_tasks: int = 0
    dead_letters: int = 0
    sent: dict[str, int] = field(default_factory=dict)
    marked_duplicates: int = 0  # arrived twice, the second time with the mark
    marked: int = 0  # sent again with the mark, whether the first had arrived or not
    reports: int = 0
    ended: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Books:
    """Everything the tables say about the residents of one run."""

    def __init__(self, line: WholeLine, residents: Sequence[Resident]) -> None:
        self._addresses = [resident.address for resident in residents]
        with psycopg.connect(
            libpq_url(line.database_url), autocommit=True, row_factory=dict_row
        ) as connection:
            self._connection = connection
            self.inbound = self._by_address(
                "SELECT a.value, t.id, t.text, i.outcome, i.step, i.external_id,"
                " EXISTS (SELECT FROM ticket k WHERE k.touchpoint_id = t.id) AS ticket"
                " FROM touchpoint t JOIN address a ON a.id = t.address_id"
                " LEFT JOIN inbound i ON i.touchpoint_id = t.id"
                " WHERE t.direction = 'in' AND a.value = ANY(%s) ORDER BY t.id"
            )
            self.replies = self._by_address(
                "SELECT a.value, t.id, t.text, t.in_reply_to, t.actor, t.payload->>'say' AS say"
                " FROM touchpoint t JOIN address a ON a.id = t.address_id"
                " WHERE t.direction = 'out' AND a.value = ANY(%s) ORDER BY t.id"
            )
            self.deliveries = self._by_address(
                "SELECT a.value, d.touchpoint_id, d.part, d.text, d.state, d.reason, d.possible_duplicate"
                " FROM delivery d JOIN address a ON a.id = d.address_id"
                " WHERE a.value = ANY(%s) ORDER BY d.touchpoint_id, d.part"
            )
            self.reports = self._by_address(
                "SELECT a.value, r.reference, r.category, r.place, r.description FROM report r"
                " JOIN address a ON a.id = r.address_id WHERE a.value = ANY(%s) ORDER BY r.number"
            )
            self.answers = self._by_address(
                "SELECT a.value, w.question_id FROM answer w JOIN touchpoint t ON t.id = w.touchpoint_id"
                " JOIN address a ON a.id = t.address_id WHERE a.value = ANY(%s)"
            )
            self.conversations = self._by_address(
                "SELECT a.value, c.state, c.reason FROM conversation c JOIN address a ON a.id = c.address_id"
                " WHERE a.value = ANY(%s) ORDER BY c.id"
            )
            self.feed = self._by_address(
                "SELECT f.session_id::text AS value, f.seq, t.direction, t.text FROM feed_entry f"
                " JOIN touchpoint t ON t.id = f.touchpoint_id"
                " WHERE f.session_id::text = ANY(%s) ORDER BY f.seq"
            )
            self.tasks = self._by_address(
                "SELECT a.value, k.lane, k.attempts, k.last_error FROM task k"
                " JOIN conversation c ON c.id = k.conversation_id JOIN address a ON a.id = c.address_id"
                " WHERE a.value = ANY(%s)"
            )
            self.unsettled = connection.execute(
                "SELECT count(*) AS n FROM inbound WHERE outcome IS NULL"
            ).fetchone()

    def _by_address(self, query: LiteralString) -> dict[str, list[dict[str, Any]]]:
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for row in self._connection.execute(query, (self._addresses,)):
            found[row.pop("value")].append(row)
        return found


def reckon(line: WholeLine, residents: Sequence[Resident]) -> Reckoning:
    """Compare what was said, what is in the tables, and what arrived."""
    books = Books(line, residents)
    found = Reckoning(
        messages=sum(len(resident.said) for resident in residents),
        unsettled=books.unsettled["n"] if books.unsettled else 0,
        outcomes=dict(
            Counter(str(row["outcome"]) for rows in books.inbound.values() for row in rows).most_common()
        ),
        left_tasks=sum(map(len, books.tasks.values())),
        ended=dict(Counter(str(resident.ended) for resident in residents).most_common()),
        reports=sum(map(len, books.reports.values())),
        dead_letters=sum(
            row["outcome"] == "dead_lettered" for rows in books.inbound.values() for row in rows
        ),
    )
    if found.unsettled:
        found.problems.append(f"{found.unsettled} messages are not settled")
    for resident in residents:
        told = [
            *_what_was_said(resident, books),
            *_what_was_answered(resident, books),
            *_what_was_reported(resident, books),
            *(
                _the_feed(resident, books)
                if isinstance(resident, OnTheWeb)
                else _sent(resident, books, found)
            ),
        ]
        if resident.ended in {Ended.UNHEARD, Ended.LEFT, None}:
            told.append(f"ended as {resident.ended} after {resident.said[-1]!r}")
        told += [f"a task is left over: {task}" for task in books.tasks[resident.address]]
        found.problems += [f"{resident.channel} {resident.number}: {words}" for words in told]
        found.sent[resident.channel] = found.sent.get(resident.channel, 0) + len(resident.heard)
    return found


def _what_was_said(resident: Resident, books: Books) -> list[str]:
    """Everything said is kept once, in order, and ended in exactly one outcome."""
    rows = books.inbound[resident.address]
    kept = [row["text"] for row in rows]
    told = [] if kept == resident.said else [f"said {resident.said}, but kept is {kept}"]
    if len({row["external_id"] for row in rows}) != len(rows):
        told.append("one provider's id is kept twice, or none at all")
    for row in rows:
        if row["outcome"] is None:
            told.append(f"{row['text']!r} has no outcome")
        if row["outcome"] == "dead_lettered" and not row["ticket"]:
            told.append(f"{row['text']!r} was given up without a ticket")
    return told


def _what_was_answered(resident: Resident, books: Books) -> list[str]:
    """Every message has its replies once, in the order of the messages."""
    told = []
    order = {row["id"]: place for place, row in enumerate(books.inbound[resident.address])}
    replies = [row for row in books.replies[resident.address] if row["in_reply_to"] is not None]
    if strangers := [row["text"] for row in replies if row["in_reply_to"] not in order]:
        told.append(f"replies to nothing: {strangers}")
    else:
        places = [order[row["in_reply_to"]] for row in replies]
        if places != sorted(places):
            told.append(f"replies are out of order: {places}")
    for (question, words), times in Counter((row["in_reply_to"], row["text"]) for row in replies).items():
        if times > 1:
            told.append(f"replied {times} times to one message: {words!r} ({question})")
    for question, times in Counter(row["question_id"] for row in books.answers[resident.address]).items():
        if times > 1:
            told.append(f"{times} answers are kept for one question ({question})")
    answered = {row["in_reply_to"] for row in replies}
    return told + [
        f"{row['text']!r} ended as {row['outcome']} without a word"
        for row in books.inbound[resident.address]
        if row["outcome"] not in _SILENT and row["id"] not in answered
    ]


def _what_was_reported(resident: Resident, books: Books) -> list[str]:
    """A form's report holds exactly what was said, once; or a person has the conversation."""
    reports = books.reports[resident.address]
    if not resident.reports:
        return [f"reported without wishing to: {reports}"] if reports else []
    # The form takes the first sentence as the beginning of the description.
    wanted = ("pothole", resident.place, f"{OPENING}. {resident.description}")
    held = [(row["category"], row["place"], row["description"]) for row in reports]
    if resident.ended is Ended.REPORTED and held != [wanted]:
        return [f"said {wanted}, but reported is {held}"]
    if resident.ended is Ended.HANDED_OVER:
        state = books.conversations[resident.address][-1]["state"]
        if held:
            return [f"a person has the conversation, and yet reported is {held}"]
        if state not in {"waiting", "agent"}:
            return [f"was told of a person, but the conversation is '{state}'"]
    return []


def _the_feed(resident: OnTheWeb, books: Books) -> list[str]:
    """The page saw every line of its session once, in order, and nothing else."""
    told = []
    rows = books.feed[resident.address]
    if resident.seqs != [row["seq"] for row in rows] or resident.seqs != list(range(1, len(rows) + 1)):
        told.append(f"read the lines {resident.seqs}, but the session has {[row['seq'] for row in rows]}")
    if resident.heard != [row["text"] for row in rows if row["direction"] == "out"]:
        told.append("read other words than the session has")
    if resident.own_seqs != [row["seq"] for row in rows if row["direction"] == "in"]:
        told.append("was told other numbers for its own messages than they have")
    lines = sorted(row["id"] for row in books.inbound[resident.address] + books.replies[resident.address])
    if len(rows) != len(lines):
        told.append(f"{len(lines)} touchpoints, but {len(rows)} lines in the session")
    return told


def _sent(resident: Resident, books: Books, found: Reckoning) -> list[str]:
    """What arrived is what was to leave, in order: nothing lost, nothing doubled but with the mark."""
    deliveries = books.deliveries[resident.address]
    told = [
        f"a part is '{row['state']}' ({row['reason']}): {row['text']!r}"
        for row in deliveries
        if row["state"] not in _ARRIVED and not (row["state"] == "cancelled" and row["reason"])
    ]
    found.marked += sum(row["possible_duplicate"] for row in deliveries)
    if len({(row["touchpoint_id"], row["part"]) for row in deliveries}) != len(deliveries):
        told.append("a part was put on its way twice")
    wanted = [row for row in deliveries if row["state"] in _ARRIVED]
    arrived = list(resident.heard)
    for row, following in itertools.zip_longest(wanted, wanted[1:]):
        if not arrived or not _is(arrived[0], row):
            return [*told, f"lost, or out of order: {row['text']!r}; next arrived {arrived[:1]}"]
        arrived.pop(0)
        again = 0
        while arrived and _is(arrived[0], row):
            marked = arrived[0].startswith(DUPLICATE_MARK) and row["possible_duplicate"]
            if not marked and following is not None and _is(arrived[0], following):
                break  # the same words, said twice
            arrived.pop(0)
            again += 1
            found.marked_duplicates += marked
            if resident.channel != "telegram" or not marked or again > 1:
                told.append(f"arrived {again + 1} times: {row['text']!r}")
    if arrived:
        told.append(f"arrived without being on its way: {arrived}")
    return told


def _is(arrived: str, delivery: dict[str, Any]) -> bool:
    """Whether this arrived message is that part; sources and choices may follow its words."""
    return plain(arrived.removeprefix(DUPLICATE_MARK)).startswith(plain(delivery["text"]))
