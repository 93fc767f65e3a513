"""Train the refusal gate: `python -m bot.evaluate.gate --articles A --queries Q ... [--write]`.

Three kinds of examples, from files whose licences allow weights to be made of them:

- questions with their articles in the pool: to be answered;
- the same questions with their articles hidden: nearest neighbours that do not answer;
- what nobody should look up: `answerable: false`, and the intents file out_of_scope.yml.

An article's own questions count as well, each asked while it is itself hidden.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from bot import language
from bot.evaluate.answers import Query, read_articles, read_queries, snapshot_of
from bot.evaluate.vectors import VectorStore
from bot.knowledge import gate
from bot.knowledge.embeddings import Embedder
from bot.knowledge.search import earlier_questions, rank, score
from bot.knowledge.snapshots import Snapshot
from bot.settings import DEFAULT_MODEL, city_folder

# A question whose article is hidden may still find another that answers it.
HIDDEN_WEIGHT = 0.35
FOLDS = 5
# An article's own questions, of which a city has hundreds, shall not outweigh the others.
MOST_OWN = 240


@dataclass(frozen=True)
class Example:
    """One question as the gate sees it."""

    features: dict[str, float]
    answerable: bool
    weight: float
    kind: str
    question: str


def examples(
    snapshot: Snapshot, embedder: Embedder, queries: Sequence[Query], pool: str
) -> Iterator[Example]:
    """Yield the examples that questions give against one pool of articles."""
    own = [query for query in queries if query.answerable and query.relevant & set(snapshot.articles)]
    for query in own:
        asked = _positions_asking(snapshot, query.text)
        found, right = _look(snapshot, embedder, query, asked)
        if found and right:
            yield Example(found, True, 1.0, f"{pool} answerable", query.text)
        places = snapshot.articles
        hidden = {at for name in query.relevant & set(places) for ats in places[name].values() for at in ats}
        found, _ = _look(snapshot, embedder, query, frozenset(hidden) | asked)
        if found:
            yield Example(found, False, HIDDEN_WEIGHT, f"{pool} hidden", query.text)
    for query in queries:
        if not query.answerable:
            found, _ = _look(snapshot, embedder, query, frozenset())
            if found:
                yield Example(found, False, 1.0, f"{pool} off topic", query.text)


def own_questions(snapshot: Snapshot) -> list[Query]:
    """Return the questions that the articles themselves list."""
    return [
        Query(row.text, (), frozenset({row.article}), True, row.language)
        for row in snapshot.rows
        if row.kind == "question"
    ]


def out_of_scope() -> list[Query]:
    """Return what the city's intents call out of scope."""
    path = city_folder() / "intents" / "out_of_scope.yml"
    listed = yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]
    lines = [line for entry in listed for line in entry["examples"].split("\n")]
    return [Query(line[2:].strip(), (), frozenset(), False, "") for line in lines if line.startswith("- ")]


