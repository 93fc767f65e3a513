"""The signature of Standard Webhooks (https://www.standardwebhooks.com), symmetric and version 1."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    """A fresh secret, as it is shown to whoever receives the webhook."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def signature(shown: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One signature over id, time and body; raises ValueError for a secret that is none."""
    try:
        key = base64.b64decode(shown.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise ValueError("this is no secret of a webhook") from None
    signed = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(signed).decode()


def headers(shown: list[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """What a receiver checks; while a secret is being replaced there is one signature for each."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in shown),
    }
