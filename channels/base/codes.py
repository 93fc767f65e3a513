"""What a provider's code means, as data: `code -> (outcome, reason)`; turned into failures and receipts."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from channels.base.errors import PermanentFailure, SendFailure, TemporaryFailure


class Outcome(StrEnum):
    """What to do with a message that met a code."""

    RETRY = "retry"
    SLOW_DOWN = "slow_down"  # retry, and pause every other message of the channel as well
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Code:
    """One row of a provider's table. `alert` asks for a person: the fault is in the city's own set-up."""

    outcome: Outcome
    reason: str
    unreachable: bool = False
    opted_out: bool = False
    alert: bool = False


def failure(row: Code, code: str | None, retry_after: float | None = None) -> SendFailure:
    """The exception for a refused message."""
    if row.outcome is Outcome.NEVER:
        return PermanentFailure(
            row.reason, code=code, unreachable=row.unreachable, opted_out=row.opted_out, alert=row.alert
        )
    return TemporaryFailure(
        row.reason, code=code, retry_after=retry_after, whole_channel=row.outcome is Outcome.SLOW_DOWN
    )
