"""Rendering, cleaning, codes, the console and the list of channels."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import channels
from channels.base import registry
from channels.base.bot_api.refusals import REFUSALS
from channels.base.clean import clean
from channels.base.codes import Code, Outcome
from channels.base.contract import Button, FeedMessage, InboundKind, Source
from channels.base.render import as_text
from channels.base.settings import public_url, reveal
from channels.base.twilio_api.codes import CODES
from channels.console import Console

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


def test_channels_are_found_by_listing_the_folder() -> None:
    assert registry.names() == ["console", "sms", "telegram", "web_chat"]
    assert {name: kind.name for name, kind in registry.all_channels().items()} == {
        name: name for name in registry.names()
    }


def test_fourth_channel_is_one_new_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pigeon.py").write_text(
        "from channels.console import Console\n\n\nclass Pigeon(Console):\n    name = 'pigeon'\n"
    )
    (tmp_path / "_draft.py").write_text("raise RuntimeError('never imported')\n")
    monkeypatch.setattr(channels, "__path__", [*channels.__path__, str(tmp_path)])
    try:
        assert "pigeon" in registry.load(SimpleNamespace())
    finally:
        sys.modules.pop("channels.pigeon", None)


def test_channels_without_their_variables_are_off_and_cost_no_import() -> None:
    code = (
        "import sys; from types import SimpleNamespace; from channels.base import registry\n"
        "print(sorted(registry.load(SimpleNamespace())), 'aiogram' in sys.modules, 'twilio' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "['console', 'web_chat'] False False"


def test_sources_and_choices_become_words() -> None:
    text = as_text(
        "Tuesday.\n",
        [Button("a", "Yes"), Button("b", "No,\nnot  yet")],
        [
            Source("When is it?", "https://c.example/1"),
            Source("Days", "https://c.example/2"),
            Source("", "u"),
        ],
    )
    assert text.splitlines() == [
        "Tuesday.",
        "When is it? https://c.example/1",
        "Days: https://c.example/2",
        "u",
        "1 = Yes",
        "2 = No, not yet",
    ]


@given(JSON)
def test_cleaned_words_can_be_stored(value: Any) -> None:
    cleaned = clean(value)
    stored = json.dumps(cleaned, ensure_ascii=False).encode("utf-8")
    assert b"\\u0000" not in stored
    assert clean(cleaned) == cleaned


@pytest.mark.parametrize("row", [*CODES.values(), *(row for _, _, row in REFUSALS)])
def test_every_row_of_a_table_makes_sense(row: Code) -> None:
    assert row.reason.endswith(".")
    if row.unreachable or row.opted_out:
        assert row.outcome is Outcome.NEVER
        assert not row.alert
    assert not (row.unreachable and row.opted_out)


def test_secrets_are_read_however_they_are_wrapped() -> None:
    from pydantic import SecretStr

    assert [reveal(value) for value in (SecretStr("a"), " b ", "", None)] == ["a", "b", None, None]
    laptop = SimpleNamespace(public_url=None, site_url="http://127.0.0.1:8000/")
    assert public_url(laptop) == "http://127.0.0.1:8000"


def test_console_prints_words_and_no_escape_sequences() -> None:
    console = Console.from_settings(None)
    message = FeedMessage(
        seq=1,
        author="bot",
        text="Did \x1b[2Jthis help?\nTell us.",
        sent_at=datetime.now(UTC),
        buttons=(Button("y", "Yes"),),
        attachments=({"name": "map.pdf"},),
    )
    assert console.lines(message) == "city> Did [2Jthis help?\n      Tell us.\n      [map.pdf]\n      1 = Yes"


def test_console_line_is_an_inbound() -> None:
    typed = Console().typed("hi\0", session="s1", client_id="c1")
    assert (typed.kind, typed.text, typed.address, typed.external_id) == (
        InboundKind.TEXT,
        "hi",
        "s1",
        "s1:c1",
    )


def test_aiogram_is_imported_quickly_and_whole() -> None:
    code = (
        "import pydantic; before = pydantic.BaseModel.__dict__['model_rebuild']\n"
        "from channels.base.bot_api.library import load_aiogram; load_aiogram(); load_aiogram()\n"
        "from aiogram import types, methods\n"
        "print(types.Message.__pydantic_complete__, pydantic.BaseModel.__dict__['model_rebuild'] is before)\n"
        "button = types.InlineKeyboardButton(text='a', callback_data='b')\n"
        "keyboard = types.InlineKeyboardMarkup(inline_keyboard=[[button]])\n"
        "bold = types.MessageEntity(type='bold', offset=0, length=1)\n"
        "methods.SendMessage(chat_id=1, text='x', entities=[bold], reply_markup=keyboard)\n"
        "types.Poll.model_validate({'id': 'p', 'question': 'q', 'options': [], 'total_voter_count': 0,"
        " 'is_closed': False, 'is_anonymous': True, 'type': 'regular', 'allows_multiple_answers': False,"
        " 'allows_revoting': True, 'members_only': False})\n"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False True"
