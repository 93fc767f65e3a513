"""Train the model of dissatisfaction: `python -m bot.evaluate.satisfaction_training --help`.

What the two heads of `bot/satisfaction.py` learn from:

- `plain`: the city's own examples (`nlu_data/satisfaction`, the ordinary turns of `nlu_data/danger`, and
  the intents, of which `complain` is unhappy), as written and as typed in a hurry; against them turns of
  rated dialogues that satisfied, and comments of GoEmotions with their emotions, so that an opinion of
  a film is not taken for one of the city.
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
from bot.classifier import hurried, packed
from bot.evaluate import classifiers
from bot.evaluate import satisfaction as measuring
from bot.evaluate.files import records, silent
from bot.evaluate.vectors import VectorStore
from bot.knowledge.embeddings import Embedder, Vectors
from bot.satisfaction import Said, read_weights
from bot.settings import city_folder

# Chosen by training on one file of dialogues and measuring on the other, both ways. PLAIN_FROM was chosen
# on files of tests/fixtures kept for that: see docs/measurements.md.
PLAIN_FROM = 3.0
REJECTION_STRENGTH = 0.1
EMOTIONS_SCALE = 0.3
ANSWER_SCALE = 0.5
RIDGE = 30.0
# How much the others weigh beside the own examples, which weigh 1.
SATISFIED_WEIGHT = 0.5
OTHER_COMMENTS_WEIGHT = 0.5
ANGRY_COMMENTS_WEIGHT = 0.1
INTENTS_WEIGHT = 0.5
MOST_SATISFIED, OTHER_COMMENTS, ANGRY_COMMENTS = 6_000, 6_000, 2_000
# The share of calm own examples, written to be hard, that `rejection` lets pass.
REJECTION_PASSES = 0.995
# From which cosine on a turn asks the same as an earlier one: see docs/measurements.md.
REPEATS_FROM = 0.7

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


@dataclass(frozen=True)
class Words:
    """Texts with their vectors."""

    texts: list[str]
    vectors: Vectors

    def __len__(self) -> int:
        return len(self.texts)

    def some(self, places: Any) -> "Words":
        """Return those at some places."""
        return Words([self.texts[at] for at in places], self.vectors[places])


@dataclass(frozen=True)
class Comments:
    """GoEmotions: some that are calm or angry, and the head of each emotion (a column of `emotions`)."""

    other: Words
    angry: Words
    emotions: Vectors


@dataclass(frozen=True)
class Rated:
    """The dialogues of one file."""

    talks: list[Talk]
    dissatisfied: np.ndarray[Any, np.dtype[np.bool_]]  # of each citizen's turn


def own_examples(folder: Path) -> Own:
    """Return the examples of `satisfaction/`, of `danger/` those that are ordinary, and of the intents."""
    rows: list[tuple[str, bool, float, str]] = []
    for path in sorted((folder / "satisfaction").glob("*.yml")):
        for kind, texts in yaml.safe_load(path.read_text(encoding="utf-8")).items():
            rows += [(text, kind != "calm", 1.0, path.stem) for text in texts]
    for path in sorted((folder / "danger").glob("*.yml")):
        texts = yaml.safe_load(path.read_text(encoding="utf-8")).get("ordinary", ())
        rows += [(text, False, 1.0, path.stem) for text in texts]
    for path in sorted((folder / "intents").glob("*.yml")):
        for listed in yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]:
            lines = [line[2:].strip() for line in listed["examples"].split("\n") if line.startswith("- ")]
            rows += [(text, listed["intent"] == "complain", INTENTS_WEIGHT, "en") for text in lines]
    texts, unhappy, weights, languages = zip(*rows, strict=True)
    return Own(list(texts), np.array(unhappy), np.array(weights), list(languages))


def read_comments(path: Path, store: VectorStore) -> Comments:
    """Return GoEmotions' comments as vectors, and a ridge regression of each emotion on them."""
    found = records(path, lambda record: "" if "emotions" in record else '"emotions" is missing')
    words = _encoded([record["text"] for record in found], store)
    vectors = words.vectors
    names = sorted({name for record in found for name in record["emotions"]})
    given = np.array([[name in record["emotions"] for name in names] for record in found], dtype=np.float64)
    centred = (vectors - vectors.mean(axis=0)).astype(np.float64)
    square = centred.T @ centred + RIDGE * np.eye(vectors.shape[1])
    heads = np.linalg.solve(square, centred.T @ (given - given.mean(axis=0)))
    share = given.mean(axis=0)
    felt = [set(record["emotions"]) for record in found]
    chance = np.random.default_rng(0)
    other = [at for at, names in enumerate(felt) if not names & NOT_CALM]
    angry = [at for at, names in enumerate(felt) if names & ANGRY]
    emotions: Vectors = (heads / np.sqrt(share * (1 - share))).astype(np.float32)
    return Comments(
        words.some(chance.choice(other, OTHER_COMMENTS, replace=False)),
        words.some(chance.choice(angry, ANGRY_COMMENTS, replace=False)),
        emotions,
    )


