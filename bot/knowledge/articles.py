"""What the brain knows about an article, and how its text becomes passages.

    Article -> split() -> [title passage, question passages, body passages]

A passage is what is embedded and searched. Body passages carry the heading they stand under, so
that "Opening hours" is still about the library when it is found on its own.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum

# Measured on the development questions (docs/measurements.md): shorter passages lose context,
# longer ones blur several topics into one vector and take the encoder longer.
PASSAGE_WORDS = 130
PASSAGE_LIMIT = 180

_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$")
_SENTENCE_END = re.compile(r"(?<=[.!?…؟])[\"'”’»)\]]*\s+|(?<=[。！？])")


class Kind(StrEnum):
    """Where a passage comes from."""

    TITLE = "title"
    QUESTION = "question"
    BODY = "body"


@dataclass(frozen=True)
class Article:
    """One language version of an article."""

    article: str
    language: str
    title: str
    text: str
    url: str = ""
    questions: tuple[str, ...] = ()
    owner: str = ""
    source: str = ""
    reviewed: date | None = None
    valid_until: date | None = None
    origin: str = field(default="", compare=False)


@dataclass(frozen=True)
class Passage:
    """A piece of an article: `text` is shown, `context` (title and heading) is embedded with it."""

    article: str
    language: str
    ordinal: int
    kind: Kind
    text: str
    context: str = ""

    @property
    def embedded(self) -> str:
        """The text that the encoder reads."""
        return f"{self.context}\n{self.text}" if self.context else self.text


def split(article: Article) -> list[Passage]:
    """Return the passages of an article: its title, its questions, then its body in order."""
    pieces: list[tuple[Kind, str, str]] = []
    if article.title.strip():
        pieces.append((Kind.TITLE, article.title.strip(), ""))
    pieces.extend((Kind.QUESTION, question.strip(), "") for question in article.questions if question.strip())
    for heading, text in body_pieces(article.text):
        context = ". ".join(part for part in (article.title.strip(), heading) if part)
        pieces.append((Kind.BODY, text, context))
    return [
        Passage(article.article, article.language, ordinal, kind, text, context)
        for ordinal, (kind, text, context) in enumerate(pieces)
    ]


def body_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Yield (heading, text) for each body passage of at most PASSAGE_LIMIT words."""
    for heading, section in _sections(text):
        waiting: list[str] = []
        size = 0
        for unit in _units(section):
            length = word_count(unit)
            if waiting and size + length > PASSAGE_WORDS:
                yield heading, _join(waiting)
                waiting, size = [], 0
            waiting.append(unit)
            size += length
        if waiting:
            yield heading, _join(waiting)


def word_count(text: str) -> int:
    """Count words; two Chinese or Japanese characters count as one, since they use no spaces.

    A word of more than 20 letters (a long link, a table without spaces) counts as several.
    """
    if text.isascii():
        cjk = 0
    else:
        cjk = len(_CJK.findall(text))
        text = _CJK.sub(" ", text)
    return sum(1 + len(word) // 20 for word in text.split()) + (cjk + 1) // 2


def sentences(text: str) -> list[str]:
    """Split one paragraph into sentences, keeping their punctuation."""
    return [part.strip() for part in _SENTENCE_END.split(text) if part and part.strip()]


def _sections(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each heading with the paragraphs below it; the part before the first has heading ''."""
    heading, lines = "", list[str]()
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        match = _HEADING.match(line.strip())
        if match:
            if any(line.strip() for line in lines):
                yield heading, lines
            heading, lines = match.group(1), []
        else:
            lines.append(line)
    if any(line.strip() for line in lines):
        yield heading, lines


def _units(lines: list[str]) -> Iterator[str]:
    """Yield the smallest pieces that may be packed together: lines, or sentences of long lines.

    Each piece ends in a newline or a space, as it did in the text.
    """
    for line in lines:
        stripped = line.strip()
        if not stripped:
            continue
        if word_count(stripped) <= PASSAGE_WORDS:
            yield stripped + "\n"
            continue
        parts = [piece for sentence in sentences(stripped) for piece in _hard_split(sentence)]
        for position, part in enumerate(parts):
            yield part + ("\n" if position == len(parts) - 1 else " ")


def _hard_split(sentence: str) -> Iterator[str]:
    """Cut a sentence that is longer than a whole passage, by words or by characters."""
    if word_count(sentence) <= PASSAGE_LIMIT:
        yield sentence
        return
    waiting: list[str] = []
    size = 0
    step = 2 * PASSAGE_WORDS  # in characters, where there is no space to cut at
    for word in (whole[at : at + step] for whole in sentence.split() for at in range(0, len(whole), step)):
        length = word_count(word)
        if waiting and size + length > PASSAGE_WORDS:
            yield " ".join(waiting)
            waiting, size = [], 0
        waiting.append(word)
        size += length
    if waiting:
        yield " ".join(waiting)


def _join(units: list[str]) -> str:
    return "".join(units).strip()
