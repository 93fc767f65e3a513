"""Articles as Markdown: <topic>/<article>.<language>.md with front matter, or plain Markdown."""

import re
from pathlib import Path
from typing import Any

import yaml

from bot import language
from bot.knowledge.articles import Article
from bot.knowledge.importers.problems import ImportFailed, Problem, as_date, is_language, read_text

KNOWN = {"title", "owner", "source", "url", "reviewed", "valid_until", "questions", "language", "id"}
_FRONT = re.compile(r"\A---[ \t]*\n(.*?)(?:^---[ \t]*(?:\n|\Z))", re.DOTALL | re.MULTILINE)
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)


def read(path: Path, name: str) -> list[Article]:
    """Return the one article of a Markdown file; raise ImportFailed naming file and line."""
    text = read_text(path, name)
    front, body, first_line = _front_matter(text, name)
    problems = [
        Problem(name, _line_of(text, key), f"{key!r} is no known entry; known are {', '.join(sorted(KNOWN))}")
        for key in front
        if key not in KNOWN
    ]
    title = front.get("title")
    if title is None:
        heading = _HEADING.search(body)
        title = heading.group(1) if heading else Path(name).stem.split(".")[0].replace("-", " ").capitalize()
        if heading:
            body = body[: heading.start()] + body[heading.end() :]
    if not isinstance(title, str) or not title.strip():
        problems.append(Problem(name, _line_of(text, "title"), "the title must be one line of text"))
    if not body.strip():
        problems.append(Problem(name, first_line, "the article has no text"))
    questions = front.get("questions") or []
    if not isinstance(questions, list) or not all(isinstance(question, str) for question in questions):
        problems.append(
            Problem(name, _line_of(text, "questions"), "the questions must be a list, one '- ...?' a line")
        )
        questions = []
    dates: dict[str, Any] = {}
    for key in ("reviewed", "valid_until"):
        try:
            dates[key] = as_date(front.get(key))
        except ValueError:
            problems.append(
                Problem(
                    name, _line_of(text, key), f"{key} must be a date such as 2026-09-14, not {front[key]!r}"
                )
            )
    identity, code = _identity(name, front, body)
    if not is_language(code):
        problems.append(
            Problem(name, _line_of(text, "language"), f"{code!r} is no language code such as 'en'")
        )
    if problems:
        raise ImportFailed(problems)
    source = str(front.get("source") or "").strip()
    return [
        Article(
            article=identity,
            language=code,
            title=str(title).strip(),
            text=body.strip(),
            url=str(
                front.get("url") or (source if source.startswith(("http://", "https://")) else "")
            ).strip(),
            questions=tuple(question.strip() for question in questions if question.strip()),
            owner=str(front.get("owner") or "").strip(),
            source=source,
            reviewed=dates["reviewed"],
            valid_until=dates["valid_until"],
            origin=name,
        )
    ]


def _front_matter(text: str, name: str) -> tuple[dict[str, Any], str, int]:
    """Return (entries, body, the body's first line)."""
    if not text.startswith("---"):
        return {}, text, 1
    match = _FRONT.match(text)
    if match is None:
        raise ImportFailed([Problem(name, 1, "the front matter begins with '---' but never ends with '---'")])
    try:
        front = yaml.safe_load(match.group(1)) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = getattr(error, "problem", None) or "it is not written as 'name: value'"
        line = mark.line + 2 if mark else 1
        raise ImportFailed([Problem(name, line, f"the front matter cannot be read ({what})")]) from error
    except ValueError as error:  # a date such as 2026-13-40
        raise ImportFailed(
            [Problem(name, 1, f"the front matter holds an impossible date ({error})")]
        ) from error
    if not isinstance(front, dict):
        raise ImportFailed([Problem(name, 2, "the front matter must be lines of 'name: value'")])
    return (
        {str(key): value for key, value in front.items()},
        text[match.end() :],
        text.count("\n", 0, match.end()) + 1,
    )


def _identity(name: str, front: dict[str, Any], body: str) -> tuple[str, str]:
    path = Path(name)
    stem, _, suffix = path.stem.rpartition(".")
    if not stem or not is_language(suffix):
        stem, suffix = path.stem, ""
    identity = str(front.get("id") or path.with_name(stem).as_posix())
    code = str(front.get("language") or suffix or language.read(body[:2000]).language)
    return identity, code


def _line_of(text: str, key: str) -> int | None:
    match = re.search(rf"^{re.escape(key)}\s*:", text, re.MULTILINE)
    return text.count("\n", 0, match.start()) + 1 if match else None
