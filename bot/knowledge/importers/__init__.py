"""Read articles from whatever a city has: JSON lines, Markdown, HTML, PDF, DOCX, a folder, a URL.

    articles = importers.read("nlu_data/knowledge")

Everything is read before anything is returned: either all articles come back or ImportFailed
lists every problem with its file and line, in words for the person who wrote the file.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

from bot.knowledge.articles import Article
from bot.knowledge.importers import documents, jsonlines, markdown, web
from bot.knowledge.importers.problems import ImportFailed, Problem

READERS: dict[str, Callable[[Path, str], list[Article]]] = {
    ".jsonl": jsonlines.read,
    ".md": markdown.read,
    ".markdown": markdown.read,
    ".html": documents.read_html,
    ".htm": documents.read_html,
    ".pdf": documents.read_pdf,
    ".docx": documents.read_docx,
}


def read(source: str | Path, allow_private: bool = False) -> list[Article]:
    """Return the articles of a file, a folder (with its subfolders) or a URL; raise ImportFailed.

    `allow_private` permits URLs on this machine's own network.
    """
    if isinstance(source, str) and "://" in source:
        return web.read(source, allow_private=allow_private)
    path = Path(source)
    if not path.exists():
        raise ImportFailed([Problem(str(path), None, "there is no such file or folder")])
    if path.is_file():
        if path.suffix.lower() not in READERS:
            raise ImportFailed([Problem(str(path), None, f"files of this kind cannot be read; {_known()}")])
        return _collect([(path, path.name)])
    files = [(file, str(file.relative_to(path))) for file in _files(path)]
    if not files:
        raise ImportFailed([Problem(str(path), None, f"the folder holds nothing to read; {_known()}")])
    return _collect(files)


def _collect(files: list[tuple[Path, str]]) -> list[Article]:
    articles: list[Article] = []
    problems: list[Problem] = []
    for path, name in files:
        try:
            articles.extend(READERS[path.suffix.lower()](path, name))
        except ImportFailed as error:
            problems.extend(error.problems)
    problems.extend(_repeated(articles))
    if problems:
        raise ImportFailed(problems)
    return articles


def _repeated(articles: list[Article]) -> Iterator[Problem]:
    first: dict[tuple[str, str], str] = {}
    for article in articles:
        key = (article.article, article.language)
        if key in first:
            place, _, line = (
                article.origin.rpartition(":") if ":" in article.origin else (article.origin, "", "")
            )
            yield Problem(
                place,
                int(line) if line.isdigit() else None,
                f"article {article.article!r} in {article.language!r} already stands in {first[key]}",
            )
        else:
            first[key] = article.origin.replace(":", ", line ")


def _files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
        if path.is_file() and path.suffix.lower() in READERS and not hidden and path.stem.lower() != "readme":
            yield path


def _known() -> str:
    return "known are " + ", ".join(sorted(READERS))


__all__ = ["READERS", "ImportFailed", "Problem", "read"]
