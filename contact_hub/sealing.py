"""Seals what must not lie open: stored secrets, attachments, backups.

AES-256-GCM. Every purpose has a key of its own, derived from SECRET_KEY by HKDF-SHA256, so that what
was sealed for one purpose opens for no other. A sealed value is

    version (1 byte) | key id (4 bytes) | nonce (12 bytes, random) | ciphertext and tag

and what stands before the nonce is authenticated with it, as is `about`: whatever the value belongs
to (a row's id, a chunk's position), so that a value copied to another place does not open there.
The key id says which SECRET_KEY sealed it: while a key is being replaced, the former one
(SECRET_KEY_PREVIOUS) still opens, and only the new one seals.
"""

from __future__ import annotations

import hashlib
import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

VERSION = b"\x01"
KEY_ID_BYTES = 4
NONCE_BYTES = 12
TAG_BYTES = 16
# What a seal adds to what it holds.
OVERHEAD = len(VERSION) + KEY_ID_BYTES + NONCE_BYTES + TAG_BYTES


class Unsealable(Exception):
    """Says in one sentence why something does not open: another key, another place, or changed."""


class Sealer:
    """Seals under SECRET_KEY, and opens what it or a former key sealed."""

    def __init__(self, secret_key: str, *previous: str) -> None:
        self._current = _key_id(secret_key)
        self._secrets = {_key_id(secret): secret for secret in (*previous, secret_key)}
        self._ciphers: dict[tuple[bytes, str], AESGCM] = {}

    @property
    def key_id(self) -> str:
        """Names the key that seals now; it tells nothing about the key itself."""
        return self._current.hex()

    @property
    def head(self) -> bytes:
        """What everything begins with that is sealed now."""
        return VERSION + self._current

    @property
    def key_ids(self) -> frozenset[str]:
        """Names every key that can open."""
        return frozenset(name.hex() for name in self._secrets)

    def seal(self, purpose: str, data: bytes, about: bytes = b"") -> bytes:
        """Seals data for a purpose and for what it is about."""
        head = self.head
        nonce = os.urandom(NONCE_BYTES)
        cipher = self._cipher(self._current, purpose)
        return head + nonce + cipher.encrypt(nonce, data, head + about)

    def unseal(self, purpose: str, sealed: bytes, about: bytes = b"") -> bytes:
        """Opens what was sealed for this purpose and about the same thing; raises Unsealable."""
        if len(sealed) < OVERHEAD or sealed[:1] != VERSION:
            raise Unsealable("This was not sealed here, or its beginning was changed.")
        head = sealed[: len(VERSION) + KEY_ID_BYTES]
        key_id = head[len(VERSION) :]
        if key_id not in self._secrets:
            raise Unsealable(
                f"This was sealed with another SECRET_KEY (key {key_id.hex()}, this one is {self.key_id})."
            )
        nonce = sealed[len(head) : len(head) + NONCE_BYTES]
        try:
            return self._cipher(key_id, purpose).decrypt(
                nonce, sealed[len(head) + NONCE_BYTES :], head + about
            )
        except InvalidTag:
            raise Unsealable(
                "This was changed after it was sealed, or was sealed for something else."
            ) from None

    def key(self, purpose: str, *, salt: bytes | None = None, key_id: str | None = None) -> bytes:
        """Gives 32 bytes for one purpose, for formats of their own; raises Unsealable for an unknown key."""
        secret = self._secrets.get(self._current if key_id is None else bytes.fromhex(key_id))
        if secret is None:
            raise Unsealable(
                f"This was made with another SECRET_KEY (key {key_id}, this one is {self.key_id})."
            )
        return _derive(secret, purpose, salt)

    def _cipher(self, key_id: bytes, purpose: str) -> AESGCM:
        found = self._ciphers.get((key_id, purpose))
        if found is None:
            found = self._ciphers[key_id, purpose] = AESGCM(_derive(self._secrets[key_id], purpose, None))
        return found


def _derive(secret: str, purpose: str, salt: bytes | None) -> bytes:
    info = b"civicline " + VERSION + purpose.encode()
    return HKDF(SHA256(), length=32, salt=salt, info=info).derive(secret.encode())


def _key_id(secret: str) -> bytes:
    return hmac.new(secret.encode(), b"civicline key id", hashlib.sha256).digest()[:KEY_ID_BYTES]
