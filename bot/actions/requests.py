"""What only the hub can do: reports' states, messages on and off, data, languages, ratings."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from babel import Locale

from bot.actions.turn import Action, Choice, Reply, Turn
from bot.actions.words import UNSPACED, plain
from bot.settings import city_languages

_REFERENCE = re.compile(r"\b[A-Za-z]{2,4}[- ]?\d[0-9A-Za-z]*(?:-[0-9A-Za-z]+)*\b")
_NUMBER = re.compile(r"(?<![\d.,])(\d{1,3})(?![\d.,]*\d)")
_STARS = re.compile("[⭐★🌟]")
RATINGS = range(1, 6)


@dataclass(frozen=True)
class Languages:
    """The city's languages, by the names they have in each of them."""

    names: dict[str, str]

    @classmethod
    def of(cls, city: Path) -> "Languages":
        """Return the languages that city.yml lists."""
        supported = city_languages(city)
        names = {}
        for code in supported:
            spoken_in = [Locale.parse(other) for other in supported]
            for locale in spoken_in:
                name = locale.languages.get(code)
                if name:
                    names[plain(name)] = code
            own = Locale.parse(code).get_display_name()
            if own:
                names[plain(own)] = code
        # What people write beside the name that dictionaries give.
        names |= {
            "castellano": "es",
            "中文": "zh",
            "汉语": "zh",
            "普通话": "zh",
            "عربي": "ar",
            "العربيه": "ar",
        }
        return cls(names)

    def named(self, text: str) -> str | None:
        """Return the code of the last language a text names ("not German, English please")."""
        said = plain(text)
        found: list[tuple[int, str]] = []
        for name, code in self.names.items():
            if UNSPACED.search(name):
                at = said.rfind(name)
            else:
                # Endings vary ("auf Deutsch", "po polsku" has its own word): a stem is enough.
                stem = name[: max(4, len(name) - 2)]
                at = max(
                    (match.start() for match in re.finditer(rf"(?<!\w){re.escape(stem)}", said)), default=-1
                )
            if at >= 0:
                found.append((at, code))
        return max(found)[1] if found else None


@dataclass(frozen=True)
class Requests:
    """Passes wishes on."""

    languages: Languages

    @classmethod
    def of(cls, city: Path) -> "Requests":
        """Return the requests of a city with its languages."""
        return cls(Languages.of(city))

    def actions(self) -> dict[str, Action]:
        """Return the actions by name."""
        return {
            "action_change_language": self.change_language,
            "action_rate": self.rate,
            "action_request": self.request,
        }

    async def request(self, turn: Turn, reply: Reply) -> None:
        """Pass the wish on under its intent's name, with a report's reference where one was given."""
        values = _chosen(turn)
        if turn.intent == "check_request_status" and "reference" not in values:
            found = _REFERENCE.search(turn.text)
            if found:
                values["reference"] = found.group(0).upper().replace(" ", "-")
        reply.request(turn.intent, values)

    async def change_language(self, turn: Turn, reply: Reply) -> None:
        """Pass the language on; without one the hub asks, and names each language in itself."""
        language = _chosen(turn).get("language") or self.languages.named(turn.text)
        reply.request("change_language", {"language": language} if language else {})

    async def rate(self, turn: Turn, reply: Reply) -> None:
        """Pass a rating from 1 to 5 on, or ask for one."""
        rating = _chosen(turn).get("rating") or _rating(turn.text)
        if rating in RATINGS:
            reply.request("rate_service", {"rating": rating})
            return
        choices = [Choice(f"={number}", "rate_service", {"rating": number}) for number in RATINGS]
        reply.say("rate_ask" if rating is None else "rate_invalid", choices)


def _rating(text: str) -> int | None:
    stars = len(_STARS.findall(text))
    if stars:
        return stars
    # "4 out of 5" and "4/5" begin with the rating.
    number = _NUMBER.search(text)
    return int(number.group(1)) if number else None


def _chosen(turn: Turn) -> dict[str, Any]:
    return dict((turn.chosen or {}).get("entities") or {})
