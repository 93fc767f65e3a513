"""Reads Telegram's updates: what each of them says a resident did."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from channels.base.clean import clean
from channels.base.contract import Inbound, InboundKind, MediaRef, Received

if TYPE_CHECKING:
    from aiogram.types import CallbackQuery, ChatMemberUpdated, Message, Update, User

RAW_CHARACTERS = 16_000


class Reader:
    """Turns the updates of one bot into inbound touchpoints."""

    def __init__(self, channel: str, account: str) -> None:
        from aiogram.types import Update

        self._channel = channel
        self._account = account
        self._read: Any = Update.model_validate
        self._read({"update_id": 0})  # pydantic builds the models now, not in the first webhook

    def body(self, body: bytes) -> Received:
        """The update in a webhook's body."""
        try:
            update = clean(json.loads(body))
        except (ValueError, RecursionError):
            return Received(inbound=(self._unreadable(body),))
        return self.read(update)

    def read(self, raw: Any) -> Received:
        """Everything one update says; webhook and polling both end here."""
        if not isinstance(raw, dict) or not isinstance(raw.get("update_id"), int):
            body = json.dumps(raw, sort_keys=True, ensure_ascii=False).encode()
            return Received(inbound=(self._unreadable(body),))
        try:
            update: Update = self._read(raw)
            inbound = self._inbound(update, raw)
        except ValueError:  # pydantic's ValidationError is one: a shape that aiogram does not know yet
            inbound = self._unsupported(raw)
        return Received(inbound=(inbound,) if inbound else ())

    def _inbound(self, update: Update, raw: dict[str, Any]) -> Inbound | None:
        if update.message:
            return self._message(update.message, raw)
        if update.edited_message:
            return self._edit(update.edited_message, raw)
        if update.callback_query:
            return self._button(update.callback_query, raw)
        if update.my_chat_member:
            return self._reachable(update.my_chat_member, raw)
        return self._unsupported(raw)

    def _make(self, raw: dict[str, Any], address: str, kind: InboundKind, **more: Any) -> Inbound:
        return Inbound(self._channel, self._account, str(raw["update_id"]), address, kind, **more)

    def _message(self, message: Message, raw: dict[str, Any]) -> Inbound | None:
        if not self._is_for_us(message):
            return None
        about = {**_about(message, message.from_user), "text": message.text or message.caption or ""}
        payload: dict[str, Any] = {}
        if message.chat.type != "private" and message.from_user:
            payload["group_member"] = str(message.from_user.id)
        if message.reply_to_message:
            payload["reply_to"] = str(message.reply_to_message.message_id)
        if message.media_group_id:
            payload["album"] = message.media_group_id
        kind, media = InboundKind.UNSUPPORTED, _media(message)
        if message.text is not None:
            kind = InboundKind.TEXT
        elif media:
            kind = InboundKind(media.kind)
        elif message.location:
            kind = InboundKind.LOCATION
            payload |= {"latitude": message.location.latitude, "longitude": message.location.longitude}
            if message.venue:
                payload["label"] = ", ".join(filter(None, (message.venue.title, message.venue.address)))
        elif message.contact:
            kind = InboundKind.CONTACT
            sender = message.from_user.id if message.from_user else None
            own = sender is not None and message.contact.user_id == sender
            name = " ".join(filter(None, (message.contact.first_name, message.contact.last_name)))
            payload |= {"phone": _e164(message.contact.phone_number), "own": own, "name": name}
        else:
            if message.sticker and message.sticker.emoji:
                about["text"] = message.sticker.emoji
            payload |= {"type": str(message.content_type), "raw": raw}
        return self._make(
            raw, str(message.chat.id), kind, payload=payload, media=(media,) if media else (), **about
        )

    def _edit(self, message: Message, raw: dict[str, Any]) -> Inbound | None:
        if not self._is_for_us(message):
            return None
        payload: dict[str, Any] = {"of": str(message.message_id)}
        if message.location:  # a live location moves by edits
            payload |= {"latitude": message.location.latitude, "longitude": message.location.longitude}
        about = _about(message, message.from_user)
        if message.edit_date:
            about["provider_time"] = datetime.fromtimestamp(message.edit_date, UTC)
        about["text"] = message.text or message.caption or ""
        return self._make(raw, str(message.chat.id), InboundKind.EDIT, payload=payload, **about)

    def _button(self, query: CallbackQuery, raw: dict[str, Any]) -> Inbound:
        if not query.data or not re.fullmatch(r"[!-~]{1,64}", query.data):
            return self._unsupported(raw)
        payload = {"button": query.data, "query": query.id}
        address = str(query.from_user.id)
        if query.message:
            address = str(query.message.chat.id)
            payload["of"] = str(query.message.message_id)
            if query.message.chat.type != "private":
                payload["group_member"] = str(query.from_user.id)
        about = _about(None, query.from_user)
        return self._make(raw, address, InboundKind.BUTTON, payload=payload, **about)

    def _reachable(self, change: ChatMemberUpdated, raw: dict[str, Any]) -> Inbound:
        reachable = change.new_chat_member.status not in {"kicked", "left"}
        about = _about(None, change.from_user)
        return self._make(
            raw,
            str(change.chat.id),
            InboundKind.REACHABLE,
            payload={"reachable": reachable},
            provider_time=change.date,
            **about,
        )

    def _is_for_us(self, message: Message) -> bool:
        """In a group the city listens only where it is spoken to; the rest is nobody's business to store."""
        if message.chat.type == "private":
            return True
        replied = message.reply_to_message and message.reply_to_message.from_user
        if replied and str(replied.id) == self._account:
            return True
        content = message.text or message.caption or ""
        for entity in message.entities or message.caption_entities or ():
            if entity.type == "bot_command":
                return True
            if entity.type == "mention" and entity.extract_from(content).lower().endswith("bot"):
                return True
        return False

    def _unsupported(self, raw: dict[str, Any]) -> Inbound:
        return self._make(raw, _private_chat(raw), InboundKind.UNSUPPORTED, payload={"raw": raw})

    def _unreadable(self, body: bytes) -> Inbound:
        """An authentic body without an update in it; redelivered, it has the same id."""
        return Inbound(
            self._channel,
            self._account,
            f"raw:{hashlib.sha256(body).hexdigest()[:32]}",
            "",
            InboundKind.UNSUPPORTED,
            payload={"raw": clean(body.decode("utf-8", "replace"))[:RAW_CHARACTERS]},
        )


