"""What Rasa asks the brain to do. Actions only suggest; the hub decides and writes.

`configure(search, embed)` comes first, once the brain's models are loaded; `executor()`
then gives rasa-sdk's ActionExecutor with every action in it, and `warm()` may run beside.
"""

from pathlib import Path

import structlog
from rasa_sdk.executor import ActionExecutor

from bot.actions import talk
from bot.actions.answers import Answers, Search
from bot.actions.kinds import Embed, Kinds
from bot.actions.places import Places
from bot.actions.report import ReportForm
from bot.actions.requests import Requests
from bot.actions.turn import Action, registered
from bot.actions.words import Words
from bot.settings import city_folder

__all__ = ["configure", "executor", "warm"]

log = structlog.get_logger(__name__)

_actions: dict[str, Action] = {}
_kinds: list[Kinds] = []


def configure(search: Search, embed: Embed | None = None) -> None:
    """Tell the actions how to search and, where that is possible, how to compare meanings."""
    city = city_folder()
    words = Words.of(city)
    _kinds[:] = [Kinds.of(city, embed)]
    form = ReportForm(words, _kinds[0], Places.of(city, words))
    for actions in (talk.ACTIONS, Answers(search).actions(), form.actions(), Requests.of(city).actions()):
        _actions.update(actions)


async def warm(folder: Path, fingerprint: str) -> None:
    """Prepare what the report form compares meanings with, keeping it in a folder for the next start."""
    try:
        for kinds in _kinds:
            await kinds.warm(folder, fingerprint)
    except Exception as error:
        # The form then knows kinds by their words only, and the brain goes on.
        log.warning("the kinds of problem were not prepared", error=type(error).__name__)


def executor() -> ActionExecutor:
    """Return an executor that knows every action of the assistant."""
    if not _actions:
        raise RuntimeError("bot.actions.configure comes first.")
    made = ActionExecutor()
    for name, action in _actions.items():
        made.register_function(name, registered(action))
    return made
