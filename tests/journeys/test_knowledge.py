"""Articles come in while residents ask, all of them or none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.residents import Books, BySms, OnTheWeb, until
from tests.whole import ROOT, WholeLine

BEES = "Do I need a licence to keep bees on my roof?"
ARTICLES = [
    {
        "id": "bees",
        "title": "Keeping bees",
        "text": "You need a bee licence to keep bees on a roof or in a garden. It costs 12 euros a year. "
        "Hives must stand at least six metres from the next balcony.",
        "url": "https://www.larkhaven.example/animals/bees",
        "lang": "en",
    },
    {
        "id": "kites",
        "title": "Flying kites on the beach",
        "text": "Kites may be flown on North Beach from October to April. Lines are at most 50 metres long.",
        "url": "https://www.larkhaven.example/leisure/kites",
        "lang": "en",
    },
]


def write(path: Path, articles: list[dict[str, Any]]) -> Path:
    """Write articles as JSON lines."""
    path.write_text("".join(json.dumps(article) + "\n" for article in articles), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file(line: WholeLine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A city's file of articles; at the end it is imported empty, so that the line knows what it knew."""
    path = tmp_path_factory.mktemp("articles") / "animals.jsonl"
    yield path
    write(path, ARTICLES[1:])
    line.civicline("kb", "import", str(path))


def test_questions_go_on_while_articles_come_in(
    line: WholeLine, books: Books, visitor: OnTheWeb, texter: BySms, file: Path
) -> None:
    before = books.one("SELECT max(number) FROM knowledge_version")
    assert "bee licence" not in visitor.asks(BEES)

    importing = subprocess.Popen(
        [sys.executable, "-m", "contact_hub.cli", "kb", "import", str(write(file, ARTICLES)), "--json"],
        env=line.environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    asked = 0
    # A fast machine asks so often that the limit on texts to one number would make it wait.
    while asked == 0 or (importing.poll() is None and asked < 10):
        assert "every second week" in texter.asks("When is my recycling collected?")
        asked += 1

    done = json.loads(importing.communicate(timeout=60)[0])
    assert importing.returncode == 0
    assert (done["articles"], done["embedded"], done["changed"]) == (2, 2, True)
    assert done["version"] == before + 1
    until(lambda: "bee licence" in visitor.asks(BEES), "the brain follows the new version", 20)
    assert visitor.inbox()[-1].sources == ["https://www.larkhaven.example/animals/bees"]


def test_an_unchanged_import_says_so(line: WholeLine, books: Books, file: Path) -> None:
    line.civicline("kb", "import", str(write(file, ARTICLES)))
    before = books.one("SELECT max(number) FROM knowledge_version")

    again = line.civicline("kb", "import", str(file))

    assert again.returncode == 0, again.stderr
    assert "Nothing changed" in again.stdout
    assert books.one("SELECT max(number) FROM knowledge_version") == before


@pytest.mark.parametrize(
    "broken",
    [
        '{"id": "a", "title": "A", "text": "Half an arti',
        '{"id": "a", "title": "No text", "lang": "en"}',
        "[1, 2]",
        "\x00\xff",
    ],
)
def test_a_broken_file_changes_nothing(line: WholeLine, books: Books, tmp_path: Path, broken: str) -> None:
    """Not even its good articles come in, and the place of the mistake is named."""
    before = books.one("SELECT max(number) FROM knowledge_version")
    path = write(tmp_path / "broken.jsonl", [{**ARTICLES[0], "id": "wasps", "title": "Keeping wasps"}])
    with path.open("a", encoding="latin-1") as file:
        file.write(broken + "\n")

    done = line.civicline("kb", "import", str(path))

    assert done.returncode == 1
    assert "broken.jsonl" in done.stderr
    assert "Nothing was imported" in done.stderr
    assert "Traceback" not in done.stderr
    assert books.one("SELECT max(number) FROM knowledge_version") == before
    assert books.one("SELECT count(*) FROM article_version WHERE title = 'Keeping wasps'") == 0
