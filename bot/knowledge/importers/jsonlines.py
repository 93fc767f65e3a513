"""Articles as JSON lines: {"id", "title", "text", "url", "lang"}, and `questions` where there are any."""

import json
from pathlib import Path
from typing import Any

from bot.knowledge.articles import Article
from bot.knowledge.importers.problems import ImportFailed, Problem, as_date, is_language, read_text

# After this many the writer knows what is wrong with the file.
MOST_PROBLEMS = 20


def read(path: Path, name: str) -> list[Article]:
    """Return the articles of a JSON lines file; raise ImportFailed naming each wrong line."""
    articles: list[Article] = []
    problems: list[Problem] = []
    for number, line in enumerate(read_text(path, name).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            articles.append(_article(json.loads(line), f"{name}:{number}"))
        except json.JSONDecodeError as error:
            problems.append(Problem(name, number, f"this is no JSON (column {error.colno}: {error.msg})"))
        except ValueError as error:
            problems.append(Problem(name, number, str(error)))
        if len(problems) >= MOST_PROBLEMS:
            problems.append(Problem(name, None, "there may be more; the first problems are listed"))
            break
    if not articles and not problems:
        problems.append(Problem(name, None, "the file holds no article"))
    if problems:
        raise ImportFailed(problems)
    return articles


def _article(record: Any, origin: str) -> Article:
    if not isinstance(record, dict):
        raise ValueError('a line must be one article: {"id": ..., "title": ..., "text": ...}')
    identity = record.get("id")
    if isinstance(identity, int):
        identity = str(identity)
    if not isinstance(identity, str) or not identity.strip():
        raise ValueError('"id" is missing')
    text = record.get("text")
    if not isinstance(text, str) or not text.strip():
        raise ValueError(f'"text" of article {identity!r} is missing or empty')
    language = record.get("lang") or record.get("language")
    if not is_language(language):
        raise ValueError(f'"lang" of article {identity!r} must be a language code such as "en"')
    questions = record.get("questions") or []
    if not isinstance(questions, list) or not all(isinstance(question, str) for question in questions):
        raise ValueError(f'"questions" of article {identity!r} must be a list of sentences')
    try:
        reviewed, until = as_date(record.get("reviewed")), as_date(record.get("valid_until"))
    except ValueError as error:
        raise ValueError(f"a date of article {identity!r} is not written as year-month-day") from error
    return Article(
        article=identity.strip(),
        language=str(language),
        title=_text(record, "title", identity),
        text=text,
        url=_text(record, "url", identity),
        questions=tuple(question.strip() for question in questions if question.strip()),
        owner=_text(record, "owner", identity),
        source=_text(record, "source", identity) or _text(record, "url", identity),
        reviewed=reviewed,
        valid_until=until,
        origin=origin,
    )


def _text(record: dict[str, Any], name: str, identity: str) -> str:
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise ValueError(f'"{name}" of article {identity!r} must be text')
    return value.strip()
