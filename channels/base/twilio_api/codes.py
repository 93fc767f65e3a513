"""Twilio's error codes and delivery states as data (https://www.twilio.com/docs/api/errors).

The same table serves a refused request (HTTP 400 with a code) and a failed delivery (a code in the
status callback). A code that is not in it is logged and treated as a technical failure.
"""

from __future__ import annotations

import structlog

from channels.base.codes import Code, Outcome
from channels.base.contract import DeliveryState

log = structlog.get_logger(__name__)

_RETRY, _SLOW, _NEVER = Outcome.RETRY, Outcome.SLOW_DOWN, Outcome.NEVER

CODES: dict[str, Code] = {
    # The account or its set-up: a person must act, the messages can wait.
    "20003": Code(_SLOW, "Twilio refuses the account's credentials.", alert=True),
    "20005": Code(_SLOW, "The Twilio account is not active.", alert=True),
    "20429": Code(_SLOW, "Twilio asks to slow down."),
    "30002": Code(_SLOW, "The Twilio account is suspended.", alert=True),
    "63038": Code(_SLOW, "The account's daily limit of messages is reached.", alert=True),
    # Too fast.
    "21611": Code(_SLOW, "The sender's queue at Twilio is full."),
    "30001": Code(_SLOW, "The sender's queue at Twilio is full."),
    "30022": Code(_SLOW, "The carrier's rate limit is reached."),
    # The network, for now.
    "30003": Code(_RETRY, "The phone cannot be reached at the moment."),
    "30008": Code(_RETRY, "The carrier gave no reason."),
    "30017": Code(_RETRY, "The carrier's network is congested."),
    "30023": Code(_RETRY, "The carrier's daily limit is reached.", alert=True),
    # The number.
    "21211": Code(_NEVER, "This is no valid phone number.", unreachable=True),
    "21214": Code(_NEVER, "This number cannot be reached.", unreachable=True),
    "21217": Code(_NEVER, "This is no valid phone number.", unreachable=True),
    "21265": Code(_NEVER, "A short code cannot be written to.", unreachable=True),
    "21610": Code(_NEVER, "The resident opted out.", opted_out=True),
    "21612": Code(_NEVER, "There is no way from our number to this one.", unreachable=True),
    "21614": Code(_NEVER, "This is no mobile number.", unreachable=True),
    "21635": Code(_NEVER, "This is a landline.", unreachable=True),
    "30004": Code(_NEVER, "The carrier or the resident blocked the message.", unreachable=True),
    "30005": Code(_NEVER, "The number is unknown or out of service.", unreachable=True),
    "30006": Code(_NEVER, "This is a landline, or its carrier takes no texts.", unreachable=True),
    "30011": Code(_NEVER, "The phone takes no pictures by text."),
    # The message or the city's registration: the same message would be refused again.
    "21408": Code(_NEVER, "Texts to this country are not enabled.", alert=True),
    "21602": Code(_NEVER, "The message has no text.", alert=True),
    "21603": Code(_NEVER, "The city's number is missing.", alert=True),
    "21604": Code(_NEVER, "The resident's number is missing.", alert=True),
    "21606": Code(_NEVER, "TWILIO_FROM is not a number of this account that can text.", alert=True),
    "21609": Code(_NEVER, "PUBLIC_URL cannot be reached by Twilio.", alert=True),
    "21617": Code(_NEVER, "The text is longer than 1600 characters.", alert=True),
    "21619": Code(_NEVER, "The message has neither text nor picture.", alert=True),
    "21659": Code(_NEVER, "TWILIO_FROM is not a number of this account.", alert=True),
    "21660": Code(_NEVER, "TWILIO_FROM is not a number of this account.", alert=True),
    "30007": Code(_NEVER, "A carrier filtered the message as unwanted.", alert=True),
    "30010": Code(_NEVER, "The message costs more than the account's limit.", alert=True),
    "30019": Code(_NEVER, "The file is too large for the carrier."),
    "30032": Code(_NEVER, "The toll-free number is not verified.", alert=True),
    "30034": Code(_NEVER, "The number is not registered with the carriers.", alert=True),
    "30036": Code(_RETRY, "The message was too old when its turn came."),
}

TECHNICAL_FAILURE = Code(_NEVER, "A technical failure at the provider.", alert=True)

# Every state before `delivered` in which Twilio has the message counts as sent: it took it.
STATES: dict[str, DeliveryState] = {
    "accepted": DeliveryState.SENT,
    "scheduled": DeliveryState.SENT,
    "queued": DeliveryState.SENT,
    "sending": DeliveryState.SENT,
    "sent": DeliveryState.SENT,
    "partially_delivered": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "undelivered": DeliveryState.FAILED,
    "failed": DeliveryState.FAILED,
    "canceled": DeliveryState.CANCELLED,
}


def meaning(code: str | None) -> Code:
    """The table's row; a code we do not know is logged, for somebody to add it."""
    row = CODES.get(code or "")
    if row is None:
        log.error("sms_unknown_code", code=code)
        return TECHNICAL_FAILURE
    return row
