"""Real models, loaded once for the session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bot.evaluate.answers import snapshot_of
from bot.evaluate.files import silent
from bot.evaluate.vectors import VectorStore
from bot.knowledge import importers
from bot.knowledge.articles import Article
from bot.knowledge.embeddings import Embedder
from bot.knowledge.snapshots import Snapshot
from bot.settings import DEFAULT_MODEL, city_folder

TOWN = (
    Article(
        "waste/recycling-collection",
        "en",
        "When recycling is collected",
        "Recycling is collected every second week, on the weekday of your district.\n\n"
        "## What goes in\nPaper, cardboard, tins and bottles, all rinsed and loose. No glass.",
        "https://city.example/recycling",
        ("When is my recycling collected?", "What day do you empty the blue bin?"),
    ),
    Article(
        "waste/recycling-collection",
        "es",
        "Cuándo se recoge el reciclaje",
        "El reciclaje se recoge cada dos semanas, el día de su barrio.",
        "https://city.example/es/reciclaje",
        ("¿Cuándo recogen el reciclaje?",),
    ),
    Article(
        "parking/resident-permit",
        "en",
        "Resident parking permit",
        "A resident parking permit costs €60 a year. Apply with proof of your address.",
        "https://city.example/permit",
        ("How do I get a parking permit?",),
    ),
    Article(
        "identity/passport",
        "en",
        "Passports: applying and renewing",
        "A passport costs €70 and takes four weeks. Bring a photo and your old passport.",
        "https://city.example/passport",
        ("How do I renew my passport?",),
    ),
    Article(
        "schools/enrolment",
        "en",
        "Enrolling a child in school",
        "Children who turn six before September start school that year. Enrol them by the end of March.",
        "https://city.example/school",
        ("How do I enrol my child in school?",),
    ),
)


@pytest.fixture(scope="session")
def embedder() -> Embedder:
    """Loads the default models."""
    return Embedder(DEFAULT_MODEL)


@pytest.fixture(scope="session")
def make_snapshot(
    embedder: Embedder, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[Sequence[Article]], Snapshot]:
    """Makes a searchable snapshot of articles."""
    path: Path = tmp_path_factory.mktemp("vectors") / "vectors.sqlite"

    def make(articles: Sequence[Article]) -> Snapshot:
        store = VectorStore(embedder, path)
        try:
            return snapshot_of(articles, store, embedder.fingerprint, silent)
        finally:
            store.close()

    return make


@pytest.fixture(scope="session")
def town(make_snapshot: Callable[[Sequence[Article]], Snapshot]) -> Snapshot:
    """Makes a small town's knowledge."""
    return make_snapshot(TOWN)


@pytest.fixture(scope="session")
def city(make_snapshot: Callable[[Sequence[Article]], Snapshot]) -> Snapshot:
    """Makes a part of the city's own knowledge: five topics in English, long articles cut short."""
    folder = city_folder() / "knowledge"
    topics = ("waste", "parking", "identity-and-residence", "libraries", "schools")
    articles = [article for topic in topics for article in importers.read(folder / topic)]
    return make_snapshot(
        [
            replace(article, article=f"{topic_of(article)}/{article.article}", text=article.text[:800])
            for article in articles
            if article.language == "en"
        ]
    )


def topic_of(article: Article) -> str:
    """Return the folder of an article, which its address ends with."""
    return article.url.rstrip("/").split("/")[-2]
