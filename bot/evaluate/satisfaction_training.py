"""Train the model of dissatisfaction: `python -m bot.evaluate.satisfaction_training --help`.

What the two heads of `bot/satisfaction.py` learn from:

- `plain`: the city's own examples (`nlu_data/satisfaction`, and the intents, of which `complain` is
  unhappy); against them turns of rated dialogues that satisfied, and comments of GoEmotions with
  their emotions, so that an opinion of a film is not taken for one of the city.
- `rejection`: rated dialogues, each turn with what was said before it. GoEmotions' emotions are
  directions in the space of vectors along which this head may move more freely.

Nothing of the dialogues or comments is kept but numbers. Each file of dialogues is in turn left out
of the training and measured: `transfer` in what is printed and stored.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from bot import satisfaction
from bot.evaluate import satisfaction as measuring
from bot.evaluate.files import records, silent
from bot.evaluate.vectors import VectorStore
from bot.knowledge.embeddings import Embedder, Vectors
from bot.satisfaction import Said, read_weights
from bot.settings import city_folder

# Chosen by training on one file of dialogues and measuring on the other, both ways, and by folds
# of the own examples. PLAIN_STRENGTH and PLAIN_PASSES were changed after seeing results on
# tests/fixtures too: see docs/measurements.md.
PLAIN_STRENGTH = 10.0
REJECTION_STRENGTH = 0.1
EMOTIONS_SCALE = 0.3
ANSWER_SCALE = 0.5
RIDGE = 30.0
# How much the others weigh beside the own examples, which weigh 1.
SATISFIED_WEIGHT = 0.3
OTHER_COMMENTS_WEIGHT = 0.3
ANGRY_COMMENTS_WEIGHT = 0.1
INTENTS_WEIGHT = 0.5
# Examples of these kinds are kept as set phrases as well.
STOCK_KINDS = {"sarcasm", "told_already"}
OTHER_COMMENTS, ANGRY_COMMENTS = 6_000, 2_000
# The share of calm own examples that each head lets pass; plain is the one that the unhappy sound like.
PLAIN_PASSES, REJECTION_PASSES = 0.975, 0.995
# From which cosine on a turn asks the same as an earlier one: see docs/measurements.md.
REPEATS_FROM = 0.7
# From which cosine on a turn is one of the set phrases.
STOCK_FROM = 0.87
# From which cosine on a calm example is kept, to be held against the set phrase that it is so like.
HARMLESS_FROM = 0.65
FOLDS = 5
# Examples at least this alike, in whichever languages, stay in one fold.
TRANSLATED_FROM = 0.8

ANGRY = {"anger", "annoyance", "disappointment"}
NOT_CALM = ANGRY | {"disapproval", "disgust"}

Talk = list[Said]


@dataclass(frozen=True)
class Own:
    """The city's own examples."""

    texts: list[str]
    unhappy: np.ndarray[Any, np.dtype[np.bool_]]
    weights: np.ndarray[Any, np.dtype[np.float64]]
    languages: list[str]
    stock: list[bool]  # whether it is a set phrase: sarcasm, or "I already told you"


@dataclass(frozen=True)
class Comments:
    """GoEmotions: vectors, and the head of each emotion (a column of `emotions`)."""

    other: Vectors
    angry: Vectors
    emotions: Vectors


@dataclass(frozen=True)
class Rated:
    """The dialogues of one file."""

    talks: list[Talk]
    dissatisfied: np.ndarray[Any, np.dtype[np.bool_]]  # of each citizen's turn


def own_examples(folder: Path) -> Own:
    """Return the examples of `satisfaction/` and of the intents."""
    rows: list[tuple[str, bool, float, str, bool]] = []
    for path in sorted((folder / "satisfaction").glob("*.yml")):
        for kind, texts in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            rows += [(text, kind != "calm", 1.0, path.stem, kind in STOCK_KINDS) for text in texts]
    for path in sorted((folder / "intents").glob("*.yml")):
        for listed in yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]:
            lines = [line[2:].strip() for line in listed["examples"].split("\n") if line.startswith("- ")]
            complains = listed["intent"] == "complain"
            rows += [(text, complains, INTENTS_WEIGHT, "en", False) for text in lines]
    texts, unhappy, weights, languages, stock = zip(*rows, strict=True)
    return Own(list(texts), np.array(unhappy), np.array(weights), list(languages), list(stock))


