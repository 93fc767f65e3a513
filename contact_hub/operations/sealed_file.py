"""A file of any size that is sealed piece by piece: cut short, mixed up or changed, it does not open.

    "civicline sealed 1\\n" | key id (4 bytes) | salt (32 bytes, random)         the head
    last (1 byte, 0 or 1) | length (4 bytes, big-endian) | ciphertext and tag   one piece after another

Each file has a key of its own, derived from SECRET_KEY and its salt. A piece's nonce is its number and
whether it is the last one, so that a piece opens at its own place only and an end that is missing is
noticed; the head is authenticated with every piece.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from contact_hub.sealing import KEY_ID_BYTES, TAG_BYTES, Sealer, Unsealable

MAGIC = b"civicline sealed 1\n"
SALT_BYTES = 32
PIECE_BYTES = 1024 * 1024
_HEAD_BYTES = len(MAGIC) + KEY_ID_BYTES + SALT_BYTES
_LABEL_BYTES = 5


class SealedWriter:
    """Seals what is written into a file; without `close` the file has no end and does not open."""

    def __init__(self, file: BinaryIO, sealer: Sealer, purpose: str) -> None:
        self._file = file
        salt = os.urandom(SALT_BYTES)
        self._head = MAGIC + bytes.fromhex(sealer.key_id) + salt
        self._cipher = AESGCM(sealer.key(purpose, salt=salt))
        self._number = 0
        self._rest = bytearray()
        file.write(self._head)
        self.written = len(self._head)

    def write(self, data: bytes) -> None:
        """Append data."""
        self._rest += data
        while len(self._rest) > PIECE_BYTES:
            self._piece(bytes(self._rest[:PIECE_BYTES]), last=False)
            del self._rest[:PIECE_BYTES]

    def end_piece(self) -> None:
        """End a piece here, so that what was written so far is read on its own."""
        self._piece(bytes(self._rest), last=False)
        self._rest.clear()

    def close(self) -> None:
        """Write the last piece; the file itself stays open."""
        self._piece(bytes(self._rest), last=True)
        self._rest.clear()
        self._file.flush()

    def _piece(self, data: bytes, *, last: bool) -> None:
        sealed = self._cipher.encrypt(_nonce(self._number, last), data, self._head)
        self._file.write(bytes([last]) + len(sealed).to_bytes(4, "big") + sealed)
        self._number += 1
        self.written += _LABEL_BYTES + len(sealed)


def read_pieces(file: BinaryIO, sealer: Sealer, purpose: str) -> Iterator[bytes]:
    """What was written, piece by piece; raises Unsealable with one sentence for anything amiss.

    Whoever reads may act on a piece at once, and must undo that when a later one raises.
    """
    head = _read(file, _HEAD_BYTES)
    if not head.startswith(MAGIC):
        raise Unsealable("This is no sealed file of Civicline's.")
    if len(head) < _HEAD_BYTES:
        raise Unsealable("The file is cut short: not even its head is whole.")
    key_id, salt = head[len(MAGIC) : -SALT_BYTES].hex(), head[-SALT_BYTES:]
    cipher = AESGCM(sealer.key(purpose, salt=salt, key_id=key_id))
    number, last = 0, False
    while not last:
        label = _read(file, _LABEL_BYTES)
        length = int.from_bytes(label[1:], "big")
        if len(label) < _LABEL_BYTES:
            raise Unsealable(f"The file is cut short: it ends after {number} pieces, before its last one.")
        if label[0] > 1 or not TAG_BYTES <= length <= PIECE_BYTES + TAG_BYTES:
            raise Unsealable(f"The file was changed: what stands before piece {number + 1} makes no sense.")
        last = bool(label[0])
        sealed = _read(file, length)
        if len(sealed) < length:
            raise Unsealable(f"The file is cut short: it ends inside piece {number + 1}.")
        try:
            data = cipher.decrypt(_nonce(number, last), sealed, head)
        except InvalidTag:
            raise Unsealable(
                f"The file does not open: piece {number + 1} was changed, or lies in the wrong place."
            ) from None
        number += 1
        yield data
    if file.read(1):
        raise Unsealable("The file was changed: something follows its end.")


def _nonce(number: int, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


def _read(file: BinaryIO, size: int) -> bytes:
    """As much as there is, up to `size`: a pipe gives less at a time."""
    parts = []
    while size > 0 and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
