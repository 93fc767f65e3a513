"""Questions: what the city's articles say, or that they say nothing."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bot.actions.turn import Action, Reply, Turn

Search = Callable[[str, str, list[dict[str, Any]], int], Awaitable[Any]]

PASSAGES = 5


@dataclass(frozen=True)
class Answers:
    """Answers from the articles by way of search."""

    search: Search

    def actions(self) -> dict[str, Action]:
        """Return the actions by name."""
        return {"action_answer": self.answer, "action_out_of_scope": self.out_of_scope}

    async def answer(self, turn: Turn, reply: Reply) -> None:
        """Answer from the articles; search itself decides whether they hold an answer."""
        reply.answer(await self._found(turn))

    async def out_of_scope(self, turn: Turn, reply: Reply) -> None:
        """Decline politely, unless an article answers after all; what was found goes with the words."""
        found = await self._found(turn)
        if found["outcome"] == "answered":
            reply.answer(found)
        else:
            reply.decline("out_of_scope", found)

    async def _found(self, turn: Turn) -> dict[str, Any]:
        answer = await self.search(turn.text, turn.language, turn.history, PASSAGES)
        found: dict[str, Any] = answer.as_dict()
        return found