def read_comments(path: Path, store: VectorStore) -> Comments:
    """Return GoEmotions' comments as vectors, and a ridge regression of each emotion on them."""
    found = records(path, lambda record: "" if "emotions" in record else '"emotions" is missing')
    vectors = store.encode([record["text"] for record in found], [""] * len(found))
    names = sorted({name for record in found for name in record["emotions"]})
    given = np.array([[name in record["emotions"] for name in names] for record in found], dtype=np.float64)
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    square = centred.T @ centred + RIDGE * np.eye(vectors.shape[1])
    heads = np.linalg.solve(square, centred.T @ (given - given.mean(axis=0)))
    share = given.mean(axis=0)
    felt = [set(record["emotions"]) for record in found]
    chance = np.random.default_rng(0)
    other = chance.choice(
        [at for at, names in enumerate(felt) if not names & NOT_CALM], OTHER_COMMENTS, replace=False
    )
    angry = chance.choice(
        [at for at, names in enumerate(felt) if names & ANGRY], ANGRY_COMMENTS, replace=False
    )
    emotions: Vectors = (heads / np.sqrt(share * (1 - share))).astype(np.float32)
    return Comments(vectors[other], vectors[angry], emotions)


def read_rated(path: Path, store: VectorStore) -> Rated:
    """Return the rated dialogues of one file with their vectors."""
    dialogues = measuring.read_dialogues([path])
    truth = [turn.dissatisfied for one in dialogues for turn in one.turns if turn.role == "citizen"]
    return Rated(measuring.encoded(dialogues, store), np.array(truth, dtype=bool))


def train(rated: Sequence[Rated], own: Own, said: Talk, comments: Comments, replies: Vectors) -> Any:
    """Return the weights as they are stored.

    `said` holds the own examples as turns, `replies` the vector of an answer of the city for each.
    """
    vectors = np.stack([turn.vector for turn in said])
    plain = _train_plain(rated, own, vectors, comments)
    rejection = _train_rejection(rated, comments.emotions)
    phrases = vectors[own.stock]
    harmless = vectors[~own.unhappy & ((vectors @ phrases.T).max(axis=1) >= HARMLESS_FROM)]
    stock = {
        "from": STOCK_FROM,
        "vectors": satisfaction.packed(phrases),
        "harmless": satisfaction.packed(harmless),
    }
    stored = {"plain": plain, "stock": stock, "rejection": rejection, "repeats_from": REPEATS_FROM}
    folded = _folds(rated, own, said, comments)
    plain["from"] = round(float(np.quantile(folded[~own.unhappy], PLAIN_PASSES)), 4)
    rejection["from"] = 0.0
    weighed = read_weights(stored)
    calm = [
        satisfaction.rejections([*before, Said("citizen", "", vectors[at])], weighed)[-1]
        for at in np.flatnonzero(~own.unhappy)
        for before in ([], [Said("bot", "", replies[at])])
    ]
    rejection["from"] = round(float(np.quantile(calm, REJECTION_PASSES)), 4)
    return stored


def _train_plain(
    rated: Sequence[Rated], own: Own, vectors: Vectors, comments: Comments, kept: Any = slice(None)
) -> dict[str, Any]:
    unhappy, weights = own.unhappy[kept], own.weights[kept]
    balanced = np.where(unhappy, 0.5 / weights[unhappy].sum(), 0.5 / weights[~unhappy].sum()) * weights
    satisfied = [
        np.stack([turn.vector for talk in one.talks for turn in talk if turn.role == "citizen"])[
            ~one.dissatisfied
        ]
        for one in rated
    ]
    parts = [
        (vectors[kept], unhappy, balanced),
        *(_part(rows, False, SATISFIED_WEIGHT / len(rated)) for rows in satisfied),
        _part(comments.other, False, OTHER_COMMENTS_WEIGHT),
        _part(comments.angry, True, ANGRY_COMMENTS_WEIGHT),
    ]
    rows, truth, weighs = (np.concatenate([part[at] for part in parts]) for at in range(3))
    slopes, bias = _fit(rows, truth, weighs * len(own.texts), PLAIN_STRENGTH)
    return {"bias": bias, "turn": slopes}


def _part(rows: Vectors, unhappy: bool, weight: float) -> tuple[Any, Any, Any]:
    return rows, np.full(len(rows), unhappy), np.full(len(rows), weight / len(rows))


def _folds(rated: Sequence[Rated], own: Own, said: Talk, comments: Comments) -> Any:
    """Return the plain score of each own example from a head that saw neither it nor a translation of it."""
    from scipy.sparse.csgraph import connected_components
    from sklearn.model_selection import GroupKFold

    vectors = np.stack([turn.vector for turn in said])
    _, groups = connected_components(vectors @ vectors.T >= TRANSLATED_FROM)
    scores = np.zeros(len(said))
    for kept, left in GroupKFold(FOLDS, shuffle=True, random_state=0).split(vectors, groups=groups):
        head = _train_plain(rated, own, vectors, comments, kept)
        slopes = np.array(head["turn"], dtype=np.float32)
        scores[left] = [satisfaction.plainly(said[at], slopes) + head["bias"] for at in left]
    return scores