def _about(message: Message | None, sender: User | None) -> dict[str, Any]:
    """The fields every kind of inbound shares."""
    about: dict[str, Any] = {}
    if message is not None:
        about |= {"message_id": str(message.message_id), "provider_time": message.date}
    if sender is not None:
        about |= {"language_hint": sender.language_code, "profile_name": sender.full_name}
    return about


def _media(message: Message) -> MediaRef | None:
    if message.photo:
        best = max(message.photo, key=lambda size: size.width * size.height)
        return MediaRef(best.file_id, "photo", mime="image/jpeg", size=best.file_size)
    for kind, file in (
        ("voice", message.voice),
        ("voice", message.audio),
        ("document", message.video),
        ("document", message.video_note),
        ("document", message.animation),
        ("document", message.document),
    ):
        if file is not None:
            return MediaRef(
                file.file_id,
                kind,
                mime=getattr(file, "mime_type", None),
                name=getattr(file, "file_name", None),
                size=file.file_size,
            )
    return None


def _e164(phone: str) -> str:
    return "+" + re.sub(r"\D", "", phone)


def _private_chat(raw: Mapping[str, Any]) -> str:
    """The private chat an update came from, where it names one; else nobody can be answered."""
    for part in raw.values():
        if not isinstance(part, dict):
            continue
        inner = part.get("message")
        chat = part.get("chat") or (inner.get("chat") if isinstance(inner, dict) else None)
        if isinstance(chat, dict) and chat.get("type") == "private" and isinstance(chat.get("id"), int):
            return str(chat["id"])
        user = part.get("from") or part.get("user")
        if chat is None and isinstance(user, dict) and isinstance(user.get("id"), int):
            return str(user["id"])
    return ""
