"""Writes a message for Telegram: text with entities, sources as links, buttons in rows, files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from channels.base import text as words
from channels.base.contract import Outbound
from channels.base.errors import PermanentFailure

if TYPE_CHECKING:
    from aiogram.methods import TelegramMethod
    from aiogram.types import InlineKeyboardMarkup, ReplyKeyboardMarkup

MAX_UNITS = 4096
SOURCES_ROOM = 512  # units of each message kept free for its sources and the mark of a duplicate
MAX_CAPTION_UNITS = 1024
MAX_PHOTO_BYTES = 10 * 1024 * 1024
DUPLICATE_MARK = "↻ "


@dataclass(frozen=True, slots=True)
class _Piece:
    """Text with the stretches of it that are links, measured in UTF-16 units."""

    text: str
    links: tuple[tuple[int, int, str], ...] = ()


def methods_for(message: Outbound) -> list[TelegramMethod[Any]]:
    """The calls that bring one message, the first of them with its text and buttons."""
    from aiogram.methods import SendDocument, SendMessage, SendPhoto
    from aiogram.types import BufferedInputFile, LinkPreviewOptions

    if not re.fullmatch(r"-?\d{1,20}", message.address):
        raise PermanentFailure("This is no Telegram chat.", unreachable=True)
    chat, piece = int(message.address), _compose(message)
    if not piece.text and not message.attachments:
        raise PermanentFailure("The message has no text.", alert=True)
    keyboard = _keyboard(message)
    caption = message.attachments and words.utf16_units(piece.text) <= MAX_CAPTION_UNITS
    methods: list[TelegramMethod[Any]] = []
    if piece.text and not caption:
        methods.append(
            SendMessage(
                chat_id=chat,
                text=piece.text,
                entities=_entities(piece),
                parse_mode=None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_markup=keyboard,
            )
        )
    for attachment in message.attachments:
        photo = attachment.mime in {"image/jpeg", "image/png"} and len(attachment.data) <= MAX_PHOTO_BYTES
        with_text = not methods
        common: dict[str, Any] = {
            "chat_id": chat,
            "caption": piece.text or None if with_text else None,
            "caption_entities": _entities(piece) if with_text else None,
            "parse_mode": None,
            "reply_markup": keyboard if with_text else None,
        }
        file = BufferedInputFile(attachment.data, filename=attachment.name)
        methods.append(SendPhoto(photo=file, **common) if photo else SendDocument(document=file, **common))
    return methods


def _compose(message: Outbound) -> _Piece:
    """The text with its sources as links below it, as many as fit."""
    text = (DUPLICATE_MARK if message.possible_duplicate else "") + message.text.strip()
    text = words.clip(text, MAX_UNITS, words.utf16_units)
    links: list[tuple[int, int, str]] = []
    for number, source in enumerate(message.sources):
        title = words.clip(" ".join(source.title.split()) or source.url, 120, words.utf16_units)
        lead = ("\n\n" if number == 0 else "\n") if text else ""
        if words.utf16_units(text) + words.utf16_units(lead + title) > MAX_UNITS:
            break
        if urlsplit(source.url).scheme in {"http", "https"}:
            links.append((words.utf16_units(text + lead), words.utf16_units(title), source.url))
        text += lead + title
    return _Piece(text, tuple(links))


def _entities(piece: _Piece) -> list[Any] | None:
    from aiogram.types import MessageEntity

    return [
        MessageEntity(type="text_link", offset=offset, length=length, url=url)
        for offset, length, url in piece.links
    ] or None


def _keyboard(message: Outbound) -> InlineKeyboardMarkup | ReplyKeyboardMarkup | None:
    """Buttons in rows: short ones side by side, long ones on a line of their own.

    Telegram's own button for sharing one's number stands below the message box, and only in private chats.
    """
    from aiogram.types import (
        InlineKeyboardButton,
        InlineKeyboardMarkup,
        KeyboardButton,
        ReplyKeyboardMarkup,
    )

    if message.ask_contact and not message.buttons and not message.address.startswith("-"):
        ask = KeyboardButton(
            text=words.clip(message.ask_contact, 64, words.utf16_units), request_contact=True
        )
        return ReplyKeyboardMarkup(keyboard=[[ask]], resize_keyboard=True, one_time_keyboard=True)
    rows: list[list[InlineKeyboardButton]] = []
    used = 0
    for button in message.buttons:
        title = words.clip(" ".join(button.title.split()) or "…", 64, words.utf16_units)
        width = words.utf16_units(title) + 4
        if not rows or used + width > 36 or len(rows[-1]) == 4:
            rows.append([])
            used = 0
        rows[-1].append(InlineKeyboardButton(text=title, callback_data=button.id))
        used += width
    return InlineKeyboardMarkup(inline_keyboard=rows) if rows else None
