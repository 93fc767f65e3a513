"""Recorded requests: tests/fixtures/<channel>/*.json, the files that make a new channel part of this suite.

`channel.json` holds the settings under which the others were recorded, the header that proves a request
(`proof`) and whether that proof covers the body (`signs_body`). Every other file is one request
(`endpoint`, `query`, `headers` and one of `json`, `form`, `body`) with what it must become (`expect`:
lists of `inbound` and `receipts`; a field that is not named is not compared). A file whose name begins
with `unknown` is a payload that nobody has seen before.

After a change, `python -m tests.contract.recorded` signs the SMS requests anew.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

from channels.base.contract import Channel, WebhookRequest
from channels.base.registry import all_channels

FIXTURES = Path(__file__).parent.parent / "fixtures"


@dataclass(frozen=True)
class Recorded:
    """One request as the provider sent it."""

    channel: str
    name: str
    request: WebhookRequest
    expect: dict[str, list[dict[str, Any]]]

    def __str__(self) -> str:
        return f"{self.channel}/{self.name}"


def settings(channel: str, **changes: Any) -> SimpleNamespace:
    """The settings under which a channel's requests were recorded."""
    return SimpleNamespace(**{**about(channel)["settings"], **changes})


def about(channel: str) -> dict[str, Any]:
    """A channel's `channel.json`; without one, a channel that needs no settings and has no webhooks."""
    path = FIXTURES / channel / "channel.json"
    if not path.exists():
        return {"settings": {}, "proof": None, "signs_body": False}
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def build(channel: str, **changes: Any) -> Channel:
    """The channel under its recorded settings."""
    made = all_channels()[channel].from_settings(settings(channel, **changes))
    assert made is not None, f"tests/fixtures/{channel}/channel.json does not switch the channel on"
    return made


def requests_of(channel: str) -> list[Recorded]:
    """Every recorded request of a channel, in the order of their names."""
    files = sorted((FIXTURES / channel).glob("*.json"))
    return [_read(channel, file) for file in files if file.stem != "channel"]


def with_webhooks() -> list[str]:
    """The channels that some provider calls."""
    return [name for name, kind in all_channels().items() if kind.endpoints]


def everything() -> list[Recorded]:
    """The recorded requests of all channels."""
    return [request for channel in with_webhooks() for request in requests_of(channel)]


def matches(actual: Any, expected: dict[str, Any]) -> None:
    """Compare the named fields of a dataclass with what a file says."""
    found = {name: _plain(getattr(actual, name)) for name in expected}
    assert found == expected


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return value


def _read(channel: str, file: Path) -> Recorded:
    told = json.loads(file.read_text("utf-8"))
    request = WebhookRequest(
        endpoint=told["endpoint"],
        method="POST",
        # Behind a proxy a request's own URL is not the public one, and anybody may choose it.
        url=f"http://10.0.0.7:8000/channels/{channel}/{told['endpoint']}",
        query=told["query"],
        headers=told["headers"],
        body=_body(told),
    )
    return Recorded(channel, file.stem, request, {"inbound": [], "receipts": [], **told["expect"]})


def _body(told: dict[str, Any]) -> bytes:
    if "json" in told:
        return json.dumps(told["json"]).encode()
    if "form" in told:
        return urlencode([tuple(pair) for pair in told["form"]]).encode()
    return str(told["body"]).encode()


def main() -> None:
    """Sign the recorded SMS requests anew."""
    from tests.fakes.twilio import sign

    own = about("sms")["settings"]
    for file in (FIXTURES / "sms").glob("*.json"):
        told = json.loads(file.read_text("utf-8"))
        if file.stem == "channel":
            continue
        query = f"?{told['query']}" if told["query"] else ""
        url = f"{own['public_url']}/channels/sms/{told['endpoint']}{query}"
        fields = [(name, value) for name, value in told.get("form", [])]
        told["headers"]["x-twilio-signature"] = sign(url, fields, own["twilio_auth_token"])
        file.write_text(json.dumps(told, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
