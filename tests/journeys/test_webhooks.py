"""What providers do to a webhook: say it five times, forge it, send pictures, buttons, edits and riddles."""

from __future__ import annotations

import secrets
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from contact_hub.city import City
from tests.fakes import twilio
from tests.journeys.residents import Books, BySms, OnTelegram, until
from tests.whole import WEBHOOK_SECRET, WholeLine

QUESTION = "When is my recycling collected?"
Post = Callable[..., int]


@pytest.fixture
def texts(line: WholeLine) -> Post:
    """Posts an inbound text as Twilio does, signed with the given token."""

    def post(number: str, sid: str, words: str, token: str = twilio.AUTH_TOKEN) -> int:
        url = f"{line.base_url}/channels/sms/webhook"
        fields = [
            ("MessageSid", sid),
            ("SmsSid", sid),
            ("AccountSid", twilio.ACCOUNT),
            ("From", number),
            ("To", twilio.NUMBER),
            ("Body", words),
            ("NumMedia", "0"),
            ("FromZip", ""),
        ]
        signed = {"X-Twilio-Signature": twilio.sign(url, fields, token)}
        return httpx.post(url, data=dict(fields), headers=signed, timeout=30, trust_env=False).status_code

    return post


@pytest.fixture
def updates(line: WholeLine) -> Post:
    """Posts an update as Telegram does, with the given secret."""

    def post(update: dict[str, object], secret: str = WEBHOOK_SECRET) -> int:
        return httpx.post(
            f"{line.base_url}/channels/telegram/webhook",
            json=update,
            headers={"X-Telegram-Bot-Api-Secret-Token": secret},
            timeout=30,
            trust_env=False,
        ).status_code

    return post


def telegram_update(chat: int, words: str) -> dict[str, object]:
    """A text as Telegram sends it."""
    who = {"id": chat, "is_bot": False, "first_name": "Ana"}
    return {
        "update_id": 900_000_000 + secrets.randbelow(90_000_000),
        "message": {
            "message_id": 1,
            "from": who,
            "chat": {"id": chat, "type": "private", "first_name": "Ana"},
            "date": 1_795_000_000,
            "text": words,
        },
    }


def test_the_same_text_five_times_gives_one_answer(texter: BySms, texts: Post) -> None:
    sid = "SM" + secrets.token_hex(16)

    assert {texts(texter.address, sid, QUESTION) for _ in range(5)} == {200}
    until(texter.inbox, "an answer by SMS")
    texter.settles()
    assert texts(texter.address, sid, QUESTION) == 200  # a last redelivery, after the answer
    texter.settles()

    assert texter.written() == 1
    assert len([heard for heard in texter.inbox() if "every second week" in heard.words]) == 1


def test_the_same_update_five_times_gives_one_answer(chatter: OnTelegram, updates: Post) -> None:
    update = telegram_update(chatter.chat, QUESTION)

    assert {updates(update) for _ in range(5)} == {200}
    until(chatter.inbox, "an answer on Telegram")
    chatter.settles()
    assert updates(update) == 200
    chatter.settles()

    assert chatter.written() == 1
    assert len(chatter.inbox()) == 1


def test_forged_webhooks_are_refused_and_store_nothing(
    texter: BySms, chatter: OnTelegram, texts: Post, updates: Post, books: Books
) -> None:
    before = books.one("SELECT count(*) FROM inbound")

    assert texts(texter.address, "SM" + secrets.token_hex(16), QUESTION, token="guessed") == 403
    assert updates(telegram_update(chatter.chat, QUESTION), secret="guessed") == 403

    assert books.one("SELECT count(*) FROM inbound") == before
    assert books.one("SELECT count(*) FROM address WHERE value = %s", texter.address) == 0
    assert books.one("SELECT count(*) FROM address WHERE value = %s", chatter.address) == 0


def test_a_photo_by_mms_becomes_part_of_the_report(
    line: WholeLine, texter: BySms, city: City, books: Books, photo: bytes, tmp_path: Path
) -> None:
    texter.asks("there's a huge pothole in Mill Lane")
    texter.asks("It is deep and full of water.")

    heard = texter.shows(photo)

    [report] = texter.reports()
    assert report["reference"] in heard
    kept = books.rows("SELECT id, mime, size FROM attachment WHERE id = %s", report["photo_id"])
    assert [(row["mime"], row["size"]) for row in kept] == [("image/png", len(photo))]
    copy = tmp_path / "copy.zip"
    done = line.civicline("export", f"sms:{texter.address}", "--output", str(copy))
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(copy) as archive:
        assert photo in [archive.read(name) for name in archive.namelist()]


