"""Finds and masks what should not travel: cards, accounts, national ids, e-mail addresses, telephones.

Pure text in, pure text out. A number counts only when its own check digits say so, wherever it has
any; the numbers a city writes every day (references, dates, hours, house numbers, amounts) are looked
past. Digits of every script count as digits, and any spacing inside a number is allowed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import phonenumbers
from stdnum import iban
from stdnum.cn import ric
from stdnum.de import idnr
from stdnum.es import dni, nie
from stdnum.exceptions import ValidationError
from stdnum.fr import nir
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.pl import pesel
from stdnum.pt import nif
from stdnum.tr import tckimlik


class Kind(StrEnum):
    """What was found; its value stands in the text in brackets."""

    CARD = "card"
    IBAN = "iban"
    NATIONAL_ID = "id"
    EMAIL = "email"
    PHONE = "phone"


# Nobody should send these to a city's chat; where to be called back they may.
SENSITIVE = frozenset({Kind.CARD, Kind.IBAN, Kind.NATIONAL_ID})
EVERYTHING = frozenset(Kind)


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of the text, `start` inclusive and `end` exclusive."""

    kind: Kind
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Masked:
    """A text without what was found in it, and the kinds that were."""

    text: str
    kinds: frozenset[Kind]


def mask(text: str, kinds: frozenset[Kind] = EVERYTHING) -> Masked:
    """Replace every find by its kind in brackets. Masking a masked text changes nothing."""
    seen: set[Kind] = set()
    while found := find(text, kinds):
        parts, at = [], 0
        for one in found:
            parts += [text[at : one.start], f"[{one.kind}]"]
            at = one.end
            seen.add(one.kind)
        text = "".join([*parts, text[at:]])
    return Masked(text, frozenset(seen))


def find(text: str, kinds: frozenset[Kind] = EVERYTHING) -> list[Found]:
    """What a text holds of these kinds, in order and without overlaps; the surer kind has the stretch."""
    found: list[Found] = []
    plain = _ascii_digits(text)
    if "@" not in plain and sum(c.isdigit() for c in plain) < _FEWEST_DIGITS:
        return found  # most messages
    for kind, look in _LOOKS:
        if kind not in kinds:
            continue
        for start, end in look(plain):
            found.append(Found(kind, start, end))
            plain = f"{plain[:start]}{_TAKEN * (end - start)}{plain[end:]}"
    return sorted(found, key=lambda one: one.start)


_FEWEST_DIGITS = 6  # of whatever is looked for, but an e-mail address
_TAKEN = "\x00"  # stands for what is looked past; no pattern below matches it

Look = Callable[[str], list[tuple[int, int]]]


def _ascii_digits(text: str) -> str:
    """The text with the digits of all scripts, and full-width letters, as ASCII; as long as it was."""
    if text.isascii():
        return text
    return "".join(_DIGIT.get(c) or _ascii(c) for c in text)


_DIGIT: dict[str, str] = {c: c for c in "0123456789"}


def _ascii(character: str) -> str:
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKC", character)
    return folded if len(folded) == 1 and folded.isascii() and folded.isalnum() else character


# Written every day, and never masked ----------------------------------------------------------------

_EVERYDAY = re.compile(
    r"\bR\d{2}-\d{5,}-\d\b"  # a report's reference
    r"|(?<!\d)(?:19|20)\d\d([-/.])(?:0?[1-9]|1[0-2])\1(?:0?[1-9]|[12]\d|3[01])(?!\d)"  # 2026-11-22
    r"|(?<!\d)(?:0?[1-9]|[12]\d|3[01])([-/.])(?:0?[1-9]|[12]\d|3[01])\2(?:19|20)\d\d(?!\d)"  # 22.11.2026
    r"|(?<![\d:])\d{1,2}[:h]\d{2}(?:\s?[-\u2013]\s?\d{1,2}[:h]\d{2})?(?!\d)"  # 08:00-18:00
    r"|\b[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}\b",  # an id of our own
    re.IGNORECASE,
)
_CURRENCY = r"[\u20ac$\u00a3\u00a5\u20ba]|\b(?:EUR|USD|GBP|PLN|TRY|CNY|z\u0142|TL|euros?|dollars?)\b"
_FIGURE = r"\d[\d.,' \u00a0\u202f]{0,24}"
_AMOUNT = re.compile(rf"(?:{_CURRENCY})\s?{_FIGURE}|(?<!\d){_FIGURE}(?:{_CURRENCY})", re.IGNORECASE)


def _past(text: str, pattern: re.Pattern[str]) -> str:
    return pattern.sub(lambda match: _TAKEN * len(match[0]), text)


