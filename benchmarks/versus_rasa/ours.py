"""Our side: a resident on the web chat, over plain HTTP as the city's page speaks it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import aiohttp

from benchmarks.load import NoReply, Sender

LONGEST = 20  # seconds a poll is held open


@dataclass
class Resident:
    """One session of the web chat; a turn is a message and the poll that brings its answer."""

    client: aiohttp.ClientSession
    url: str
    token: str
    said: int = 0

    async def say(self, words: str) -> None:
        """Post a message and wait for the bot's line after it; raises NoReply."""
        self.said += 1
        headers = {"Authorization": f"Bearer {self.token}"}
        body = {"text": words, "client_id": f"m{self.said}"}
        try:
            async with self.client.post(f"{self.url}/messages", json=body, headers=headers) as taken:
                if taken.status != 202:
                    raise NoReply(f"POST {taken.status} {await taken.text()}")
                after = (await taken.json())["seq"]
            asked = f"{self.url}/messages?after={after}&wait={LONGEST}"
            async with self.client.get(asked, headers=headers) as feed:
                if feed.status != 200:
                    raise NoReply(f"GET {feed.status} {await feed.text()}")
                messages: list[dict[str, Any]] = (await feed.json())["messages"]
        except aiohttp.ClientError as error:
            raise NoReply(repr(error)) from None
        if not any(message["from"] in {"bot", "system"} for message in messages):
            raise NoReply(f"no answer within {LONGEST} s")


class Civicline:
    """The line under load."""

    def __init__(self, client: aiohttp.ClientSession, url: str) -> None:
        """Remember where its web chat is."""
        self._client = client
        self._url = f"{url}/channels/web_chat"
        self._numbers = itertools.count()

    async def new_sender(self) -> Sender:
        """Open a session."""
        async with self._client.post(f"{self._url}/sessions", json={"language": "en"}) as opened:
            if opened.status != 200:
                raise NoReply(f"no session: {opened.status} {await opened.text()}")
            return Resident(self._client, self._url, (await opened.json())["token"])
