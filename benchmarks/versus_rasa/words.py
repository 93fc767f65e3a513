"""What residents say to either bot, ten turns a conversation.

Over two conversations Civicline is asked ten questions that its knowledge base can answer, hears
five lines of small talk and takes five turns of the report form. The stock bot has neither: it
hears its own small talk instead, and every question and every line of a report goes to its custom
action. No sentence comes twice: a house number makes each its own, so that no cache of sentences
flatters anybody.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import yaml

STREETS = ("Mill Lane", "Harbour Row", "Foundry Street", "Castle Road", "Orchard Avenue", "Quay Street")

ASK = "{question} I live at {place}."

# Topics in whose questions somebody asks for a person or may be in danger: a person gets the
# conversation, and the assistant is silent from then on.
FOR_PEOPLE = {"health-and-social-care", "housing", "safety", "your-council"}


class Words:
    """The sentences of a run; each is given once."""

    def __init__(self, city: Path) -> None:
        """Collect the questions that the city's own articles say they answer."""
        questions = [
            str(question)
            for path in sorted((city / "knowledge").glob("*/*.en.md"))
            if path.parent.name not in FOR_PEOPLE
            for question in yaml.safe_load(path.read_text(encoding="utf-8").split("---")[1])["questions"]
        ]
        # A stride through the list: neighbours in it are about the same article.
        self._questions = itertools.cycle(
            [question for start in range(7) for question in questions[start::7]]
        )
        self._numbers = itertools.count(1)

    def for_us(self, number: int) -> Sequence[str]:
        """One resident's ten lines to Civicline."""
        if number % 2 == 0:
            return self._filled("hello", ASK, ASK, "thank you", ASK, ASK, "help", ASK, "thanks a lot", "bye")
        return self._filled(
            ASK,
            ASK,
            "The street light is broken at {place}",
            "It has been dark for {number} nights and people trip",
            "skip",
            ASK,
            ASK,
            "Somebody has dumped rubbish at {place}",
            "About {number} bags and an old mattress lie there",
            ASK,
        )

    def for_stock(self, number: int) -> Sequence[str]:
        """One resident's ten lines to the stock bot."""
        if number % 2 == 0:
            great, robot = "I feel wonderful", "are you a robot?"
            return self._filled("hello", ASK, ASK, great, ASK, ASK, robot, ASK, "hello again", "bye")
        pothole = "there is a pothole at {place}"
        return self._filled(ASK, ASK, pothole, ASK, ASK, ASK, ASK, pothole, ASK, ASK)

    def _filled(self, *lines: str) -> Sequence[str]:
        return [
            line.format(question=next(self._questions), number=next(self._numbers), place=self._place())
            for line in lines
        ]

    def _place(self) -> str:
        number = next(self._numbers)
        return f"{number} {STREETS[number % len(STREETS)]}"
