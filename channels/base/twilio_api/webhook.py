"""Proves and reads Twilio's webhooks: inbound texts, pictures and status callbacks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, parse_qsl

import structlog
from starlette.datastructures import ImmutableMultiDict
from twilio.request_validator import (
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

from channels.base.clean import clean
from channels.base.codes import Outcome
from channels.base.contract import (
    DeliveryState,
    Inbound,
    InboundKind,
    MediaRef,
    Receipt,
    WebhookRequest,
)
from channels.base.errors import NotAuthentic
from channels.base.twilio_api.codes import STATES, meaning

log = structlog.get_logger(__name__)

# Whole body, any case. Twilio acts on these words and answers them itself.
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "YES", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})

_MAX_FIELDS = 200
_MEDIA_KINDS = {"image": "photo", "audio": "voice"}

Fields = Mapping[str, str]


def proved_fields(request: WebhookRequest, url: str, validator: RequestValidator) -> Fields:
    """The fields of a request that Twilio signed for `url`. Raises NotAuthentic.

    `url` is the configured public one with the request's query: what the request calls its own URL
    depends on proxies and on whoever sends it. A form is signed with every field in it, blank and
    repeated ones too; JSON by a hash of the raw body in the signed query.
    """
    signature = request.headers.get(SIGNATURE_HEADER.lower(), "")
    algorithm = get_signature_algorithm(request.headers.get(SIGNATURE_SETTINGS_HEADER.lower()))
    if request.content_type == "application/json":
        if "bodySHA256" not in parse_qs(request.query):
            raise NotAuthentic("A JSON webhook carries no hash of its body.")
        body = _decoded(request.body)
        if not validator.validate(url, body, signature, algorithm):
            raise NotAuthentic("The webhook's signature is wrong.")
        return _flat(body)
    try:
        pairs = parse_qsl(_decoded(request.body), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise NotAuthentic("The webhook's form cannot be read.") from None
    if not validator.validate(url, ImmutableMultiDict(pairs), signature, algorithm):
        raise NotAuthentic("The webhook's signature is wrong.")
    return {name: clean(value) for name, value in pairs}


def inbound(fields: Fields, channel: str, account: str) -> Inbound:
    """What a resident did, from a webhook's fields or from the same fields of a listed message."""
    sid, sender = fields.get("MessageSid") or fields.get("SmsSid") or "", fields.get("From", "")
    if not sid or not sender or "Body" not in fields:
        return Inbound(
            channel,
            account,
            sid or _hash(fields),
            sender,
            InboundKind.UNSUPPORTED,
            payload={"raw": dict(fields)},
        )
    text, media = fields["Body"], _media(fields)
    payload: dict[str, Any] = {}
    kind = InboundKind(media[0].kind) if media else InboundKind.TEXT
    word = text.strip().upper()
    known = fields.get("OptOutType", "").upper()
    if not media:
        if known == "STOP" or word in STOP_WORDS:
            kind = InboundKind.OPT_OUT
        elif known == "START" or word in START_WORDS:
            # Only OptOutType proves that Twilio took it as an opt-in. A plain "yes" from somebody who
            # never opted out is an answer to the bot's question, which only the hub can tell.
            kind, payload = InboundKind.OPT_IN, {"word": word, "provider_answered": known == "START"}
        elif known == "HELP" or word in HELP_WORDS:
            payload = {"provider_help": True}
    return Inbound(
        channel, account, sid, sender, kind, text=text, payload=payload, media=media, message_id=sid
    )


def receipt(fields: Fields, channel: str, account: str, delivery: str | None) -> Receipt | None:
    """What became of a message; None for a state that says nothing we could use."""
    sid = fields.get("MessageSid") or fields.get("SmsSid") or ""
    status = (fields.get("MessageStatus") or fields.get("SmsStatus") or "").lower()
    state = STATES.get(status)
    if not sid or state is None:
        log.error("sms_unknown_status", status=status[:40], has_sid=bool(sid))
        return None
    told = Receipt(channel, account, f"{sid}:{status}", state, provider_id=sid, delivery=delivery)
    if state is not DeliveryState.FAILED:
        return told
    code = fields.get("ErrorCode") or None
    row = meaning(code)
    return Receipt(
        channel,
        account,
        told.external_id,
        state,
        provider_id=sid,
        delivery=delivery,
        code=code,
        reason=row.reason,
        unreachable=row.unreachable,
        opted_out=row.opted_out,
        alert=row.alert,
        retry=row.outcome is not Outcome.NEVER,
    )


def _media(fields: Fields) -> tuple[MediaRef, ...]:
    count = int(fields["NumMedia"]) if fields.get("NumMedia", "").isdigit() else 0
    found = []
    for number in range(min(count, 10)):
        url, mime = fields.get(f"MediaUrl{number}"), fields.get(f"MediaContentType{number}", "").lower()
        if url:
            found.append(MediaRef(url, _MEDIA_KINDS.get(mime.split("/")[0], "document"), mime=mime or None))
    return tuple(found)


def _decoded(body: bytes) -> str:
    return body.decode("utf-8", "replace")


def _flat(body: str) -> Fields:
    try:
        found = clean(json.loads(body))
    except (ValueError, RecursionError):
        return {"raw": clean(body)[:16_000]}
    if not isinstance(found, dict):
        return {"raw": json.dumps(found)[:16_000]}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in found.items()}


def _hash(fields: Fields) -> str:
    return "raw:" + hashlib.sha256(json.dumps(sorted(fields.items())).encode()).hexdigest()[:32]
