"""What the command line and the operators' pages say, in the shape that others rely on."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from contact_hub.city import City
from tests.journeys.residents import Books, until
from tests.whole import WholeLine


@pytest.mark.parametrize(
    ("question", "outcome", "intent"),
    [
        ("When is my recycling collected?", "answered", "ask_question"),
        ("I want to report a problem", "form", "report_problem"),
        ("I want to talk to a person", "handed_off", "talk_to_human"),
        ("There is a gas leak in my kitchen", "emergency", None),
    ],
)
def test_ask_tells_what_became_of_a_question(
    line: WholeLine, question: str, outcome: str, intent: str | None
) -> None:
    told = line.ask(question)

    assert set(told) == {"outcome", "text", "sources", "language", "intent", "flags"}
    assert (told["outcome"], told["intent"], told["language"]) == (outcome, intent, "en")
    assert told["text"]
    assert isinstance(told["flags"], list)
    sources = ["https://www.larkhaven.example/waste/recycling-collection"] if outcome == "answered" else []
    assert [source["url"] for source in told["sources"]] == sources
    assert all(set(source) == {"title", "url"} for source in told["sources"])


def test_ask_in_spanish_prints_the_answer_and_its_source(line: WholeLine) -> None:
    done = line.civicline("ask", "¿Cuándo recogen mi reciclaje?")

    assert done.returncode == 0, done.stderr
    assert "https://www.larkhaven.example/es/waste/recycling-collection" in done.stdout


def test_status_tells_what_runs_and_what_waits(line: WholeLine, books: Books) -> None:
    until(lambda: books.unsettled() == 0, "everything is settled")

    shown = line.civicline("status", "--json")

    assert shown.returncode == 0, shown.stderr
    state = json.loads(shown.stdout)
    assert state["running"] is True
    assert {process["name"] for process in state["processes"]} == {
        "postgres",
        "brain",
        "rasa",
        "web",
        "worker",
    }
    assert all(
        process["alive"] and Path(f"/proc/{process['pid']}").exists() for process in state["processes"]
    )
    assert (state["unsettled_inbound"], state["dead_letters"]) == (0, 0)
    assert set(state["queues"]) == {"inbound", "outbound"}
    assert "Civicline runs at" in line.civicline("status").stdout


def test_readyz_names_everything_a_question_needs(line: WholeLine) -> None:
    answer = httpx.get(f"{line.base_url}/readyz", trust_env=False, timeout=30)

    assert answer.status_code == 200
    told = answer.json()
    assert {name: told[name] for name in ("ready", "database", "migrations", "rasa", "brain")} == {
        "ready": True,
        "database": True,
        "migrations": True,
        "rasa": True,
        "brain": True,
    }
    assert told["index_age_s"] > 0
    assert httpx.get(f"{line.base_url}/healthz", trust_env=False).status_code == 200


def test_metrics_count_what_is_not_settled(line: WholeLine, books: Books) -> None:
    until(lambda: books.unsettled() == 0, "everything is settled")

    figures = httpx.get(f"{line.base_url}/metrics", trust_env=False, timeout=30)

    assert figures.status_code == 200
    assert "civicline_unsettled_inbound 0.0" in figures.text
    for name in ("civicline_queue_depth", "civicline_open_tickets", "civicline_waiting_conversations"):
        assert f"\n{name}" in figures.text


def test_logs_hold_neither_words_nor_numbers(line: WholeLine, city: City) -> None:
    """The logs lead from the door to the delivery by one id, and tell nobody's business."""
    secret, number = "Cinnamon and marmalade on the staircase", "+15558675309"
    line.twilio.text(number, secret)
    until(lambda: line.twilio.texts(number), "an answer by SMS")

    logs = {path.name: path.read_text(errors="replace") for path in (line.data / "log").glob("*.log*")}
    assert {"web.log", "worker.log", "brain.log", "rasa.log"} <= set(logs)
    for name, words in logs.items():
        for hidden in (secret, "marmalade", number, number[1:], "8675309"):
            assert hidden not in words, f"{name} tells {hidden!r}"


def test_intents_are_measured_through_the_running_assistant(line: WholeLine, tmp_path: Path) -> None:
    utterances = tmp_path / "utterances.jsonl"
    said = [("Good morning", "greet"), ("there is a huge pothole in my street", "report_problem")]
    utterances.write_text(
        "\n".join(json.dumps({"text": text, "intent": intent, "lang": "en"}) for text, intent in said)
    )

    done = line.civicline("evaluate", "intents", "--data", str(utterances), "--json")

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["accuracy"] == 1.0
    assert figures["by_language"] == {"en": {"accuracy": 1.0, "n": 2}}


def test_dissatisfaction_is_measured_on_files(line: WholeLine, tmp_path: Path) -> None:
    turns = tmp_path / "turns.jsonl"
    said = [("Thanks for nothing", True), ("The lamp in my street is broken", False)]
    turns.write_text(
        "\n".join(
            json.dumps(
                {"lang": "en", "turns": [{"role": "citizen", "text": text, "dissatisfied": dissatisfied}]}
            )
            for text, dissatisfied in said
        )
    )

    done = line.civicline("evaluate", "satisfaction", "--data", str(turns), "--json")
    shown = line.civicline("evaluate", "satisfaction", "--data", str(turns))

    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["turns"], figures["dissatisfied"]) == (2, 1)
    assert (figures["recall"], figures["calm_flagged_rate"], figures["auc"]) == (1.0, 0.0, 1.0)
    assert set(figures["by_language"]) == {"en"}
    assert [one["flagged"] for one in figures["by_dialogue"].values()] == [1, 0]
    assert shown.returncode == 0, shown.stderr
    rows = [[cell.strip() for cell in row.split("│")[1:4]] for row in shown.stdout.splitlines()]
    assert ["all", "2", "1"] in rows
    assert ["en", "2", "1"] in rows


def test_a_file_of_turns_that_cannot_be_read_is_explained(line: WholeLine, tmp_path: Path) -> None:
    turns = tmp_path / "turns.jsonl"
    turns.write_text('{"turns": [{"role": "citizen", "text": "Hello"}]}\n')

    done = line.civicline("evaluate", "satisfaction", "--data", str(turns))

    assert done.returncode != 0
    assert 'lacks "dissatisfied"' in done.stderr + done.stdout
