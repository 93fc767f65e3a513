"""The only ways in which a channel may fail.

ChannelError
├── NotAuthentic       the request did not come from the provider: 403, nothing is stored
├── Malformed          the caller is ours (web chat, console) and sent nonsense: 4xx with a reason
├── TemporaryFailure   try again later, with backoff; `retry_after` and `whole_channel` say how
├── PermanentFailure   never try again; the address may be unreachable or opted out
└── UncertainFailure   it may or may not have left: look it up before sending again
"""

from __future__ import annotations


class ChannelError(Exception):
    """Base of everything a channel raises on purpose."""


class NotAuthentic(ChannelError):
    """The request is not proved to come from the provider."""


class Malformed(ChannelError):
    """The request is authentic but its sender can and must correct it (web chat and console only)."""

    def __init__(self, reason: str, *, status: int = 422, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
        self.retry_after = retry_after


class SendFailure(ChannelError):
    """A message was not delivered; `code` is the provider's own, `reason` is in our words."""

    def __init__(self, reason: str, *, code: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code


class TemporaryFailure(SendFailure):
    """Worth another try after `retry_after` seconds; `whole_channel` pauses every send of the account."""

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        whole_channel: bool = False,
    ) -> None:
        super().__init__(reason, code=code)
        self.retry_after = retry_after
        self.whole_channel = whole_channel


class PermanentFailure(SendFailure):
    """Not worth another try; says whether the address is dead for us and whether its owner opted out."""

    def __init__(
        self,
        reason: str,
        *,
        code: str | None = None,
        unreachable: bool = False,
        opted_out: bool = False,
        alert: bool = False,
    ) -> None:
        super().__init__(reason, code=code)
        self.unreachable = unreachable
        self.opted_out = opted_out
        self.alert = alert


class UncertainFailure(SendFailure):
    """The provider may have taken the message (time-out after the request left, crash in between)."""