# Runs of digits -------------------------------------------------------------------------------------

# Between two digits of one number: spaces, dashes, dots, brackets, and marks nobody sees.
_GAP = r"[\s.()/\u00ad\u2010-\u2015\u2212\u200b-\u200f\u2060\ufeff-]{0,4}"
_RUN = re.compile(rf"\d(?:{_GAP}\d)*")
_GROUP = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class _Run:
    """Groups of digits that stand so close together that they may be one number."""

    text: str
    groups: list[tuple[int, int]]

    def digits(self, first: int, last: int) -> str:
        return "".join(self.text[start:end] for start, end in self.groups[first : last + 1])

    def span(self, first: int, last: int) -> tuple[int, int]:
        return self.groups[first][0], self.groups[last][1]


def _runs(text: str) -> Iterator[_Run]:
    for match in _RUN.finditer(text):
        yield _Run(text, [found.span() for found in _GROUP.finditer(text, match.start(), match.end())])


def _cards(text: str) -> list[tuple[int, int]]:
    """Any 13 to 19 digits whose Luhn sum is right, from one border between groups to another."""
    found = []
    for run in _runs(_past(text, _EVERYDAY)):
        first = 0
        while first < len(run.groups):
            last = _card_from(run, first)
            if last is not None:
                found.append(run.span(first, last))
            first = first + 1 if last is None else last + 1
    return found


def _card_from(run: _Run, first: int) -> int | None:
    best = None
    digits = ""
    for last in range(first, len(run.groups)):
        digits += run.digits(last, last)
        if len(digits) > 19:
            break
        if len(digits) >= 13 and _luhn(digits):
            best = last
    return best


_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def _luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of ISO/IEC 7812-1; asked for every window of every run."""
    return sum(int(d) if at % 2 else _DOUBLED[int(d)] for at, d in enumerate(reversed(digits), 1)) % 10 == 0


# Accounts -------------------------------------------------------------------------------------------

_IBAN_HEAD = re.compile(r"(?<![A-Z0-9])[A-Z]{2}[\s-]{0,2}\d[\s-]?\d", re.IGNORECASE)
_LONGEST_IBAN = 34


def _ibans(text: str) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for head in _IBAN_HEAD.finditer(text):
        if found and head.start() < found[-1][1]:
            continue
        end = _iban_end(text, head.start())
        if end is not None:
            found.append((head.start(), end))
    return found


def _iban_end(text: str, start: int) -> int | None:
    """Where an IBAN that begins here ends: the country's length and the remainder of 97 must fit."""
    compact, gap = "", 0
    for at in range(start, len(text)):
        character = text[at]
        if character.isascii() and character.isalnum():
            compact, gap = compact + character.upper(), 0
            after = text[at + 1 : at + 2]
            ends = not (after.isascii() and after.isalnum())
            if len(compact) >= 15 and ends and iban.is_valid(compact, check_country=False):
                return at + 1
        else:
            gap += 1
            if gap > 2 or not re.fullmatch(_GAP, character):
                return None
        if len(compact) >= _LONGEST_IBAN:
            return None
    return None


# National ids ---------------------------------------------------------------------------------------


def _word(pattern: str) -> re.Pattern[str]:
    """A pattern that stands alone among Latin letters and digits; other scripts touch what they name."""
    return re.compile(rf"(?<![A-Z0-9_-])(?:{pattern})(?![A-Z0-9_-])", re.IGNORECASE)


def _ric(number: str) -> bool:
    """A Chinese resident's number by its date and check digit; the list of counties is never complete."""
    try:
        ric.get_birth_date(number)
        return bool(ric.calc_check_digit(number) == number[-1])
    except (ValidationError, ValueError):
        return False


