"""Finding any change to the audit: changed, removed, added, moved or cut off entries, by their numbers."""

from __future__ import annotations

import hmac
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit.chain import BEGINNING, Key
from contact_hub.audit.models import Entry, Head
from contact_hub.audit.service import ONLY, WORDS_TAKEN
from contact_hub.database import Database, sealer_of

_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong, and at which entry (None: at the head)."""

    number: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Receipt:
    """The chain's end at one moment. Kept elsewhere, it proves later that nothing before it is gone."""

    number: int
    mac: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.mac.hex()[:32]}"

    def fits(self, mac: bytes) -> bool:
        """Whether an entry's HMAC is the one the receipt was made of."""
        return hmac.compare_digest(mac[:16], self.mac[:16])

    @classmethod
    def read(cls, words: str) -> Receipt:
        """A receipt as it was printed; raises ValueError."""
        number, _, mac = words.strip().partition(":")
        made = cls(int(number), bytes.fromhex(mac))
        if made.number < 0 or len(made.mac) < 16:
            raise ValueError(words)
        return made


@dataclass
class Verdict:
    """What a check of the whole audit found."""

    entries: int = 0
    receipt: Receipt | None = None
    faults: list[Fault] = field(default_factory=list)


async def verify(database: Database, receipts: Sequence[Receipt] = ()) -> Verdict:
    """Check every entry, the order, both ends and any receipts given, as they stand at one moment."""
    async with database.begin() as session:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return await _Check(session, receipts).run()


class _Check:
    """One walk along the chain."""

    def __init__(self, session: AsyncSession, receipts: Sequence[Receipt]) -> None:
        self._session = session
        self._receipts = {receipt.number: receipt for receipt in receipts}
        self._sealer = sealer_of(session)
        self._keys = {mark: Key(self._sealer, mark) for mark in self._sealer.key_ids}
        self._blank: list[tuple[int, object]] = []  # entries without words, and whose they were
        self._taken: dict[object, int] = {}  # until which entry a citizen's words were taken away
        self.found = Verdict()

    def _fault(self, number: int | None, what: str) -> None:
        self.found.faults.append(Fault(number, what))

    async def run(self) -> Verdict:
        head = await self._session.get(Head, ONLY)
        due = 1 if head is None else head.first
        # What the next entry may follow: the HMAC as it stands, or as it should be, so that one changed
        # entry is not told twice.
        before: Collection[bytes] | None = {BEGINNING if head is None else head.before_first}
        last: Entry | None = None
        async for entry in self._entries():
            self.found.entries += 1
            if entry.number < due:
                self._fault(entry.number, "stands before the chain's beginning")
                continue
            if entry.number > due:
                self._fault(due, _missing(due, entry.number - 1))
                before = None
            before = self._look_at(entry, before)
            due, last = entry.number + 1, entry
        self._look_at_head(head, due, last)
        self._look_at_blanks()
        for receipt in self._receipts.values():
            self._fault(receipt.number, "is on a receipt, but is not there")
        if last is not None:
            self.found.receipt = Receipt(last.number, last.mac)
        self.found.faults.sort(key=lambda fault: (fault.number is None, fault.number or 0))
        return self.found

    def _look_at(self, entry: Entry, before: Collection[bytes] | None) -> Collection[bytes]:
        key = self._keys.get(entry.key_mark)
        self._look_at_receipt(entry)
        if key is None:
            self._fault(entry.number, f"was signed with another SECRET_KEY ({entry.key_mark})")
            return {entry.mac}
        self._look_at_words(entry, key)
        if before is None:  # the one before is missing, which was told
            return {entry.mac}
        right = {key.entry(entry, mac) for mac in before}
        if not any(hmac.compare_digest(entry.mac, mac) for mac in right):
            self._fault(entry.number, "was changed, put in or moved")
        return right | {entry.mac}

    def _look_at_words(self, entry: Entry, key: Key) -> None:
        if entry.action == WORDS_TAKEN and entry.citizen_id is not None:
            self._taken[entry.citizen_id] = entry.number
        if entry.words is None:
            self._blank.append((entry.number, entry.citizen_id))
        elif not hmac.compare_digest(key.words(entry.number, entry.words), entry.words_digest):
            self._fault(entry.number, "has other words than were written")

    def _look_at_blanks(self) -> None:
        """Words may be missing only where a later entry says that they were taken away."""
        for number, citizen in self._blank:
            if citizen is None or self._taken.get(citizen, 0) <= number:
                self._fault(number, "has lost its words, and no entry says why")

    def _look_at_receipt(self, entry: Entry) -> None:
        receipt = self._receipts.pop(entry.number, None)
        if receipt is not None and not receipt.fits(entry.mac):
            self._fault(entry.number, "is not the one on the receipt")

    def _look_at_head(self, head: Head | None, due: int, last: Entry | None) -> None:
        if head is None:
            if last is not None:
                self._fault(None, "The head of the chain is gone.")
            return
        key = self._keys.get(head.key_mark)
        if key is None:
            self._fault(None, f"The head was signed with another SECRET_KEY ({head.key_mark}).")
        elif not hmac.compare_digest(head.seal, key.head(head.first, head.before_first, head.last, head.mac)):
            self._fault(None, "The head of the chain was changed.")
        if head.last >= due:
            self._fault(due, _missing(due, head.last))
        elif last is not None and last.number > head.last:
            self._fault(head.last + 1, "and what follows stand behind the chain's end")
        elif last is not None and head.mac != last.mac:
            self._fault(last.number, "is not the one the head was signed with")

    async def _entries(self) -> AsyncIterator[Entry]:
        query = select(Entry).order_by(Entry.number).limit(_AT_ONCE)
        after: int | None = None
        while True:
            rest = query if after is None else query.where(Entry.number > after)
            page = (await self._session.scalars(rest)).all()
            for entry in page:
                yield entry
            if len(page) < _AT_ONCE:
                return
            after = page[-1].number
            self._session.expunge_all()


def _missing(first: int, last: int) -> str:
    return "is missing" if first == last else f"to {last} are missing"