def _encoded(texts: list[str], store: VectorStore) -> Words:
    return Words(texts, store.encode(texts, [""] * len(texts)))


def read_rated(path: Path, store: VectorStore) -> Rated:
    """Return the rated dialogues of one file with their vectors."""
    dialogues = measuring.read_dialogues([path])
    truth = [turn.dissatisfied for one in dialogues for turn in one.turns if turn.role == "citizen"]
    return Rated(measuring.encoded(dialogues, store), np.array(truth, dtype=bool))


@dataclass(frozen=True)
class Lesson:
    """What the heads learn of beside the dialogues.

    `written` holds the own examples, `bare` what they are like when typed in a hurry, `replies` the
    vector of an answer of the city for each.
    """

    own: Own
    written: Words
    bare: Words
    replies: Vectors
    comments: Comments


def train(rated: Sequence[Rated], lesson: Lesson) -> Any:
    """Return the weights as they are stored."""
    rejection = _train_rejection(rated, lesson.comments.emotions)
    stored: dict[str, Any] = {
        "plain": {**_train_plain(rated, lesson), "from": PLAIN_FROM},
        "rejection": {**rejection, "from": 0.0},
        "repeats_from": REPEATS_FROM,
    }
    weighed = read_weights(stored)
    rejected = [
        satisfaction.rejections([*before, Said("citizen", "", lesson.written.vectors[at])], weighed)[-1]
        for at in np.flatnonzero(~lesson.own.unhappy)
        for before in ([], [Said("bot", "", lesson.replies[at])])
    ]
    stored["rejection"]["from"] = round(float(np.quantile(rejected, REJECTION_PASSES)), 4)
    return stored


def _train_plain(rated: Sequence[Rated], lesson: Lesson) -> dict[str, Any]:
    own = lesson.own
    counts = own.weights / own.weights[~own.unhappy].sum() / 2
    for language in set(own.languages):
        here = np.array([one == language for one in own.languages])
        # What others wrote is English and mostly calm: against it alone, all English would seem calm.
        others = SATISFIED_WEIGHT + OTHER_COMMENTS_WEIGHT if language == "en" else 0.0
        unhappy = here & own.unhappy
        counts[unhappy] *= (counts[here & ~own.unhappy].sum() + others) / counts[unhappy].sum()
    parts = [
        (lesson.written, own.unhappy, counts / 2),
        (lesson.bare, own.unhappy, counts / 2),
        _part(_satisfied(rated), False, SATISFIED_WEIGHT),
        _part(lesson.comments.other, False, OTHER_COMMENTS_WEIGHT),
        _part(lesson.comments.angry, True, ANGRY_COMMENTS_WEIGHT),
    ]
    texts = [text for words, _, _ in parts for text in words.texts]
    vectors = np.concatenate([words.vectors for words, _, _ in parts])
    truth = np.concatenate([unhappy for _, unhappy, _ in parts])
    weights = np.concatenate([weights for _, _, weights in parts])
    weights /= weights.mean()
    return {
        "network": classifiers.stored_network(classifiers.network(vectors, truth.astype(int), weights)),
        "letters": packed(classifiers.letters(texts, truth, weights).weights),
    }


def _satisfied(rated: Sequence[Rated]) -> Words:
    """Return some of the citizens' turns that were not dissatisfied."""
    found = [
        turn
        for one in rated
        for turn, dissatisfied in zip(
            (turn for talk in one.talks for turn in talk if turn.role == "citizen"),
            one.dissatisfied,
            strict=True,
        )
        if not dissatisfied
    ]
    drawn = np.random.default_rng(0).choice(len(found), min(len(found), MOST_SATISFIED), replace=False)
    return Words([found[at].text for at in drawn], np.stack([found[at].vector for at in drawn]))


def _part(words: Words, unhappy: bool, weight: float) -> tuple[Words, Any, Any]:
    return words, np.full(len(words), unhappy), np.full(len(words), weight / len(words))


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
    lesson = Lesson(
        own,
        _encoded(own.texts, store),
        _encoded([hurried(text) for text in own.texts], store),
        _replies(own, city_folder(), store),
        comments,
    )
    transfer = {}
    for at, path in enumerate(dialogues):
        others = [one for number, one in enumerate(rated) if number != at]
        left_out = read_weights(train(others, lesson))
        found = measuring.measure(measuring.read_dialogues([path]), store, silent, left_out)
        transfer[path.stem] = {name: value for name, value in found.items() if not name.startswith("by_")}
    stored = train(rated, lesson)
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
    shown = {name: value for name, value in result.items() if name not in ("plain", "rejection")}
    typer.echo(json.dumps(shown, indent=2))
    if write:
        satisfaction.WEIGHTS.write_text(_lines(result), encoding="utf-8")


def _lines(result: dict[str, Any]) -> str:
    """Return JSON with a line for each entry: vectors are not for reading."""
    entries = [f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


if __name__ == "__main__":
    typer.run(main)