# Neither has a check digit. The Social Security Administration gives out no 000, 666 or 9xx, and HM
# Revenue & Customs names the letters that never occur.
_SSN = _word(r"(?!000|666|9)\d{3}([- ])(?!00)\d{2}\1(?!0000)\d{4}")
_NINO = _word(
    r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z][ -]?\d{2}[ -]?\d{2}[ -]?\d{2}[ -]?[A-D]"
)
_LETTERED: tuple[tuple[re.Pattern[str], Callable[[str], bool]], ...] = (
    (_word(r"\d{2}[. ]?\d{3}[. ]?\d{3}[ -]?[A-Z]"), dni.is_valid),
    (_word(r"[XYZ][ -]?\d{7}[ -]?[A-Z]"), nie.is_valid),
    (_word(r"\d{7}[ -]?[A-W][A-IWTX]?"), pps.is_valid),
    (
        _word(
            r"[A-Z]{3}[ -]?[A-Z]{3}[ -]?[\dL-NP-V]{2}[A-EHLMPR-T][\dL-NP-V]{2}[ -]?"
            r"[A-Z][\dL-NP-V]{3}[ -]?[A-Z]"
        ),
        codicefiscale.is_valid,
    ),
    (_word(r"\d(?:[ -]?\d){16}[ -]?[\dX]"), _ric),
    # Corsica's departments are 2A and 2B.
    (_word(r"[1-478](?:[ -]?\d){4}[ -]?2[ -]?[AB](?:[ -]?\d){8}"), nir.is_valid),
)
_BY_LENGTH: dict[int, tuple[Callable[[str], bool], ...]] = {
    9: (lambda digits: digits[0] in "123" and nif.is_valid(digits),),
    11: (idnr.is_valid, pesel.is_valid, tckimlik.is_valid),
    15: (nir.is_valid,),
    18: (_ric,),
}


def _ids(text: str) -> list[tuple[int, int]]:
    text = _past(_past(text, _EVERYDAY), _AMOUNT)
    found = [match.span() for pattern in (_SSN, _NINO) for match in pattern.finditer(text)]
    for pattern, valid in _LETTERED:
        found += [m.span() for m in pattern.finditer(text) if valid(re.sub(r"[\s.-]", "", m[0]).upper())]
    for run in _runs(text):
        # A whole run or one group of it: two numbers side by side are not made into a third.
        whole = (0, len(run.groups) - 1)
        for first, last in {whole, *((at, at) for at in range(len(run.groups)))}:
            digits, span = run.digits(first, last), run.span(first, last)
            checks = _BY_LENGTH.get(len(digits), ())
            if _alone(text, *span) and any(valid(digits) for valid in checks):
                found.append(span)
    return _apart(found)


def _alone(text: str, start: int, end: int) -> bool:
    """Whether no Latin letter touches the stretch: `K1234567890` is a part's number, not a person's.

    Other scripts are written right up to a number.
    """
    beside = text[max(start - 1, 0) : start] + text[end : end + 1]
    return not any(c.isascii() and c.isalpha() for c in beside)


def _apart(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The stretches without those inside or across an earlier, longer one."""
    kept: list[tuple[int, int]] = []
    for start, end in sorted(set(spans), key=lambda span: (span[0], -span[1])):
        if not kept or start >= kept[-1][1]:
            kept.append((start, end))
    return kept


# Ways to reach somebody -----------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)*\.[^\W\d_]{2,24}(?![\w@])")
# Where a number within the country begins with 0, and where it begins with anything.
_TRUNK = ("IE", "GB", "DE", "FR", "IT", "TR", "CN", "SA", "EG", "MA")
_OPEN = ("ES", "PT", "PL", "US", "IT", "CN")


def _emails(text: str) -> list[tuple[int, int]]:
    return [match.span() for match in _EMAIL.finditer(text)] if "@" in text else []


def _phones(text: str) -> list[tuple[int, int]]:
    text = _past(_past(text, _EVERYDAY), _AMOUNT)
    found = []
    for run in _runs(text):
        start, end = run.span(0, len(run.groups) - 1)
        digits = run.digits(0, len(run.groups) - 1)
        plus = text[:start].rstrip("( \t")[-1:] in {"+", "\uff0b"}
        if 7 <= len(digits) <= 17 and _alone(text, start, end) and _is_phone(digits, plus):
            if plus:
                start = max(text.rfind("+", 0, start), text.rfind("\uff0b", 0, start))
            elif text[max(start - 1, 0) : start] == "(":
                start -= 1
            found.append((start, end))
    return found


def _is_phone(digits: str, plus: bool) -> bool:
    if plus or digits.startswith("00"):
        number = f"+{digits.lstrip('0')}"
        return any(_valid(tried, None) for tried in (number, number.replace("0", "", 1)))
    regions = _TRUNK if digits.startswith("0") else _OPEN
    return any(_valid(digits, region) for region in regions)


def _valid(number: str, region: str | None) -> bool:
    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    return phonenumbers.is_possible_number(parsed) if region is None else phonenumbers.is_valid_number(parsed)


# The surest first: whoever takes a stretch keeps it.
_LOOKS: tuple[tuple[Kind, Look], ...] = (
    (Kind.EMAIL, _emails),
    (Kind.IBAN, _ibans),
    (Kind.NATIONAL_ID, _ids),
    (Kind.CARD, _cards),
    (Kind.PHONE, _phones),
)
