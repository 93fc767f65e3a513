"""Train the danger detector: `python -m bot.evaluate.danger_training [--write]`.

Examples are `nlu_data/danger/<language>.yml`; against them stand as well the sentences of `nlu_data/intents`
and of `nlu_data/satisfaction`, since anger is no danger. How much each part of a look counts, and from when a
turn is looked at again and acted on, is learned from folds: each holds ideas, in whichever languages, that
the parts which judge it were not taught.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from bot import danger
from bot.classifier import hurried, packed
from bot.danger import Detector
from bot.evaluate import classifiers
from bot.evaluate import danger as measuring
from bot.knowledge.embeddings import Vectors
from bot.settings import city_folder

FOLDS = 5
IDEAS = 250  # groups of sentences with neighbouring vectors, kept in one fold
# Of turns that are no danger, the share that may alarm, and of turns that are, the share that may be let go
# at the first look: both in folds, so on ideas never taught.
MAY_ALARM, MAY_BE_LET_GO = 0.012, 0.004
JOINED = 120  # examples of each language that two sentences are put together for, with danger in one or none
_KINDS = {"look_alikes": 0, "ordinary": 0, "emergency": 1, "self_harm": 2}
_ENTITY = re.compile(r"\[([^\]]*)\](?:\{[^}]*\}|\([^)]*\))")


@dataclass(frozen=True)
class Example:
    """A sentence, 0 or the number of its kind of danger, and its language."""

    text: str
    kind: int
    language: str


def taught(folder: Path) -> list[Example]:
    """Return the sentences that a clerk listed, those put together of parts, and ordinary ones."""
    found: list[Example] = []
    for path in sorted((folder / "danger").glob("*.yml")):
        lists = yaml.safe_load(path.read_text(encoding="utf-8"))
        rows = lists.pop("each_with_each", {})
        between = "" if path.stem == "zh" else " "
        for name, kind in _KINDS.items():
            texts = [str(text) for text in lists.get(name, ())]
            texts += [between.join(parts) for row in rows.get(name, ()) for parts in product(*row)]
            found += [Example(text, kind, path.stem) for text in texts]
    for path in sorted((folder / "satisfaction").glob("*.yml")):
        for texts in yaml.safe_load(path.read_text(encoding="utf-8")).values():
            found += [Example(str(text), 0, path.stem) for text in texts]
    found += [Example(text, 0, "") for text in intents(folder)]
    return found + joined(found)


def joined(examples: Sequence[Example]) -> list[Example]:
    """Return messages of two sentences, of which one, either, may be danger."""
    chance = np.random.default_rng(0)
    found = []
    for language in sorted({one.language for one in examples} - {""}):
        calm = [one for one in examples if one.language == language and not one.kind]
        told = [one for one in examples if one.language == language and one.kind]
        for number in range(JOINED):
            others = calm if number % 2 else told
            pair = [calm[chance.integers(len(calm))], others[chance.integers(len(others))]]
            if number % 4 < 2:
                pair.reverse()
            between = "。" if language == "zh" else ". "
            text = between.join(one.text.rstrip(".。!?") for one in pair)
            found.append(Example(text, max(one.kind for one in pair), language))
    return found


def intents(folder: Path) -> list[str]:
    """Return the sentences of all intents, without the marks of their entities."""
    return [
        _ENTITY.sub(r"\1", line[2:]).strip()
        for path in sorted((folder / "intents").glob("*.yml"))
        for entry in yaml.safe_load(path.read_text(encoding="utf-8"))["nlu"]
        for line in str(entry.get("examples", "")).split("\n")
        if line.startswith("- ")
    ]


@dataclass(frozen=True)
class Lesson:
    """What the detector is taught: texts as written and in a hurry, their kinds, vectors and folds."""

    texts: list[str]
    kinds: Any
    first: Vectors
    second: Vectors
    folds: Any
    written: Any  # whether a text stands as it was written, and not in a hurry

    @classmethod
    def of(cls, examples: Sequence[Example], first: Any, second: Any) -> "Lesson":
        """Embed examples with both models, once as written and once as typed in a hurry."""
        from sklearn.cluster import MiniBatchKMeans

        texts = [one.text for one in examples]
        bare = [hurried(text) for text in texts]
        kinds = np.array([one.kind for one in examples])
        written = first(texts)
        ideas = MiniBatchKMeans(IDEAS, random_state=0, n_init=3).fit_predict(written)
        folds = np.random.default_rng(0).permutation(IDEAS)[ideas] % FOLDS
        return cls(
            texts + bare,
            np.tile(kinds, 2),
            np.vstack([written, first(bare)]),
            np.vstack([second(texts), second(bare)]),
            np.tile(folds, 2),
            np.arange(2 * len(texts)) < len(texts),
        )

    def part(self, chosen: Any) -> "Lesson":
        """Return the examples where `chosen` holds."""
        return Lesson(
            [text for text, here in zip(self.texts, chosen, strict=True) if here],
            self.kinds[chosen],
            self.first[chosen],
            self.second[chosen],
            self.folds[chosen],
            self.written[chosen],
        )


def parts(lesson: Lesson) -> Detector:
    """Teach the parts of a detector; how much they count is not known yet."""
    return Detector(
        classifiers.network(lesson.first, lesson.kinds),
        classifiers.letters(lesson.texts, lesson.kinds > 0),
        classifiers.network(lesson.second, lesson.kinds),
        (1.0, 1.0, 0.0),
        (1.0, 1.0, 1.0, 0.0),
        0.0,
        0.5,
        0.5,
    )


def odds(detector: Detector, lesson: Lesson) -> Any:
    """Return what each part sees in each text, a row each."""
    rows = zip(lesson.texts, lesson.first, lesson.second, strict=True)
    return np.array([detector.look_again(detector.look(text, one), other).odds for text, one, other in rows])


def train(lesson: Lesson) -> dict[str, Any]:
    """Return the detector as it is stored, and how its parts did in the folds."""
    seen = np.zeros((len(lesson.texts), 3))
    for fold in range(FOLDS):
        out = lesson.folds == fold
        seen[out] = odds(parts(lesson.part(~out)), lesson.part(out))
    seen, truth = seen[lesson.written], lesson.kinds[lesson.written] > 0
    first_mix, first = _mixed(seen[:, :2], truth)
    second_mix, second = _mixed(seen, truth)
    again_from = float(np.quantile(first[truth], MAY_BE_LET_GO))
    first_act_from, act_from = (float(np.quantile(look[~truth], 1 - MAY_ALARM)) for look in (first, second))
    heard = (first >= again_from) & (second >= act_from)
    whole = parts(lesson)
    return {
        "act_from": round(act_from, 4),
        "first_act_from": round(first_act_from, 4),
        "again_from": round(again_from, 5),
        "first_mix": first_mix,
        "second_mix": second_mix,
        "in_folds": {
            "caught": round(float(heard[truth].mean()), 4),
            "alarmed": round(float(heard[~truth].mean()), 4),
            "caught_at_first_sight": round(float((first[truth] >= first_act_from).mean()), 4),
            "looked_at_again": round(float((first[~truth] >= again_from).mean()), 4),
        },
        "examples": {
            "emergency": int((lesson.kinds[lesson.written] == 1).sum()),
            "self_harm": int((lesson.kinds[lesson.written] == 2).sum()),
            "no danger": int((~truth).sum()),
        },
        "network": classifiers.stored_network(whole.network),
        "letters": packed(whole.letters.weights),
        "second_network": classifiers.stored_network(whole.second_network),
    }


def _mixed(seen: Any, truth: Any) -> tuple[list[float], Any]:
    """Return how much each part counts, with what is added, and how likely danger is by them together."""
    from sklearn.linear_model import LogisticRegression

    learner = LogisticRegression(C=1.0).fit(seen, truth)
    mix = [round(float(value), 4) for value in (*learner.coef_[0], learner.intercept_[0])]
    return mix, np.array([danger.likelihood(tuple(row), tuple(mix)) for row in seen])


def main(
    cache: Annotated[Path, typer.Option(help="Where vectors are kept.")] = Path(
        "var/brain/evaluation.sqlite"
    ),
    write: Annotated[bool, typer.Option(help="Replace danger.json.")] = False,
) -> None:
    """Train the detector on the city's own sentences, and print what it learned."""
    stores = measuring.stores_at(cache)
    first, second = (lambda texts, store=store: store.encode(texts, [""] * len(texts)) for store in stores)
    result = {
        "about": "The danger detector; made by `python -m bot.evaluate.danger_training --write`.",
        "models": [danger.MODEL, danger.SECOND_MODEL],
        **train(Lesson.of(taught(city_folder()), first, second)),
    }
    for store in stores:
        store.close()
    hidden = ("network", "letters", "second_network")
    typer.echo(json.dumps({name: value for name, value in result.items() if name not in hidden}, indent=2))
    if write:
        lines = (f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in result.items())
        danger.WEIGHTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
