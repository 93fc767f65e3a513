"""Who may hold a conversation after whom."""

from __future__ import annotations

from contact_hub.citizens.models import ConversationState as State

MOVES: dict[State, frozenset[State]] = {
    State.BOT: frozenset({State.WAITING, State.AGENT, State.CLOSED}),
    State.WAITING: frozenset({State.AGENT, State.BOT, State.CLOSED}),
    State.AGENT: frozenset({State.WAITING, State.BOT, State.CLOSED}),
    State.CLOSED: frozenset(),
}

# Higher goes first. Waiting time decides among equals.
PRIORITY = {
    "self_harm": 100,
    "emergency": 100,
    "complaint": 20,
    "unhelpful": 10,
    "assistant_down": 10,
    "technical": 10,
}


class IllegalMove(ValueError):
    """A conversation cannot go from where it is to where it was told to go."""


def check(before: State, after: State) -> None:
    """Raise IllegalMove unless a conversation may move from `before` to `after`."""
    if after not in MOVES[before]:
        raise IllegalMove(f"a conversation that is '{before}' cannot become '{after}'")
