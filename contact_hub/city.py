"""The city in words: what a clerk wrote into `nlu_data/`, ready to be asked."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import groupby, product
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import phonenumbers
import yaml
from babel import Locale, localedata
from babel.dates import format_date, format_datetime, get_datetime_format

from contact_hub.wishes import Wish, Wishes

_STOP_WORDS = frozenset({"stop", "stopall", "unsubscribe", "optout"})
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class CityError(ValueError):
    """A file of the city's words is missing or wrong; the message names it."""


@dataclass(frozen=True, slots=True)
class Danger:
    """What kind of danger words tell of, and the languages in which they are said so."""

    kind: str  # "emergency" or "self_harm"
    languages: tuple[str, ...]


@dataclass(frozen=True)
class City:
    """Everything the hub says, recognises word for word, and knows of the city's hours and departments."""

    folder: Path
    settings: Mapping[str, Any]
    responses: Mapping[str, Mapping[str, str]]
    commands: Mapping[str, Any]
    consent: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what each language asks for
    flags: Mapping[str, Any] = field(default_factory=dict)  # what makes a conversation look unhappy

    @property
    def name(self) -> str:
        """The city's name."""
        return str(self.settings["name"])

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages the city speaks, as ISO 639-1 codes."""
        return tuple(self.settings["languages"]["supported"])

    @property
    def default_language(self) -> str:
        """The language where nothing else is known."""
        return str(self.settings["languages"]["default"])

    @cached_property
    def zone(self) -> ZoneInfo:
        """The city's time zone."""
        return ZoneInfo(self.settings["time_zone"])

    @cached_property
    def region(self) -> str | None:
        """The country that a number without a country code is of: the contact centre's own."""
        try:
            own = phonenumbers.parse(str((self.settings.get("contact_centre") or {}).get("phone")))
        except phonenumbers.NumberParseException:
            return None
        return phonenumbers.region_code_for_number(own)

    @property
    def front_department(self) -> str:
        """The department that answers what is nobody else's: the first one in the city's list."""
        return str(self.settings["departments"][0]["key"])

    def speaks(self, language: str | None) -> str:
        """The language to answer in: the wanted one where the city speaks it, else the default."""
        return language if language in self.languages else self.default_language

    def say(self, key: str, language: str | None, /, **values: object) -> str:
        """A sentence of `nlu_data/responses` in a language, its placeholders filled in."""
        for code in (self.speaks(language), self.default_language):
            template = self.responses.get(code, {}).get(key)
            if template is not None:
                return _fill(template, values)
        raise CityError(f"nlu_data/responses/{self.default_language}.yml has no sentence '{key}'.")

    def has(self, key: str) -> bool:
        """Whether there is such a sentence."""
        return key in self.responses.get(self.default_language, {})

    # Terms ------------------------------------------------------------------------------------

    @property
    def notice_version(self) -> str:
        """The version of the privacy notice; empty where the city has none."""
        return str((self.settings.get("privacy_notice") or {}).get("version", ""))

    def notice(self, channel: str, language: str) -> tuple[str, str] | None:
        """The privacy notice for a channel and its version; None where the city has none to show."""
        notice = self.settings.get("privacy_notice")
        if not notice:
            return None
        own = f"consent_notice_{channel}"  # on the web nobody is written to who could say STOP
        key = own if self.has(own) else "consent_notice"
        return self.say(key, language, city=self.name, url=notice["url"]), self.notice_version

    def asks_for(self, purpose: str) -> bool:
        """Whether the city uses data for this purpose, and so may ask residents for it."""
        return purpose in (self.settings.get("consent") or {})

    def terms_version(self, purpose: str) -> str:
        """The version of what is said about a purpose; it rises when the meaning changes."""
        return str((self.settings.get("consent") or {}).get(purpose, {}).get("version", "unversioned"))

    @cached_property
    def _wishes(self) -> Wishes:
        return Wishes({code: self.consent.get(code, {}) for code in self.languages}, plain)

    def wish(self, text: str) -> Wish | None:
        """What the whole message asks about consent, in any of the city's languages; None for all others."""
        return self._wishes.read(text)

    # Hours ------------------------------------------------------------------------------------

    def opening(self, day: date) -> list[tuple[time, time]]:
        """The spans of that day in which people answer, in the city's own time."""
        holidays = self.settings["opening_hours"].get("holidays") or ()
        return [] if day.isoformat() in map(str, holidays) else self.usual_opening(day.weekday())

    def usual_opening(self, weekday: int) -> list[tuple[time, time]]:
        """The spans of a weekday (Monday is 0) that is no holiday; `time.max` is the end of the day."""
        return sorted(_span(str(span)) for span in self.settings["opening_hours"].get(DAYS[weekday]) or ())

    def closed_days(self, first: date, days: int) -> list[date]:
        """The holidays among so many days on which people would else answer."""
        span = (first + timedelta(days=offset) for offset in range(days))
        return [day for day in span if self.usual_opening(day.weekday()) and not self.opening(day)]

    def is_open(self, at: datetime) -> bool:
        """Whether people answer at that moment."""
        local = at.astimezone(self.zone)
        return any(start <= local.time() < end for start, end in self.opening(local.date()))

    def next_opening(self, at: datetime) -> datetime | None:
        """When people next begin to answer, within 30 days."""
        local = at.astimezone(self.zone)
        for offset in range(31):
            day = local.date() + timedelta(days=offset)
            for start, _ in self.opening(day):
                moment = datetime.combine(day, start, self.zone)
                if moment > local:
                    return moment
        return None

    def moment(self, at: datetime, language: str) -> str:
        """Day and time as people of that language write them, in the city's zone."""
        locale = self._locale(language)
        return format_datetime(at, _moment_in(locale), tzinfo=self.zone, locale=locale)

    def day(self, at: datetime, language: str) -> str:
        """The date as people of that language write it."""
        return format_date(at.astimezone(self.zone).date(), "medium", locale=self._locale(language))

    def _locale(self, language: str) -> str:
        """The language as the city's country writes it, where it does so in its own way."""
        spoken = self.speaks(language)
        local = f"{spoken}_{self.region}"
        return local if localedata.exists(local) else spoken

    # Words recognised without any model -----------------------------------------------------------

    @cached_property
    def _opt_out(self) -> frozenset[str]:
        return self._all_of("opt_out")

    def _all_of(self, command: str, spelled: Callable[[str], str] | None = None) -> frozenset[str]:
        spelled = spelled or _hurried
        return frozenset(
            spelled(phrase)
            for language in self.languages
            for phrase in (self.commands.get(language) or {}).get(command, ())
        )

    def wants_silence(self, text: str) -> bool:
        """Whether the whole message asks for silence, in plain language or by a word that means only that.

        The phone networks' other words (CANCEL, END ...) count on SMS only, where the channel knows them.
        """
        return plain(text) in _STOP_WORDS or _hurried(text) in self._opt_out

    def wants_messages(self, text: str) -> bool:
        """Whether the whole message is a provider's word for writing again and means only that.

        YES answers questions as well: it counts where the network itself tells of an opt-in.
        """
        return plain(text) in self._provider("provider_opt_in") - self._yes

    def wants_person(self, text: str) -> bool:
        """Whether the whole message asks for a person, in one of the city's languages."""
        return _hurried(text) in self._person

    @cached_property
    def _person(self) -> frozenset[str]:
        return self._all_of("talk_to_human")

    def asks_for_person(self, text: str) -> bool:
        """Whether the message asks for a person, as a whole or in one of the phrases that do so anywhere."""
        words = plain(text)
        return self.wants_person(text) or any(
            self._person_within.find(typed) for typed in (words, _unaccented(words))
        )

    @cached_property
    def _person_within(self) -> _Phrases:
        return _Phrases(
            {code: (self.commands.get(code) or {}).get("talk_to_human_within", []) for code in self.languages}
        )

    def yes_or_no(self, text: str) -> bool | None:
        """Whether the whole message says yes, or no, in one of the city's languages."""
        word = _hurried(text)
        if word in self._yes:
            return None if word in self._no else True
        return False if word in self._no else None

    def begins_with_yes(self, text: str) -> bool:
        """Whether the message begins with a yes and does not end in a no, as "claro que no" does."""
        words = plain(text)
        # A single letter is a yes only by itself: "y" is "and" in Spanish. Accents count here, where more
        # words follow: without its own, "sí" is "if" in Spanish and French.
        said = (yes for yes in self._written_yes if len(yes) > 1 or not yes.isascii())
        if not any(f"{words} ".startswith(f"{yes} ") for yes in said):
            return False
        return not any(_hurried(text).endswith(f" {no}") for no in self._no - self._yes)

    @cached_property
    def _written_yes(self) -> frozenset[str]:
        return self._all_of("yes", plain) - self._all_of("no", plain)

    @cached_property
    def _yes(self) -> frozenset[str]:
        return self._all_of("yes")

    @cached_property
    def _no(self) -> frozenset[str]:
        return self._all_of("no")

    def score_of_five(self, text: str) -> int | None:
        """The score that the whole message names as so many of five, in one of the city's languages."""
        words = _hurried(text)
        return next((int(found[1]) for form in self._scores if (found := form.fullmatch(words))), None)

    @cached_property
    def _scores(self) -> tuple[re.Pattern[str], ...]:
        written = (
            [re.escape(_hurried(part)) for part in form.split("{score}")]
            for code in self.languages
            for form in (self.commands.get(code) or {}).get("score_of_five", ())
        )
        return tuple(re.compile(r" ?(\d\d?) ?".join(parts)) for parts in written)

    def _provider(self, key: str) -> frozenset[str]:
        return frozenset(plain(str(word)) for word in self.commands.get(key, ()))

    @cached_property
    def _danger(self) -> tuple[tuple[str, _Phrases], ...]:
        """Self-harm first: "I can't breathe and want to die" is answered with the crisis line."""
        section = self.settings["emergency"]
        return (
            ("self_harm", _Phrases(section.get("self_harm") or {}, section.get("self_harm_of_parts") or {})),
            ("emergency", _Phrases(section["words"], section.get("words_of_parts") or {})),
        )

    @property
    def helplines(self) -> dict[str, str]:
        """Whom somebody in danger calls, as the safe words name them."""
        section = self.settings["emergency"]
        crisis = section.get("crisis_line") or self.settings.get("crisis_line") or {}
        return {
            "number": str(section["number"]),
            "crisis_name": str(crisis.get("name", "")),
            "crisis_number": str(crisis.get("number", "")),
        }

    @cached_property
    def _harmless(self) -> _Phrases:
        return _Phrases(self.settings["emergency"].get("harmless") or {})

    def danger(self, text: str) -> Danger | None:
        """What the text says of danger in one of the fixed phrases, and in which languages it is said so.

        Longer phrases that are known to mean none ("heart attack course") are taken out beforehand.
        """
        typed = plain(text)
        spellings = [self._harmless.without(words) for words in dict.fromkeys((typed, _unaccented(typed)))]
        for kind, phrases in self._danger:
            for words in spellings:
                if languages := phrases.find(words):
                    return Danger(kind, languages)
        return None

    def emergency(self, text: str) -> str | None:
        """`"emergency"` or `"self_harm"` where the text holds one of the fixed phrases."""
        danger = self.danger(text)
        return None if danger is None else danger.kind

    def department_of(self, category: str) -> str | None:
        """The department that looks after a kind of problem."""
        for department in self.settings.get("departments", ()):
            if category in (department.get("categories") or ()):
                return str(department["key"])
        return None

    def department_for(self, article: str) -> str | None:
        """The department that answers for an article, by its topic: the first part of its id."""
        topic = article.partition("/")[0]
        for department in self.settings.get("departments", ()):
            if topic and topic in (department.get("topics") or ()):
                return str(department["key"])
        return None

    @cached_property
    def _streets(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Every street and district as a whole phrase, the longest first, with its district."""
        known = [(str(district), str(district)) for district in self.settings.get("districts") or ()]
        for district, streets in (self.settings.get("district_streets") or {}).items():
            known += [(str(street), str(district)) for street in streets]
        known.sort(key=lambda pair: len(pair[0]), reverse=True)
        return tuple((re.compile(rf"(?<!\w){re.escape(plain(name))}(?!\w)"), whose) for name, whose in known)

    def district_of(self, place: str) -> str | None:
        """The district in which a place lies, where it names one or one of its streets."""
        words = plain(place)
        return next((district for name, district in self._streets if name.search(words)), None)

    @cached_property
    def topics(self) -> Mapping[str, str]:
        """What articles are about, by name: the folders of `knowledge/`, and what departments answer for."""
        folders = (self.folder / "knowledge").glob("*/")
        answered = (department.get("topics") or () for department in self.settings.get("departments", ()))
        keys = {folder.name for folder in folders} | {str(topic) for own in answered for topic in own}
        names = {key: re.sub("[-_]+", " ", key).capitalize() for key in keys}
        names |= {key: str(name) for key, name in (self.settings.get("topic_names") or {}).items()}
        return dict(sorted(((key, names[key]) for key in keys), key=lambda topic: topic[1].casefold()))

    def category(self, key: str, language: str | None) -> str:
        """A kind of problem in a language, as a clerk named it."""
        for category in self.settings.get("report_categories", ()):
            if category["key"] == key:
                names = category["names"]
                return str(names.get(self.speaks(language)) or names[self.default_language])
        return key


def load_city(folder: Path) -> City:
    """Read the city's words; raises CityError with one sentence when a file is missing or wrong."""
    responses = {
        path.stem: words_in(path)
        for path in sorted((folder / "responses").glob("*.yml"))
        if path.stem != "commands"
    }
    commands_file, flags_file = folder / "responses" / "commands.yml", folder / "flags.yml"
    consent = {path.stem: words_in(path) for path in sorted((folder / "consent").glob("*.yml"))}
    for code, words in consent.items():
        responses[code] = {**responses.get(code, {}), **words.get("texts", {})}
    city = City(
        folder,
        words_in(folder / "city.yml"),
        responses,
        words_in(commands_file) if commands_file.exists() else {},
        {code: words.get("commands", {}) for code, words in consent.items()},
        words_in(flags_file) if flags_file.exists() else {},
    )
    for key in ("name", "time_zone", "languages", "opening_hours", "emergency"):
        if key not in city.settings:
            raise CityError(f"{folder / 'city.yml'} has no '{key}'.")
    for day in DAYS:
        for span in city.settings["opening_hours"].get(day) or ():
            try:
                _span(str(span))
            except ValueError:
                raise CityError(
                    f"{folder / 'city.yml'}: opening_hours of {day} must look like 08:00-18:00, not {span!r}."
                ) from None
    if city.default_language not in responses:
        raise CityError(
            f"{folder / 'responses'} has no {city.default_language}.yml for the default language."
        )
    return city


def number_in(where: str, section: Mapping[str, Any], key: str, least: float, most: float) -> float:
    """A number that a file of the city's has to give; raises CityError with one sentence."""
    given = section.get(key)
    if isinstance(given, bool) or not isinstance(given, int | float) or not least <= given <= most:
        raise CityError(f"{where}: '{key}' must be a number from {least:g} to {most:g}, not {given!r}.")
    return float(given)


@lru_cache
def _moment_in(locale: str) -> str:
    """The pattern of weekday, day, month and time: the locale's own order with both names in full."""
    known = Locale.parse(locale).datetime_skeletons
    day = next(str(known[key].pattern) for key in ("MMMMEEEEd", "MMMMEd", "MMMEd") if key in known)
    day = re.sub(r"E+|ccc", "EEEE", re.sub(r"M{3,}|L{3,}", "MMMM", day))
    # A comma within the day wants another one before the time, which Portuguese leaves out.
    joined = "{1}, {0}" if "," in day else str(get_datetime_format("medium", locale))
    return joined.replace("{1}", day).replace("{0}", str(known["Hm"].pattern))


def _span(words: str) -> tuple[time, time]:
    """`08:00-18:00` as two times; 24:00 is the end of the day."""
    start, end = (part.strip() for part in words.split("-"))
    return time.fromisoformat(start), time.max if end == "24:00" else time.fromisoformat(end)


def words_in(path: Path) -> dict[str, Any]:
    """What stands in a file of the city's; raises CityError in one sentence where it cannot be read."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a SafeLoader
    except FileNotFoundError:
        raise CityError(f"{path} is missing.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise CityError(f"{path} cannot be read: {error}") from None
    if not isinstance(found, dict):
        raise CityError(f"{path} must be a list of keys and values.")
    return found


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def plain(text: str) -> str:
    """Lower case, one form of each character, punctuation and double spaces gone: for comparing words."""
    folded = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    kept = "".join(c if c.isalnum() or c == "'" or unicodedata.combining(c) else " " for c in folded)
    return " ".join(kept.split())


def _unaccented(words: str) -> str:
    """Plain words as people in a hurry type them, without accents."""
    kept = "".join(c for c in unicodedata.normalize("NFD", words) if not unicodedata.combining(c))
    return kept.replace("ł", "l").replace("ı", "i").replace("'", "")


def _hurried(text: str) -> str:
    """A whole message as people in a hurry type it: plain words without accents, for comparing commands.

    A hamza at the end of an Arabic word stays: without it "begin" would be "never", which is a no.
    """
    return _unaccented(_FINAL_HAMZA.sub("اء", plain(text)))


_FINAL_HAMZA = re.compile(r"أ(?!\w)")
_UNSPACED = {"zh", "ja", "th"}


class _Phrases:
    """Phrases of several languages, found at word borders; scripts without spaces need no border."""

    def __init__(
        self, words: Mapping[str, list[str]], of_parts: Mapping[str, list[list[list[str]]]] | None = None
    ) -> None:
        self._languages: dict[str, tuple[str, ...]] = {}
        bordered: set[str] = set()
        free: set[str] = set()
        known_of = {language: list(phrases) for language, phrases in words.items()}
        for language, rows in (of_parts or {}).items():
            joint = "" if language in _UNSPACED else " "
            built = (joint.join(parts) for row in rows for parts in product(*row))
            known_of.setdefault(language, []).extend(built)
        for language, phrases in known_of.items():
            for written in filter(None, (plain(str(phrase)) for phrase in phrases)):
                for phrase in (written, _unaccented(written)):
                    known = self._languages.get(phrase, ())
                    self._languages[phrase] = known if language in known else (*known, language)
                    (free if language in _UNSPACED else bordered).add(phrase)
        # One border around all phrases of a pattern, and one branch for each first letter and each first
        # word, make this 20 times as fast.
        patterns = [rf"(?<!\w)(?:{_branches(bordered)})(?!\w)"] if bordered else []
        patterns += [_branches(free)] if free else []
        self._patterns = tuple(re.compile(pattern) for pattern in patterns)

    def find(self, words: str) -> tuple[str, ...]:
        """The languages of the first phrase that plain words hold; nothing where they hold none."""
        for pattern in self._patterns:
            if match := pattern.search(words):
                return self._languages[match[0]]
        return ()

    def without(self, words: str) -> str:
        """Plain words with the phrases taken out; what stood beside one is never joined to a new phrase."""
        for pattern in self._patterns:
            words = pattern.sub(" | ", words)
        return words


def _branches(phrases: Iterable[str]) -> str:
    """An alternation of phrases that tries only those which begin alike."""
    letters = []
    for letter, alike in groupby(sorted(phrases), key=lambda phrase: phrase[0]):
        words: dict[str, list[str]] = {}
        for phrase in alike:
            first, space, rest = phrase[1:].partition(" ")
            words.setdefault(first, []).append(re.escape(space + rest))
        tails = (f"{re.escape(first)}(?:{'|'.join(rests)})" for first, rests in words.items())
        letters.append(f"{re.escape(letter)}(?:{'|'.join(tails)})")
    return "|".join(letters)


def _fill(template: str, values: Mapping[str, object]) -> str:
    """Fill `{name}` by name only, so that braces in a value or a clerk's text can do no harm."""
    return re.sub(r"\{(\w+)\}", lambda m: str(values.get(m[1], m[0])), template)
