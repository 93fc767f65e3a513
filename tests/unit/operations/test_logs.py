"""A log line carries ids from webhook to delivery, and nothing that a resident said or is called by."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from contact_hub.operations import logs
from contact_hub.settings import read_settings

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    root, written = logging.getLogger(), io.StringIO()
    before = root.handlers, root.level
    logs.configure(read_settings(civicline_data=tmp_path), written)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    root.handlers, root.level = before


def test_every_line_of_one_piece_of_work_carries_its_ids(lines: Lines) -> None:
    structlog.contextvars.bind_contextvars(touchpoint="0199f7d2-1111-7222-8333-123456789012", channel="sms")
    structlog.get_logger().info("webhook.stored")
    logging.getLogger("some.library").warning("slow answer")
    first, second = lines()
    assert first["touchpoint"] == second["touchpoint"] == "0199f7d2-1111-7222-8333-123456789012"
    assert (first["event"], second["event"]) == ("webhook.stored", "slow answer")
    assert first["level"] == "info"
    assert first["timestamp"].endswith("Z")


def test_what_a_resident_wrote_and_where_to_reach_them_is_left_out(lines: Lines) -> None:
    structlog.get_logger().info(
        "stored",
        text="I am ill",
        phone="+15550100",
        address="sms:+15550100",
        inner={"body": "ill", "parts": 2},
    )
    (line,) = lines()
    assert "ill" not in json.dumps(line)
    assert line["inner"] == {"parts": 2}
    assert not {"text", "phone", "address"} & line.keys()


@pytest.mark.parametrize(
    "leak",
    ["+4915112345678", "+1 (555) 010-0123", "0151 1234 5678", "call 5550100123 now", "555-010-0123"],
)
def test_a_number_is_masked_wherever_it_stands(lines: Lines, leak: str) -> None:
    structlog.get_logger().warning(f"no route to {leak}", detail=leak, more=[leak])
    written = json.dumps(lines())
    assert "[number]" in written
    assert not any(digits in written for digits in ("5678", "0123"))


@pytest.mark.parametrize(
    ("leak", "secret"),
    [
        ("sent to jo@mail.example", "jo@mail"),
        ("account DE89370400440532013000", "44053"),
        ("dni 12345678Z", "12345678"),
        ("RSSMRA85T10A562S", "RSSMRA"),
    ],
)
def test_an_address_an_account_and_an_id_are_masked_too(lines: Lines, leak: str, secret: str) -> None:
    structlog.get_logger().warning(leak, detail=leak, more=[leak])
    assert secret not in json.dumps(lines())


@pytest.mark.parametrize(
    "harmless",
    ["took 120 ms", "2026-11-22T14:00:00Z", "version 3.11.7", "127.0.0.1:8701", "LH-20261", "30007"],
)
def test_what_is_no_number_stays_readable(lines: Lines, harmless: str) -> None:
    structlog.get_logger().info("told", detail=harmless)
    assert lines()[0]["detail"] == harmless


def test_tokens_in_a_library_s_words_are_masked(lines: Lines) -> None:
    logging.getLogger("aiogram").warning("POST /bot123456789:AAE-abcdefghijklmnopqrstuvwxyz0123456/getMe")
    assert "AAE-" not in json.dumps(lines())


def test_an_exception_is_told_by_type_and_place_and_not_by_its_words(lines: Lines) -> None:
    try:
        try:
            raise KeyError("my daughter is called Ana")
        except KeyError as error:
            raise ValueError("Ana again") from error
    except ValueError:
        structlog.get_logger().exception("task.crashed")
        logging.getLogger("some.library").exception("crashed too")
    for line in lines():
        assert line["error"] == "ValueError"
        assert line["causes"] == ["KeyError"]
        assert "test_logs.py" in line["frames"][-1]
        assert "Ana" not in json.dumps(line)