def fit(given: Sequence[Example]) -> dict[str, Any]:
    """Return weights, and how well examples never trained on are told apart."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    names = list(given[0].features)
    table = np.array([[one.features[name] for name in names] for one in given])
    truth = np.array([one.answerable for one in given])
    # Each pool's answerable and unanswerable questions weigh the same in total.
    weights = np.array([one.weight for one in given])
    for answerable in (True, False):
        weights[truth == answerable] /= weights[truth == answerable].sum() / len(given)

    def model() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=1000))

    predicted = np.zeros(len(given))
    groups = [one.question for one in given]
    for train, test in GroupKFold(FOLDS).split(table, truth, groups):
        fold = model().fit(table[train], truth[train], logisticregression__sample_weight=weights[train])
        predicted[test] = fold.predict_proba(table[test])[:, 1]
    kinds = np.array([one.kind for one in given])
    measured = {
        kind: round(
            float(roc_auc_score(truth[truth | (kinds == kind)], predicted[truth | (kinds == kind)])), 4
        )
        for kind in sorted({one.kind for one in given if not one.answerable})
    }
    whole = model().fit(table, truth, logisticregression__sample_weight=weights)
    scaler, logistic = whole[0], whole[1]
    slopes = logistic.coef_[0] / scaler.scale_
    bias = float(logistic.intercept_[0] - (slopes * scaler.mean_).sum())
    return {
        "bias": round(bias, 4),
        "weights": {name: round(float(slope), 4) for name, slope in zip(names, slopes, strict=True)},
        **_thresholds(predicted, truth, np.array([one.weight for one in given])),
        "cross_validated_auc": measured,
        "examples": {kind: int((kinds == kind).sum()) for kind in sorted(set(kinds))},
    }


def _thresholds(predicted: Any, truth: Any, weights: Any) -> dict[str, float]:
    """Return from which probability to answer and from which to ask back.

    95 % of the off-topic questions stay below the first and 85 % below the second; but 85 % of the
    answerable ones reach the first and 95 % the second, even if that lets more of the others in.
    """
    off_topic = predicted[~truth & (weights >= 1.0)]
    answerable = predicted[truth]
    answer = min(float(np.quantile(off_topic, 0.95)), float(np.quantile(answerable, 0.15)))
    clarify = min(float(np.quantile(off_topic, 0.85)), float(np.quantile(answerable, 0.05)))
    return {"answer_from": round(answer, 3), "clarify_from": round(min(clarify, answer - 0.05), 3)}


def _look(
    snapshot: Snapshot, embedder: Embedder, query: Query, hidden: frozenset[int]
) -> tuple[dict[str, float] | None, bool]:
    """Return the features of a question, and whether a relevant article is among the first three."""
    earlier = earlier_questions(query.text, query.history)
    vectors = embedder.encode([query.text, *earlier])
    spoken = query.language or language.read(query.text).language
    scored = score(snapshot, query.text, vectors, earlier, spoken, hidden)
    if not len(scored.at):
        return None, False
    ranked = rank(snapshot, scored)
    right = bool(query.relevant & {article for article, _, _ in ranked[:3]})
    return gate.features(snapshot, query.text, scored, ranked), right


def _positions_asking(snapshot: Snapshot, text: str) -> frozenset[int]:
    return frozenset(
        at for at, row in enumerate(snapshot.rows) if row.kind == "question" and row.text == text
    )


def main(
    articles: Annotated[list[Path], typer.Option(help="One pool of articles each; `a,b` joins two.")],
    queries: Annotated[list[Path], typer.Option(help="The questions of the pool at the same place.")],
    cache: Annotated[Path, typer.Option(help="Where vectors are kept.")] = Path(
        "var/brain/evaluation.sqlite"
    ),
    write: Annotated[bool, typer.Option(help="Replace gate.json.")] = False,
) -> None:
    """Train the gate on questions against their pools, and print what it learned."""
    embedder = Embedder(DEFAULT_MODEL)
    store = VectorStore(embedder, cache)
    off_topic = random.Random(0).sample(out_of_scope(), MOST_OWN // 2)
    found: list[Example] = []
    for pool, asked in zip(articles, queries, strict=True):
        paths = [Path(part) for part in str(pool).split(",")]
        snapshot = snapshot_of(read_articles(paths), store, embedder.fingerprint, lambda *_: None)
        listed = own_questions(snapshot)
        chosen = random.Random(0).sample(listed, min(MOST_OWN, len(listed)))
        all_queries = [*read_queries([asked]), *chosen, *off_topic]
        found.extend(examples(snapshot, embedder, all_queries, paths[0].parent.name))
    result = {
        "about": "The refusal gate's weights; made by `python -m bot.evaluate.gate --write`.",
        "model": DEFAULT_MODEL,
        **fit(found),
    }
    typer.echo(json.dumps(result, indent=2))
    if write:
        gate.WEIGHTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
