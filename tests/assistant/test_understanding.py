"""The assistant is trained for real, without TensorFlow, and understands residents in their languages."""

from __future__ import annotations

import os
import subprocess
from typing import Any

import httpx
import pytest

from tests.assistant.conftest import ASSISTANT, HEADERS, PYTHON, Door, Rasa, Resident
from tests.assistant.test_turns import keys


def run(code: str) -> str:
    """Run a piece of code in the assistant's environment and return what it prints."""
    done = subprocess.run(
        [str(PYTHON), "-W", "ignore", "-c", code], cwd=ASSISTANT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_tensorflow_is_the_stand_in_and_refuses_to_compute() -> None:
    said = run(
        "import tensorflow, keras, importlib.metadata as m\n"
        "assert tensorflow.IS_STANDIN and keras.IS_STANDIN\n"
        "names = {d.metadata['Name'].lower() for d in m.distributions()}\n"
        "assert not names & {'tensorflow', 'keras', 'tensorflow-text', 'tensorboard'}, names\n"
        "import rasa.nlu.classifiers.diet_classifier\n"
        "try: tensorflow.keras.layers.Dense(3)\n"
        "except RuntimeError as error: print(error)"
    )
    assert "needs TensorFlow" in said


def test_unchanged_inputs_do_not_train_again(
    trained: dict[str, Any], assistant_environment: dict[str, str]
) -> None:
    assert trained["trained"] is True
    again = subprocess.run(
        [str(PYTHON), str(ASSISTANT / "train.py")],
        env={**os.environ, **assistant_environment},
        capture_output=True,
        text=True,
        check=True,
    )
    assert again.stdout.strip() == f"Nothing to train: {trained['model']} is up to date."


def test_a_brain_with_another_model_is_refused_in_one_sentence(rasa: Rasa) -> None:
    said = run(
        "from components.brain import Brain, WrongModel\n"
        f"brain = Brain({rasa.environment['BRAIN_URL']!r}, {HEADERS['X-Internal-Secret']!r})\n"
        "brain.expected = 'another:512:0'\n"
        "try: brain.fingerprint()\n"
        "except WrongModel as error: print(error)"
    )
    assert said.endswith("run `civicline train`.") and "another:512:0" in said


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("wann wird mein Altpapier abgeholt?", "ask_question"),
        ("¿cuánto cuesta el permiso de aparcamiento?", "ask_question"),
        ("je veux parler à une personne", "talk_to_human"),
        ("merci beaucoup", "thank"),
        ("أريد التحدث مع موظف", "talk_to_human"),
        ("你好", "greet"),
        ("stop sending me messages", "stop_messages"),
    ],
)
def test_intents_in_many_languages(resident: Resident, text: str, intent: str) -> None:
    assert resident.says(text)["intent"]["name"] == intent


def test_letters_are_enough_while_the_brain_is_away(rasa: Rasa, door: type[Door]) -> None:
    door.shut = frozenset({"/embed"})
    resident = Resident(rasa.url)
    assert resident.says("goodbye then")["messages"]
    assert resident.says("thank you!!")["intent"]["name"] in ("thank", "nlu_fallback")


def test_one_vector_a_message(rasa: Rasa, door: type[Door]) -> None:
    resident = Resident(rasa.url)
    resident.says("hello")
    before = door.calls.count("/embed")
    resident.says("a sentence that nobody has said before about the swans")
    assert door.calls.count("/embed") == before + 1


def test_texts_are_understood_in_bulk_for_evaluation(rasa: Rasa) -> None:
    answer = httpx.post(
        f"{rasa.url}/parse", json={"texts": ["hello", "thanks", "/restart", ""]}, headers=HEADERS, timeout=20
    ).json()
    assert [guess["name"] for guess in answer["intents"]][:2] == ["greet", "thank"]
    assert answer["intents"][2]["fallback"] is True


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what about LH-2041?", {"request": "check_request_status", "values": {"reference": "LH-2041"}}),
        ("please speak German with me", {"request": "change_language", "values": {"language": "de"}}),
        ("hablemos en español por favor", {"request": "change_language", "values": {"language": "es"}}),
        ("I rate you 4 out of 5", {"request": "rate_service", "values": {"rating": 4}}),
        ("please delete all my data", {"request": "delete_my_data", "values": {}}),
    ],
)
def test_requests_carry_what_was_said(resident: Resident, text: str, expected: dict[str, Any]) -> None:
    assert resident.says(text)["messages"] == [expected]


def test_a_complaint_is_met_with_regret_and_a_person(resident: Resident) -> None:
    said = resident.says("this is useless, nobody ever helps me")
    assert said["messages"] == [{"say": "complain_sorry"}, {"handoff": {"reason": "complaint"}}]


def test_who_will_win_the_cup_is_declined(resident: Resident) -> None:
    message = resident.says("Who will win the cup?")["messages"][0]
    declined = message.get("say") == "out_of_scope" and message["unanswered"]["outcome"] != "answered"
    assert declined or message["answer"]["outcome"] == "refused"


def test_yes_and_no_answer_what_was_offered(resident: Resident) -> None:
    resident.says("When is my recycling collected?")
    no = resident.says("no")
    assert keys(no) == ["unhelpful_offer"]
    assert resident.says("yes")["messages"] == [{"handoff": {"reason": "asked"}}]


def test_the_compiled_validator_gives_the_verdicts_of_the_original() -> None:
    said = run(
        "from jsonschema import ValidationError\n"
        "from rasa.core.actions.action import RemoteAction\n"
        "original = RemoteAction._validate_action_result\n"
        "from components import validation\n"
        "validation.install()\n"
        "action = RemoteAction('a', None)\n"
        "slot = {'event': 'slot', 'timestamp': None, 'name': 'place', 'value': 'Mill Lane'}\n"
        "payloads = [\n"
        " {}, {'events': [], 'responses': []},\n"
        " {'events': [slot], 'responses': [{'custom': {'say': 'greet'}}]},\n"
        " {'events': [{'event': 'followup', 'timestamp': None, 'name': 'report_form'}]},\n"
        " {'events': [{'event': 'nonsense'}]}, {'events': [{}]}, {'events': 'none'},\n"
        " {'responses': ['text']},\n"
        " {'responses': {}}, [], None, 3, {'events': [{**slot, 'name': 3}]},\n"
        " {'events': [slot, {'event': 'slot'}]},\n"
        "]\n"
        "def verdict(check, payload):\n"
        "    try: return check(action, payload)\n"
        "    except ValidationError as error: return error.message, list(error.absolute_path)\n"
        "compiled = RemoteAction._validate_action_result\n"
        "assert compiled is not original\n"
        "verdicts = [(verdict(original, p), verdict(compiled, p)) for p in payloads]\n"
        "assert all(a == b for a, b in verdicts), verdicts\n"
        "print(sum(a is True for a, _ in verdicts), 'good,', sum(a is not True for a, _ in verdicts), 'bad')"
    )
    good, bad = int(said.split()[0]), int(said.split()[2])
    assert good >= 4 and bad >= 6
