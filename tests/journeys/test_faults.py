"""Rasa, the brain, or both are killed: within three seconds an honest answer, and nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import httpx
import pytest

from contact_hub.city import City
from tests.journeys.residents import Books, OnTheWeb, until
from tests.whole import WholeLine

QUESTION = "When is my recycling collected?"
PROMISED = 3.0  # seconds until a resident hears something, whatever is broken
LONGEST_RETURN = 150.0  # seconds that a killed process may take to be back on a busy machine


def ready(line: WholeLine) -> bool:
    """Whether everything says that it is well."""
    try:
        return httpx.get(f"{line.base_url}/readyz", trust_env=False, timeout=10).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture(autouse=True)
def _whole_again(line: WholeLine, books: Books) -> Iterator[None]:
    """Every story begins and ends with a whole line and nothing unsettled."""
    until(lambda: ready(line), "the line is whole", LONGEST_RETURN)
    yield
    until(lambda: ready(line), "the line is whole again", LONGEST_RETURN)
    until(lambda: books.unsettled() == 0, "everything is settled")


def kill(line: WholeLine, *names: str) -> None:
    """End processes of this test's own line as a power cut would."""
    for pid in [line.pid(name) for name in names]:
        os.kill(pid, signal.SIGKILL)


def seconds_of_silence(visitor: OnTheWeb, books: Books) -> float:
    """How long the last message was without a word, by the city's own clock."""
    return float(
        books.one(
            "SELECT extract(epoch FROM min(r.recorded_at) - max(q.recorded_at)) FROM touchpoint q"
            " JOIN touchpoint r ON r.in_reply_to = q.id AND r.direction = 'out'"
            " WHERE q.id = (SELECT t.id FROM touchpoint t JOIN address a ON a.id = t.address_id"
            " WHERE a.value = %s AND t.direction = 'in' ORDER BY t.id DESC LIMIT 1)",
            visitor.address,
        )
    )


def test_without_rasa_the_search_answers(
    line: WholeLine, visitor: OnTheWeb, books: Books, city: City
) -> None:
    visitor.asks("hello")
    kill(line, "rasa")

    heard = visitor.asks(QUESTION)

    assert city.say("assistant_down_search", "en") in heard
    assert visitor.answered_from() == ("answered", "waste/recycling-collection")
    assert visitor.last("i.step") == "searched_without_rasa"
    assert seconds_of_silence(visitor, books) < PROMISED
    assert visitor.state() == "bot"

    until(lambda: ready(line), "Rasa is back", LONGEST_RETURN)
    heard = visitor.asks("there's a huge pothole in Mill Lane")
    assert city.say("report_start", "en") in heard


def test_without_rasa_what_no_search_answers_goes_to_a_person(
    line: WholeLine, visitor: OnTheWeb, books: Books, city: City
) -> None:
    visitor.asks("hello")
    kill(line, "rasa")

    heard = visitor.asks("Who will win the cup?")

    assert city.say("assistant_down_handoff", "en") in heard
    assert seconds_of_silence(visitor, books) < PROMISED
    assert visitor.state() == "waiting"
    assert visitor.last("i.outcome") == "handed_off"


def test_a_report_goes_on_when_rasa_is_back(
    line: WholeLine, visitor: OnTheWeb, books: Books, city: City
) -> None:
    """Nobody but Rasa knows what the words answer, so they are kept for it, once."""
    visitor.asks("there's a huge pothole in Mill Lane")
    kill(line, "rasa")

    visitor.says("It is as deep as a bucket")

    until(
        lambda: city.say("one_moment", "en") in [heard.words for heard in visitor.inbox()], "a word at once"
    )
    assert seconds_of_silence(visitor, books) < PROMISED
    until(
        lambda: city.say("report_ask_photo", "en") in visitor.inbox()[-1].words,
        "the report goes on",
        LONGEST_RETURN,
    )
    assert [heard.words for heard in visitor.inbox()].count(city.say("one_moment", "en")) == 1
    visitor.asks("skip")
    [report] = visitor.reports()
    assert report["description"] == "there's a huge pothole in Mill Lane. It is as deep as a bucket"


def test_without_the_brain_a_person_is_promised(
    line: WholeLine, visitor: OnTheWeb, books: Books, city: City
) -> None:
    visitor.asks("hello")
    kill(line, "brain")

    heard = visitor.asks(QUESTION)

    assert seconds_of_silence(visitor, books) < PROMISED
    assert city.say("assistant_down_handoff", "en") in heard
    assert visitor.state() == "waiting"


def test_without_both_a_person_is_promised_and_nothing_is_lost(
    line: WholeLine, visitor: OnTheWeb, books: Books, city: City
) -> None:
    visitor.asks("hello")
    kill(line, "rasa", "brain")

    heard = visitor.asks(QUESTION)

    assert city.say("assistant_down_handoff", "en") in heard
    assert seconds_of_silence(visitor, books) < PROMISED
    assert visitor.state() == "waiting"
    assert books.one("SELECT count(*) FROM inbound WHERE outcome = 'dead_lettered'") == 0


def test_a_report_outlives_the_brain(line: WholeLine, visitor: OnTheWeb, books: Books, city: City) -> None:
    visitor.asks("there's a huge pothole in Mill Lane")
    kill(line, "brain")

    visitor.says("It is as deep as a bucket")

    until(
        lambda: city.say("report_ask_photo", "en") in visitor.inbox()[-1].words,
        "the report goes on",
        LONGEST_RETURN,
    )
    assert seconds_of_silence(visitor, books) < PROMISED
    visitor.asks("skip")
    [report] = visitor.reports()
    assert report["description"] == "there's a huge pothole in Mill Lane. It is as deep as a bucket"
