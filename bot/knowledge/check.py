"""Look through a knowledge folder for what a reader would stumble over, before anyone does."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path

from bot.knowledge import importers
from bot.knowledge.articles import Article

SOON = timedelta(days=30)
FEWEST_QUESTIONS = 2

_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)[^)]*\)")


class Weight(StrEnum):
    """How bad a finding is: errors keep an article from being right, the rest is worth knowing."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True)
class Finding:
    """One thing found, and in which file."""

    weight: Weight
    place: str
    what: str


def check(folder: Path, today: date, languages: Sequence[str] = ()) -> list[Finding]:
    """Return what is wrong in a folder of articles, errors first."""
    articles: list[Article] = []
    findings: list[Finding] = []
    try:
        articles = importers.read(folder)
    except importers.ImportFailed as error:
        for problem in error.problems:
            place = f"{problem.place}:{problem.line}" if problem.line else problem.place
            findings.append(Finding(Weight.ERROR, place, problem.what))
        articles = _readable(folder)
    known = {article.article for article in articles}
    for article in articles:
        findings.extend(_dates(article, today))
        findings.extend(_entries(article))
        findings.extend(_links(article, known))
    findings.extend(_shared_questions(articles))
    findings.extend(_translations(articles, languages))
    order = list(Weight)
    return sorted(findings, key=lambda one: (order.index(one.weight), one.place, one.what))


def _readable(folder: Path) -> list[Article]:
    """Return the articles of those files that can be read on their own."""
    found = []
    for path in sorted(folder.rglob("*")) if folder.is_dir() else []:
        reader = importers.READERS.get(path.suffix.lower())
        if reader and path.is_file():
            try:
                found.extend(reader(path, str(path.relative_to(folder))))
            except importers.ImportFailed:
                continue
    return found


def _dates(article: Article, today: date) -> Iterator[Finding]:
    until = article.valid_until
    if until and until < today:
        yield Finding(
            Weight.ERROR, article.origin, f"expired on {until}: residents still get it as an answer"
        )
    elif until and until < today + SOON:
        yield Finding(Weight.WARNING, article.origin, f"expires on {until}")
    if article.reviewed and article.reviewed > today:
        yield Finding(
            Weight.WARNING, article.origin, f"its review date {article.reviewed} lies in the future"
        )
    if article.reviewed and until and until < article.reviewed:
        yield Finding(
            Weight.ERROR, article.origin, f"expires on {until}, before its review on {article.reviewed}"
        )


def _entries(article: Article) -> Iterator[Finding]:
    for name in ("owner", "source", "reviewed"):
        if not getattr(article, name):
            yield Finding(Weight.WARNING, article.origin, f"has no {name}")
    if len(article.questions) < FEWEST_QUESTIONS:
        yield Finding(
            Weight.WARNING,
            article.origin,
            f"has {len(article.questions)} questions; {FEWEST_QUESTIONS} or more help residents find it",
        )


def _links(article: Article, known: set[str]) -> Iterator[Finding]:
    folder = Path(article.article).parent
    for target in _LINK.findall(article.text):
        if "://" in target or target.startswith(("mailto:", "tel:", "#")):
            continue
        path = Path(re.sub(r"(\.[a-z]{2,3})?\.(md|markdown)$", "", target.split("#")[0]))
        relative = _normal((folder / path).parts)
        if relative not in known and _normal(path.parts) not in known:
            yield Finding(Weight.ERROR, article.origin, f"links to {target}, which is no article")


def _normal(parts: tuple[str, ...]) -> str:
    kept: list[str] = []
    for part in parts:
        if part == "..":
            kept[-1:] = []
        elif part not in (".", "/"):
            kept.append(part)
    return "/".join(kept)


def _shared_questions(articles: Sequence[Article]) -> Iterator[Finding]:
    first: dict[tuple[str, str], Article] = {}
    for article in articles:
        for question in article.questions:
            key = (article.language, " ".join(question.casefold().split()).rstrip("?!. "))
            other = first.setdefault(key, article)
            if other.article != article.article:
                yield Finding(
                    Weight.WARNING, article.origin, f"asks {question!r}, and so does {other.origin}"
                )


def _translations(articles: Sequence[Article], languages: Sequence[str]) -> Iterator[Finding]:
    versions: dict[str, set[str]] = {}
    for article in articles:
        versions.setdefault(article.article, set()).add(article.language)
    for language in languages:
        missing = sorted(name for name, present in versions.items() if language not in present)
        if missing and len(missing) < len(versions):
            names = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
            yield Finding(
                Weight.NOTE, language, f"{len(missing)} of {len(versions)} articles are missing: {names}"
            )
        elif missing:
            yield Finding(Weight.NOTE, language, "no article is written in this language")
