"""Small talk, yes and no, and the way to a person."""

from bot.actions.kinds import OTHER
from bot.actions.report import KEPT, begun, drop
from bot.actions.turn import Action, Choice, Reply, Turn

PERSON = Choice("button_person", "talk_to_human")
RESUME = Choice("button_resume", "resume_report")
DROP = Choice("button_cancel", "cancel")


async def action_greet(turn: Turn, reply: Reply) -> None:
    """Greet, and remind of a report that was left."""
    reply.say("greet_returning" if turn.facts.get("returning") else "greet")
    if turn.in_form:
        return
    elsewhere = turn.facts.get("left_open")
    if begun(turn):
        _offer_to_resume(reply, turn.slots.get("category"))
    elif elsewhere:
        # From here on it is this conversation's own, and goes on like any report that was left.
        for name in KEPT:
            reply.set(name, elsewhere.get(name))
        _offer_to_resume(reply, elsewhere.get("category"))


async def action_affirm(turn: Turn, reply: Reply) -> None:
    """Take a yes as the answer to whatever was offered in the turn before."""
    said, answered = turn.last("say"), turn.last("answer")
    if said == "report_left_open":
        reply.next("report_form")
    elif said in ("unhelpful_offer", "complain_sorry") or (answered and answered["outcome"] == "refused"):
        reply.handoff("asked")
    elif answered and answered["outcome"] == "answered":
        reply.say("helpful_thanks", helpful=True)
    else:
        reply.say("affirm_nothing")


async def action_deny(turn: Turn, reply: Reply) -> None:
    """Take a no as the answer to whatever was offered in the turn before."""
    answered = turn.last("answer")
    if turn.last("say") == "report_left_open":
        drop(reply)
        reply.say("report_cancelled")
    elif answered and answered["outcome"] == "answered":
        reply.say("unhelpful_offer", [PERSON], helpful=False)
    else:
        reply.say("deny_nothing")


async def action_cancel(turn: Turn, reply: Reply) -> None:
    """Drop the report that is open or was left."""
    if turn.in_form or begun(turn):
        drop(reply)
        reply.say("report_cancelled")
    else:
        reply.say("report_nothing_to_cancel")


async def action_leave(turn: Turn, reply: Reply) -> None:
    """Say goodbye in the middle of a report; what was said of it is kept."""
    reply.say("goodbye")


async def action_handoff(turn: Turn, reply: Reply) -> None:
    """Bring in a person."""
    reply.handoff("asked")


async def action_complain(turn: Turn, reply: Reply) -> None:
    """Be sorry, and bring in a person."""
    reply.say("complain_sorry")
    reply.handoff("complaint")


async def action_media(turn: Turn, reply: Reply) -> None:
    """Take a file that came without words; a photo is kept for a report that may follow."""
    if turn.photos:
        reply.set("photo", turn.photos[0])
    reply.say("media_received")


async def action_inform(turn: Turn, reply: Reply) -> None:
    """Answer a button of a report that is no longer open, or a place: naming a kind begins a new report."""
    named = (turn.chosen or {}).get("entities") or {}
    if named.get("category"):
        reply.next("report_form")
    elif named.get("place"):
        reply.say("location_received", [Choice("button_report", "report_problem", {"place": named["place"]})])
    else:
        reply.say("help")


def _offer_to_resume(reply: Reply, category: str | None) -> None:
    reply.say("report_left_open", [RESUME, DROP], category=f"category_{category or OTHER}")


ACTIONS: dict[str, Action] = {
    "action_affirm": action_affirm,
    "action_cancel": action_cancel,
    "action_complain": action_complain,
    "action_deny": action_deny,
    "action_greet": action_greet,
    "action_handoff": action_handoff,
    "action_inform": action_inform,
    "action_leave": action_leave,
    "action_media": action_media,
}
