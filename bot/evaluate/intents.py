"""How often the trained Rasa model recognises an intent, over HTTP as in every turn."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from bot.evaluate.files import Progress, records, silent

GROUP = 32


class AssistantAwayError(RuntimeError):
    """The assistant does not answer; the message says where it was looked for."""


@dataclass(frozen=True)
class Utterance:
    """A sentence with its intent and language."""

    text: str
    intent: str
    language: str


def read_utterances(paths: Sequence[Path]) -> list[Utterance]:
    """Return the sentences of several files."""
    return [
        Utterance(record["text"], record["intent"], str(record.get("lang") or ""))
        for path in paths
        for record in records(path, _wrong)
    ]


def predict(
    utterances: Sequence[Utterance], rasa_url: str, secret: str, progress: Progress = silent
) -> list[str]:
    """Return the intent that the assistant gives each sentence; raise AssistantAwayError."""
    found: list[str] = []
    headers = {"X-Internal-Secret": secret}
    with httpx.Client(base_url=rasa_url, headers=headers, timeout=60, trust_env=False) as assistant:
        for at in range(0, len(utterances), GROUP):
            texts = [utterance.text for utterance in utterances[at : at + GROUP]]
            try:
                response = assistant.post("/webhooks/civicline/parse", json={"texts": texts})
                response.raise_for_status()
            except httpx.HTTPError as error:
                raise AssistantAwayError(
                    f"The assistant at {rasa_url} does not answer ({type(error).__name__}): start it "
                    "with `civicline up` or `civicline rasa`, and pass its address in RASA_URL."
                ) from error
            found.extend(str(intent["name"]) for intent in response.json()["intents"])
            progress("reading intents", len(found), len(utterances))
    return found


def summary(utterances: Sequence[Utterance], predicted: Sequence[str]) -> dict[str, Any]:
    """Return the figures of the contract."""
    pairs = list(zip(utterances, predicted, strict=True))
    expected_count = Counter(utterance.intent for utterance in utterances)
    predicted_count = Counter(predicted)
    right = Counter(utterance.intent for utterance, intent in pairs if utterance.intent == intent)
    languages: dict[str, list[bool]] = {}
    for utterance, intent in pairs:
        languages.setdefault(utterance.language, []).append(utterance.intent == intent)
    return {
        "accuracy": round(right.total() / len(pairs), 4),
        "by_intent": {
            intent: {
                "recall": round(right[intent] / n, 4),
                "precision": round(right[intent] / predicted_count[intent], 4)
                if predicted_count[intent]
                else 0.0,
                "n": n,
            }
            for intent, n in sorted(expected_count.items())
        },
        "by_language": {
            code: {"accuracy": round(sum(ones) / len(ones), 4), "n": len(ones)}
            for code, ones in sorted(languages.items())
        },
        "errors": [
            {"text": utterance.text, "intent": utterance.intent, "predicted": intent}
            for utterance, intent in pairs
            if utterance.intent != intent
        ],
    }


def _wrong(record: dict[str, Any]) -> str:
    if not isinstance(record.get("text"), str) or not record["text"].strip():
        return '"text" is missing'
    return "" if isinstance(record.get("intent"), str) else '"intent" is missing'
