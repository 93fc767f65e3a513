"""The console: the same journey in a terminal, for demonstrations and for work without any keys.

`civicline chat` runs the loop: it hands lines to the inbox as `typed(...)`, reads the feed like web
chat does, and prints what `lines(...)` makes of it. Delivery is a row in our own database.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar

from channels.base import text as words
from channels.base.contract import Channel, FeedMessage, Inbound, InboundKind, Outbound, Sent
from channels.base.render import as_text

ACCOUNT = "terminal"
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")  # escape sequences could rewrite the screen

_SPEAKERS = {"citizen": "you", "bot": "city", "agent": "agent", "system": "city"}


class Console(Channel):
    """A resident at the keyboard."""

    name: ClassVar[str] = "console"
    endpoints: ClassVar[tuple[str, ...]] = ()
    max_text: ClassVar[int] = 4000
    sends_itself: ClassVar[bool] = True

    @classmethod
    def from_settings(cls, settings: Any) -> Console:
        """The console is always there."""
        return cls()

    @property
    def account(self) -> str:
        """The one terminal."""
        return ACCOUNT

    def split(self, text: str) -> list[str]:
        """Parts of at most 4000 characters."""
        return words.split(text, words.within(self.max_text))

    async def send(self, message: Outbound) -> Sent:
        """Nothing to do: the row is the delivery, and the terminal reads it from the feed."""
        return Sent(provider_id=message.delivery)

    def typed(self, line: str, *, session: str, client_id: str | None = None) -> Inbound:
        """What a resident typed, as a touchpoint to be."""
        identity = client_id or uuid.uuid4().hex
        return Inbound(
            self.name,
            self.account,
            f"{session}:{identity}",
            session,
            InboundKind.TEXT,
            text=line.replace("\0", ""),
            message_id=identity,
            provider_time=datetime.now(UTC),
        )

    def lines(self, message: FeedMessage) -> str:
        """A message of the feed as it is printed: the speaker, the words, sources and numbered choices."""
        files = "".join(f"\n[{file.get('name', 'file')}]" for file in message.attachments)
        body = as_text(message.text + files, message.buttons, message.sources)
        speaker = _SPEAKERS.get(message.author, message.author)
        indent = " " * (len(speaker) + 2)
        return f"{speaker}> " + _CONTROLS.sub("", body).replace("\n", f"\n{indent}")
