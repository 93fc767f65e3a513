"""The retention schedule in `nlu_data/city.yml`: how long each class of records is kept, under which rule."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from contact_hub.city import City, CityError

# Every class of records, and what is meant by its age.
CLASSES: Mapping[str, str] = {
    "messages": "said, written or pressed, with its search words, answers, feedback and discarded articles",
    "files": "attachments",
    "deliveries": "what became of messages that left",
    "conversations": "closed conversations and what the assistant remembers of them",
    "flags": "who seemed unhappy or in danger and why, how each turn was read, what was thought of it later",
    "ratings": "how satisfied residents said they are, and how long they waited for a person",
    "reports": "problems reported",
    "tickets": "closed tasks for staff",
    "message_ids": "providers' ids of messages, for knowing a repeated one",
    "events": "what other systems were told",
    "exports": "requests for a copy of one's data",
    "people": "citizens of whom nothing else is left",
    "consents": "what a citizen agreed to",
    "audit": "who of the staff looked at or did what",
    "silence": "marks of addresses that asked for silence",
    "erasures": "marks of the erased",
    "counts": "figures without people",
}
# Needed for as long as the person is known, or nobody's and needed for as long as the line runs.
ALWAYS = frozenset({"consents", "silence", "erasures", "counts"})
SHORTEST_DAYS = {"message_ids": 8}  # a provider may bring back a week; known ids keep it from being stored
_SPAN = re.compile(r"(\d{1,4}) (day|month|year)s?")


@dataclass(frozen=True, slots=True)
class Rule:
    """How long records of a class are kept; both spans 0 means for ever."""

    name: str
    why: str
    months: int = 0
    days: int = 0
    without_person: bool = False  # an erasure leaves the record, but nobody's

    @property
    def forever(self) -> bool:
        """Whether age alone never removes it."""
        return not self.months and not self.days

    def cutoff(self, at: datetime) -> datetime | None:
        """What is older than this has been kept long enough; None where nothing ever is."""
        if self.forever:
            return None
        if self.days:
            return at - timedelta(days=self.days)
        month = at.year * 12 + at.month - 1 - self.months
        year, month = divmod(month, 12)
        for day in (at.day, 28):  # 31 March less a month is 28 February
            try:
                return at.replace(year=year, month=month + 1, day=day)
            except ValueError:
                continue
        raise AssertionError("every month has a 28th")


Schedule = Mapping[str, Rule]


def schedule_of(city: City) -> Schedule:
    """The city's schedule, complete; raises CityError with one sentence for the first thing wrong."""
    where = f"{city.folder / 'city.yml'}: retention"
    section = city.settings.get("retention")
    if not isinstance(section, Mapping):
        raise CityError(f"{city.folder / 'city.yml'} has no 'retention': how long is what kept?")
    for name in section:
        if name not in CLASSES:
            raise CityError(f"{where} has '{name}', which is no class of records: {', '.join(CLASSES)}.")
    for name, meant in CLASSES.items():
        if name not in section:
            raise CityError(f"{where} does not say how long '{name}' are kept ({meant}).")
    return {name: _rule(f"{where} of {name}", name, section[name]) for name in CLASSES}


def _rule(where: str, name: str, given: Any) -> Rule:
    if not isinstance(given, Mapping):
        raise CityError(f"{where} must have 'keep', 'rule' and 'why'.")
    for key in ("keep", "rule", "why"):
        if not str(given.get(key) or "").strip():
            raise CityError(f"{where} has no '{key}'.")
    unknown = set(given) - {"keep", "rule", "why", "without_person"}
    if unknown:
        raise CityError(f"{where} has '{min(unknown)}', which means nothing there.")
    if not isinstance(given.get("without_person", False), bool):
        raise CityError(f"{where}: 'without_person' must be true or false.")
    if given.get("without_person") and name != "reports":
        raise CityError(f"{where}: only reports can be kept without their person.")
    keep = str(given["keep"]).strip()
    rule = Rule(
        str(given["rule"]).strip(),
        " ".join(str(given["why"]).split()),
        *_span(where, keep),
        without_person=bool(given.get("without_person")),
    )
    if name in ALWAYS and not rule.forever:
        raise CityError(f"{where}: age alone never removes these, so 'keep' must be always.")
    shortest = SHORTEST_DAYS.get(name, 0)
    if not rule.forever and rule.months == 0 and rule.days < shortest:
        raise CityError(f"{where}: at least {shortest} days, not {keep!r}.")
    return rule


def _span(where: str, keep: str) -> tuple[int, int]:
    """`36 months` as months and days."""
    if keep == "always":
        return 0, 0
    found = _SPAN.fullmatch(keep)
    if found is None or int(found[1]) == 0:
        raise CityError(f"{where}: 'keep' must look like '36 months', '6 years', '30 days' or 'always'.")
    number = int(found[1])
    if number * {"day": 1, "month": 30, "year": 365}[found[2]] > 365 * 200:
        raise CityError(f"{where}: nobody keeps anything for {keep}.")
    return {"day": (0, number), "month": (number, 0), "year": (12 * number, 0)}[found[2]]
