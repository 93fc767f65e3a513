"""An HTTP client for the Twilio SDK: asynchronous, with time-outs, to any base URL, and quiet.

The SDK's own clients have no time-out by default, block the event loop or log phone numbers. This one
also says which failures happened before the request left (try again) and which after (look it up),
and measures how far the provider's clock is from ours.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
from twilio.http import AsyncHttpClient
from twilio.http.response import Response

from channels.base.codes import Outcome, failure
from channels.base.errors import SendFailure, TemporaryFailure, UncertainFailure
from channels.base.fetch import trusted
from channels.base.twilio_api.codes import meaning

OFFICIAL_API = "https://api.twilio.com"
SLOW_SECONDS = 30.0  # how long to pause where Twilio does not say


class BoundedClient(AsyncHttpClient):  # type: ignore[misc]  # the SDK ships no types
    """What `twilio.rest.Client(http_client=...)` speaks through."""

    def __init__(self, base_url: str = OFFICIAL_API, *, seconds: float = 4.5) -> None:
        super().__init__(logging.getLogger(__name__), True, seconds)
        self._base = urlsplit(base_url.rstrip("/"))
        self._http = httpx.AsyncClient(
            verify=trusted(), timeout=httpx.Timeout(seconds, connect=min(2.0, seconds))
        )
        self.clock_skew = 0.0  # provider's clock minus ours, in seconds

    async def request(
        self,
        method: str,
        url: str,
        *,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        **_: object,
    ) -> Response:
        """Send one request; every failure is one of ours, also inside the SDK's own methods.

        Raises TemporaryFailure before the request left, UncertainFailure when nobody knows what became of it.
        """
        try:
            answer = await self._http.request(
                method,
                self._at_base(url),
                params=_given(params),
                data=_given(data),
                headers=headers,
                auth=auth,
                follow_redirects=False,
            )
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            trouble: SendFailure = TemporaryFailure("Twilio cannot be reached.")
        except httpx.HTTPError:
            trouble = UncertainFailure("Twilio did not say whether it took the request.")
        else:
            self._set_clock(answer.headers.get("date"))
            if answer.is_success:
                return Response(answer.status_code, answer.text, dict(answer.headers))
            trouble = refused(answer)
        raise trouble  # outside the handlers: the library's error shows the request

    def open(self, url: str, auth: tuple[str, str]) -> Any:
        """A streamed GET with credentials, for files at the provider's own host."""
        return self._http.stream("GET", url, auth=auth, follow_redirects=False)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    def owns(self, url: str) -> bool:
        """Whether a URL lies at the very host, port and scheme that may see the credentials."""
        try:
            parts = urlsplit(url)
            return parts.username is None and (parts.scheme, parts.netloc.lower()) == (
                self._base.scheme,
                self._base.netloc.lower(),
            )
        except ValueError:
            return False

    def _at_base(self, url: str) -> str:
        parts = urlsplit(url)
        path = self._base.path.rstrip("/") + parts.path
        return urlunsplit((self._base.scheme, self._base.netloc, path, parts.query, ""))

    def _set_clock(self, date: str | None) -> None:
        try:
            theirs = parsedate_to_datetime(date or "")
        except ValueError:
            return
        self.clock_skew = (theirs - datetime.now(UTC)).total_seconds()


def refused(answer: httpx.Response) -> SendFailure:
    """What an answer other than 2xx means.

    A 5xx says nothing about whether the message was taken; Twilio can be asked, so it is uncertain.
    """
    status, code = answer.status_code, _code_in(answer)
    if status == 429:
        wait = answer.headers.get("retry-after", "")
        return TemporaryFailure(
            "Twilio asks to slow down.",
            code=code or "20429",
            retry_after=float(wait) if wait.isdigit() else SLOW_SECONDS,
            whole_channel=True,
        )
    if status == 503:
        return TemporaryFailure("Twilio is not ready.", code=code or "503")
    if status >= 500:
        return UncertainFailure("Twilio has a fault of its own.", code=code or str(status))
    if code is None and status in {401, 403, 404, 407}:
        code = "20003"  # a wrong account, or a proxy in the way, answers without a code
    row = meaning(code or str(status))
    return failure(row, code or str(status), SLOW_SECONDS if row.outcome is Outcome.SLOW_DOWN else None)


def _code_in(answer: httpx.Response) -> str | None:
    try:
        code = answer.json().get("code")
    except (ValueError, AttributeError):
        return None
    return str(code) if isinstance(code, int) else None


def _given(fields: dict[str, object] | None) -> dict[str, Any] | None:
    return None if fields is None else {name: value for name, value in fields.items() if value is not None}
