"""The way to the action server in the brain: one session, kept open."""

from __future__ import annotations

from typing import Any, Optional, Text

import aiohttp
from rasa.core.actions.action import ClientResponseError
from rasa.utils.endpoints import EndpointConfig

# The hub stops waiting for a turn after three seconds; a second delivery tries again.
TIMEOUT_SECONDS = 5.0


class BrainEndpoint(EndpointConfig):
    """An action endpoint that keeps its connections, unlike Rasa's, which opens one per action."""

    _session: Optional[aiohttp.ClientSession] = None

    @classmethod
    def of(cls, endpoint: EndpointConfig) -> BrainEndpoint:
        """Return the same endpoint with connections that last."""
        return cls(url=endpoint.url, headers=endpoint.headers)

    async def request(
        self,
        method: Text = "post",
        subpath: Optional[Text] = None,
        content_type: Optional[Text] = "application/json",
        compress: bool = False,
        **kwargs: Any,
    ) -> Optional[Any]:
        """Send one action call and return the decoded answer; raises ClientResponseError from 400 on."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                headers=self.headers, timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
            )
        kwargs.pop("timeout", None)
        async with self._session.request(method, self.url, **kwargs) as response:
            body = await response.read()
            if response.status >= 400:
                raise ClientResponseError(
                    response.status, response.reason or "", body.decode(errors="replace")
                )
            return await response.json()

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
