"""What Telegram's refusals and the network's errors mean for a message, as data and one function."""

from __future__ import annotations

import re
from typing import Any

import structlog

from channels.base.codes import Code, Outcome, failure
from channels.base.errors import PermanentFailure, SendFailure, TemporaryFailure, UncertainFailure

log = structlog.get_logger(__name__)

_NEVER, _SLOW = Outcome.NEVER, Outcome.SLOW_DOWN

# (HTTP status, a piece of the description) -> what it means; Telegram gives no finer codes.
REFUSALS: tuple[tuple[int, str, Code], ...] = (
    (403, "bot was blocked by the user", Code(_NEVER, "The resident blocked the bot.", unreachable=True)),
    (403, "user is deactivated", Code(_NEVER, "The resident's account is gone.", unreachable=True)),
    (403, "can't initiate conversation", Code(_NEVER, "The resident never wrote to us.", unreachable=True)),
    (403, "bot was kicked", Code(_NEVER, "The bot was removed from the group.", unreachable=True)),
    (403, "bot is not a member", Code(_NEVER, "The bot is not in the group.", unreachable=True)),
    (403, "group chat was deleted", Code(_NEVER, "The group is gone.", unreachable=True)),
    (400, "chat not found", Code(_NEVER, "Telegram does not know this chat.", unreachable=True)),
    (400, "peer_id_invalid", Code(_NEVER, "Telegram does not know this chat.", unreachable=True)),
    (400, "user not found", Code(_NEVER, "Telegram does not know this resident.", unreachable=True)),
    (400, "chat was upgraded to a supergroup", Code(_NEVER, "The group has moved.", unreachable=True)),
    (400, "not enough rights", Code(_NEVER, "The bot may not write in this group.", unreachable=True)),
    (400, "have no rights to send", Code(_NEVER, "The bot may not write in this group.", unreachable=True)),
    (400, "message is too long", Code(_NEVER, "The message is too long for Telegram.", alert=True)),
    (400, "message text is empty", Code(_NEVER, "The message has no text.", alert=True)),
    (400, "button_data_invalid", Code(_NEVER, "A button's id is too long.", alert=True)),
    (400, "file is too big", Code(_NEVER, "The file is larger than 20 MB.")),
    (400, "wrong file", Code(_NEVER, "Telegram no longer has this file.")),
    (400, "wrong remote file identifier", Code(_NEVER, "Telegram no longer has this file.")),
    (400, "invalid file_id", Code(_NEVER, "Telegram no longer has this file.")),
    (401, "", Code(_SLOW, "Telegram refuses the bot token.", alert=True)),
    (404, "", Code(_SLOW, "Telegram does not know this bot or server address.", alert=True)),
    (409, "", Code(_SLOW, "Somebody else receives this bot's updates.", alert=True)),
    (429, "", Code(_SLOW, "Telegram asks the bot to slow down.")),
)


def explain(error: Exception, *, sending: bool) -> SendFailure:
    """An error of aiogram or the network in our three words for failure."""
    from aiogram import exceptions
    from aiohttp import ClientConnectorError, ConnectionTimeoutError

    cause = error.__cause__ or error
    network = isinstance(error, exceptions.TelegramNetworkError)
    if isinstance(error, exceptions.TelegramRetryAfter):
        return TemporaryFailure(
            "Telegram asks the bot to slow down.",
            code="429",
            retry_after=float(error.retry_after),
            whole_channel=True,
        )
    if isinstance(error, exceptions.TelegramEntityTooLarge):
        return PermanentFailure("The file is too large for Telegram.", code="413")
    if isinstance(error, exceptions.TelegramMigrateToChat):
        return PermanentFailure("The group has a new address.", code="400", unreachable=True)
    if isinstance(error, exceptions.TelegramServerError):
        return TemporaryFailure("Telegram has a fault of its own.", code="500")
    if isinstance(cause, ClientConnectorError | ConnectionTimeoutError):
        return TemporaryFailure("Telegram cannot be reached.")
    if isinstance(error, exceptions.TelegramAPIError) and not network:
        return _refused(error)
    if sending:
        return UncertainFailure("Telegram did not say whether it took the message.")
    return TemporaryFailure("Telegram did not answer.")


def _refused(error: Any) -> SendFailure:
    from aiogram import exceptions

    statuses: dict[type[Exception], int] = {
        exceptions.TelegramBadRequest: 400,
        exceptions.TelegramUnauthorizedError: 401,
        exceptions.TelegramForbiddenError: 403,
        exceptions.TelegramNotFound: 404,
        exceptions.TelegramConflictError: 409,
    }
    description = str(error.message or "")
    status = statuses.get(type(error), 429 if "too many requests" in description.lower() else 0)
    for known, fragment, row in REFUSALS:
        if known == status and fragment in description.lower():
            return failure(row, str(status), retry_after=30.0 if row.outcome is _SLOW else None)
    # Only the letters: a description may quote a piece of the message or a number.
    harmless = re.sub(r"[^A-Za-z_ ]+", " ", description)[:60]
    log.error("telegram_unknown_refusal", status=status, description=harmless)
    unreachable = status == 403
    return PermanentFailure(
        "Telegram refused the message for an unknown reason.",
        code=str(status),
        unreachable=unreachable,
        alert=not unreachable,
    )