def _train_rejection(rated: Sequence[Rated], emotions: Vectors) -> dict[str, Any]:
    """Return the head as weights on the turn alone: emotions are directions in the same space."""
    tables = [np.stack([row for talk in one.talks for row in _context(talk)]) for one in rated]
    truths = [one.dissatisfied for one in rated]
    weights = [np.where(t, 0.5 / t.sum(), 0.5 / (~t).sum()) / len(rated) for t in truths]
    table, truth, weight = np.concatenate(tables), np.concatenate(truths), np.concatenate(weights)
    width = emotions.shape[0]
    felt = table[:, :width] @ emotions * EMOTIONS_SCALE
    slopes, bias = _fit(np.hstack([table, felt]), truth, weight * len(truth), REJECTION_STRENGTH)
    turn = np.array(slopes[:width]) + emotions @ np.array(slopes[2 * width + 2 :]) * EMOTIONS_SCALE
    return {
        "bias": bias,
        "alike": slopes[2 * width],
        "last": slopes[2 * width + 1],
        "turn": _rounded(turn),
        "answer": _rounded(np.array(slopes[width : 2 * width]) * ANSWER_SCALE),
    }


def _context(talk: Talk) -> list[Any]:
    """Return for each citizen's turn: its vector, the last answer's, and how like it is to earlier turns."""
    rows = []
    answer = np.zeros_like(talk[0].vector)
    earlier: list[Any] = []
    for turn in talk:
        if turn.role != "citizen":
            answer = turn.vector
            continue
        alike = satisfaction.likeness(turn.vector, earlier) if earlier else (0.0, 0.0)
        rows.append(np.concatenate([turn.vector, answer * ANSWER_SCALE, alike]))
        earlier.append(turn.vector)
    return rows


def _fit(rows: Any, truth: Any, weights: Any, strength: float) -> tuple[list[float], float]:
    """Return the slopes and the bias of a logistic regression."""
    from sklearn.linear_model import LogisticRegression

    middle = rows.mean(axis=0)
    fitted = LogisticRegression(C=strength, max_iter=1000).fit(rows - middle, truth, sample_weight=weights)
    slopes = fitted.coef_[0]
    return _rounded(slopes), round(float(fitted.intercept_[0] - slopes @ middle), 4)


def _rounded(values: Any) -> list[float]:
    return [round(float(value), 4) for value in values]


def _replies(own: Own, folder: Path, store: VectorStore) -> Vectors:
    """Return the vector of an answer in the language of each own example, drawn by chance."""
    said = {
        path.stem: [
            words
            for words in yaml.safe_load(path.read_text(encoding="utf-8")).values()
            if isinstance(words, str)
        ]
        for path in sorted((folder / "responses").glob("*.yml"))
    }
    chance = np.random.default_rng(0)
    drawn = [said[code][int(chance.integers(len(said[code])))] for code in own.languages]
    return store.encode(drawn, [""] * len(drawn))


def main(
    dialogues: Annotated[list[Path], typer.Option(help="Rated dialogues; at least two files.")],
    emotions: Annotated[Path, typer.Option(help="GoEmotions comments with their emotions.")],
    cache: Annotated[Path, typer.Option(help="Where vectors are kept.")] = Path(
        "var/brain/evaluation.sqlite"
    ),
    write: Annotated[bool, typer.Option(help="Replace satisfaction.json.")] = False,
) -> None:
    """Train the model, print what it learned and how it does on dialogues left out."""
    store = VectorStore(Embedder(satisfaction.MODEL), cache)
    comments = read_comments(emotions, store)
    rated = [read_rated(path, store) for path in dialogues]
    own = own_examples(city_folder())
    alone = [measuring.Dialogue("", "", (measuring.Turn("citizen", text),)) for text in own.texts]
    said = [turn for talk in measuring.encoded(alone, store) for turn in talk]
    replies = _replies(own, city_folder(), store)
    transfer = {}
    for at, path in enumerate(dialogues):
        others = [one for number, one in enumerate(rated) if number != at]
        left_out = read_weights(train(others, own, said, comments, replies))
        found = measuring.measure(measuring.read_dialogues([path]), store, silent, left_out)
        transfer[path.stem] = {name: value for name, value in found.items() if not name.startswith("by_")}
    stored = train(rated, own, said, comments, replies)
    store.close()
    result = {
        "about": "Dissatisfaction; made by `python -m bot.evaluate.satisfaction_training --write`.",
        "model": satisfaction.MODEL,
        "learned_from": {
            **{path.name: len(one.talks) for path, one in zip(dialogues, rated, strict=True)},
            emotions.name: len(comments.other) + len(comments.angry),
            "own, unhappy": int(own.unhappy.sum()),
            "own, calm": int((~own.unhappy).sum()),
        },
        "transfer": transfer,
        **stored,
    }
    shown = {name: value for name, value in result.items() if name not in ("plain", "stock", "rejection")}
    typer.echo(json.dumps(shown, indent=2))
    if write:
        satisfaction.WEIGHTS.write_text(_lines(result), encoding="utf-8")


def _lines(result: dict[str, Any]) -> str:
    """Return JSON with a line for each entry: vectors are not for reading."""
    entries = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


if __name__ == "__main__":
    typer.run(main)