def test_a_photo_with_words_on_telegram_begins_the_report(
    chatter: OnTelegram, city: City, books: Books, photo: bytes
) -> None:
    heard = chatter.shows(photo, "There is a huge pothole in Mill Lane")

    assert city.say("report_start", "en") in heard
    assert (
        books.one(
            "SELECT count(*) FROM attachment f JOIN address a ON a.id = f.address_id WHERE a.value = %s",
            chatter.address,
        )
        == 1
    )


def test_a_pressed_button_is_acknowledged_and_counts(
    line: WholeLine, chatter: OnTelegram, city: City
) -> None:
    chatter.asks(QUESTION)
    acknowledged = len(line.telegram.answered_queries)

    heard = chatter.answers_with(chatter.inbox()[-1].buttons[0][0])

    assert city.say("helpful_thanks", "en") in heard
    assert chatter.last("w.helpful") is True
    until(lambda: len(line.telegram.answered_queries) > acknowledged, "the button's spinner stops")


def test_an_edit_is_a_revision_and_is_not_answered(
    line: WholeLine, chatter: OnTelegram, books: Books
) -> None:
    chatter.asks("When is my rubish collected?")
    message = chatter.last("t.message_id")
    line.telegram.edits(chatter.chat, int(message), "When is my rubbish collected?")
    until(lambda: chatter.written() == 2, "the edit is kept")
    chatter.settles()

    assert chatter.hears() == []
    kept = books.rows(
        "SELECT t.kind, t.text FROM touchpoint t JOIN address a ON a.id = t.address_id"
        " WHERE a.value = %s AND t.direction = 'in' ORDER BY t.id",
        chatter.address,
    )
    assert [(row["kind"], row["text"]) for row in kept] == [
        ("text", "When is my rubish collected?"),
        ("edit", "When is my rubbish collected?"),
    ]


def test_a_contact_a_place_and_a_voice_are_touchpoints_too(
    line: WholeLine, chatter: OnTelegram, books: Books
) -> None:
    chat, telegram = chatter.chat, line.telegram
    telegram.sends_contact(chat, "+353 87 765 4321", user=chat)
    telegram.sends_contact(chat, "+353 87 765 4322", user=1)
    telegram.sends_location(chat, 53.34, -6.26)
    telegram.sends_voice(chat, b"OggS" + bytes(60))
    until(lambda: chatter.written() == 4, "all four are kept")
    chatter.settles()
    assert chatter.hears(), "and somebody says something to it"

    kept = books.rows(
        "SELECT t.kind, t.payload FROM touchpoint t JOIN address a ON a.id = t.address_id"
        " WHERE a.value = %s AND t.direction = 'in' ORDER BY t.id",
        chatter.address,
    )
    assert [row["kind"] for row in kept] == ["contact", "contact", "location", "voice"]
    assert [row["payload"]["own"] for row in kept[:2]] == [True, False]


def test_an_update_nobody_has_seen_before_blocks_nothing(
    line: WholeLine, chatter: OnTelegram, city: City
) -> None:
    line.telegram.update(
        "message",
        {
            "message_id": 7,
            "date": 1_795_000_000,
            "chat": {"id": chatter.chat, "type": "private", "first_name": "Ana"},
            "from": {"id": chatter.chat, "is_bot": False, "first_name": "Ana"},
            "hologram": {"file_id": "H1"},
        },
    )
    until(lambda: chatter.written() == 1, "it is kept")
    chatter.settles()
    assert city.say("unsupported_message", "en") in "\n".join(heard.words for heard in chatter.hears())

    assert "every second week" in chatter.asks(QUESTION)


def test_a_resident_who_blocked_the_bot_is_reached_again_after_writing(
    line: WholeLine, chatter: OnTelegram, books: Books
) -> None:
    chatter.asks(QUESTION)
    line.telegram.blocks(chatter.chat)
    until(
        lambda: books.one("SELECT NOT reachable FROM address WHERE value = %s", chatter.address),
        "the address counts as unreachable",
    )

    line.telegram.unblocks(chatter.chat)
    assert "every second week" in chatter.asks(QUESTION)
    assert books.one("SELECT reachable FROM address WHERE value = %s", chatter.address)
