"""How entries are tied together: each one's HMAC covers the HMAC of the one before."""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

from contact_hub.sealing import Sealer

BEGINNING = bytes(32)  # what the first entry follows


class Signed(Protocol):
    """What of an entry its HMAC covers."""

    @property
    def number(self) -> int: ...
    @property
    def at(self) -> datetime: ...
    @property
    def viewer_kind(self) -> str: ...
    @property
    def viewer_id(self) -> uuid.UUID | None: ...
    @property
    def viewer_name(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def citizen_id(self) -> uuid.UUID | None: ...
    @property
    def subject(self) -> str | None: ...
    @property
    def words_digest(self) -> bytes: ...


class Key:
    """Signs entries; derived from SECRET_KEY for this purpose alone. `mark` names it in the table."""

    def __init__(self, sealer: Sealer, mark: str | None = None) -> None:
        self.mark = mark or sealer.key_id
        self._key = sealer.key("audit", key_id=self.mark)

    def _sign(self, what: str, *parts: Any) -> bytes:
        covered = json.dumps([what, *parts], ensure_ascii=True, sort_keys=True, separators=(",", ":"))
        return hmac.digest(self._key, covered.encode(), "sha256")

    def entry(self, entry: Signed, before: bytes) -> bytes:
        """The HMAC of an entry that follows the one whose HMAC is `before`."""
        return self._sign(
            "entry",
            entry.number,
            entry.at.astimezone(UTC).isoformat(timespec="microseconds"),
            entry.viewer_kind,
            entry.viewer_id and str(entry.viewer_id),
            entry.viewer_name,
            entry.action,
            entry.citizen_id and str(entry.citizen_id),
            entry.subject,
            entry.words_digest.hex(),
            before.hex(),
        )

    def words(self, number: int, words: Mapping[str, Any]) -> bytes:
        """The HMAC of an entry's words; without the key nobody can guess words from it."""
        return self._sign("words", number, words)

    def head(self, first: int, before_first: bytes, last: int, mac: bytes) -> bytes:
        """The HMAC of where the chain begins and ends."""
        return self._sign("head", first, before_first.hex(), last, mac.hex())


def plain(value: Any) -> Any:
    """A value as JSON gives it back unchanged: text, whole numbers, truth, lists and objects of these."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, Mapping):
        return {clean(str(key)): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=str) if isinstance(value, set | frozenset) else value
        return [plain(item) for item in items]
    return clean(str(value))


def clean(text: str) -> str:
    """Text as PostgreSQL keeps it: without NUL and halves of characters."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "")
