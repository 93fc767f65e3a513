"""Whoever wants no more texts gets none, in whatever words they say so."""

from __future__ import annotations

import pytest

from contact_hub.city import City
from tests.journeys.residents import Books, BySms, OnTelegram, until
from tests.whole import WholeLine

QUESTION = "When is my recycling collected?"


def suppressed(books: Books, address: str) -> bool:
    """Whether this address is on our own list."""
    return bool(books.one("SELECT count(*) FROM suppression WHERE value = %s", address))


def test_stop_is_final_until_start(line: WholeLine, texter: BySms, books: Books) -> None:
    """Twilio answers STOP and START itself: from us comes nothing."""
    assert "every second week" in texter.asks(QUESTION)

    assert texter.asks("Stop") == ""
    assert suppressed(books, texter.address)
    assert texter.asks(QUESTION) == ""
    assert texter.last("i.outcome") == "suppressed"

    assert texter.asks("START") == ""
    assert not suppressed(books, texter.address)
    assert "every second week" in texter.asks(QUESTION)


@pytest.mark.parametrize(
    ("wish", "language"),
    [("Por favor, dejen de enviarme mensajes", "es"), ("please stop texting me", "en")],
)
def test_a_wish_for_silence_in_plain_words_counts(
    texter: BySms, books: Books, city: City, wish: str, language: str
) -> None:
    """One confirmation, as the law allows, and then nothing."""
    texter.asks(QUESTION if language == "en" else "¿Cuándo recogen mi reciclaje?")

    heard = texter.asks(wish)

    assert heard == city.say("stop_confirmed", language)
    assert suppressed(books, texter.address)
    assert texter.asks(QUESTION) == ""

    texter.asks("START")
    assert not suppressed(books, texter.address)
    assert texter.asks(QUESTION) != ""


def test_an_agents_words_do_not_reach_who_asked_for_silence(
    line: WholeLine, texter: BySms, books: Books
) -> None:
    texter.asks("I want to talk to a person")
    conversation = str(texter.last("c.id"))
    texter.asks("STOP")

    refused = line.civicline("queue", "reply", conversation, "Hello?", "--agent", "Maria")
    texter.settles()

    assert refused.returncode == 1, "the agent is told, instead of believing that it was read"
    assert len(refused.stderr) > 10
    assert texter.hears() == []
    assert books.one("SELECT count(*) FROM delivery WHERE text = 'Hello?'") == 0


def test_a_report_that_was_begun_does_not_write_to_who_stopped(texter: BySms, city: City) -> None:
    texter.asks("there's a huge pothole in Mill Lane")

    assert texter.asks("STOP") == ""
    assert texter.asks("It is deep") == ""
    assert texter.reports() == []


def test_on_telegram_silence_ends_with_a_word(chatter: OnTelegram, books: Books, city: City) -> None:
    assert city.say("stop_confirmed", "en") in chatter.asks("stop")
    assert suppressed(books, chatter.address)

    assert city.say("start_confirmed", "en") in chatter.asks("start")
    assert not suppressed(books, chatter.address)
    until(lambda: "every second week" in chatter.asks(QUESTION), "an answer again", 5)
