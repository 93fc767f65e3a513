"""Saying something to a resident: one message into the history, and on its way."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import Channel
from contact_hub.citizens.models import Conversation, ConversationState
from contact_hub.city import City
from contact_hub.database import Database, new_id, now
from contact_hub.flags.rules import Rules, rules_of
from contact_hub.journey.buttons import button_id
from contact_hub.journey.turn import Reply
from contact_hub.knowledge.models import Answer
from contact_hub.outbox import service as outbox
from contact_hub.privacy import consent
from contact_hub.privacy.masking import mask
from contact_hub.timeline import service as timeline


@dataclass(frozen=True)
class Writer:
    """What is needed to write and send messages; the desk's replies go the same way as the bot's."""

    database: Database
    city: City
    channels: dict[str, Channel]
    folder: Path | None = None  # CIVICLINE_DATA, for the erasure ledger
    site_url: str = ""

    @cached_property
    def flags(self) -> Rules:
        """What makes a conversation look unhappy in this city; raises CityError."""
        return rules_of(self.city)


async def say(
    session: AsyncSession,
    writer: Writer,
    conversation: Conversation,
    reply: Reply,
    *,
    channel: str,
    address: str,
    language: str,
    in_reply_to: uuid.UUID | None = None,
    question: str = "",
    answers_resident: bool = False,
    understood: dict[str, Any] | None = None,
    purpose: consent.Purpose | None = None,
) -> uuid.UUID:
    """Write one message to the history of a locked conversation and put it on its way."""
    touchpoint_id = reply.touchpoint_id or new_id()
    payload: dict[str, Any] = {}
    if reply.ask_contact:
        payload["ask_contact"] = reply.ask_contact
    if reply.say:
        payload["say"] = reply.say
    if reply.copy:
        payload["copy"] = str(reply.copy)
    if reply.files:
        payload["files"] = [str(file) for file in reply.files]
    if reply.by:
        payload["by"] = reply.by
    if understood:
        payload["understood"] = understood
    if reply.sources:
        payload["sources"] = reply.sources
    if reply.answer is not None and in_reply_to is not None:
        payload["answer"] = await _keep_answer(
            session, reply.answer, touchpoint_id, in_reply_to, question, language
        )
        assign(conversation, writer.city.department_for(_first_article(reply.answer)))
    if reply.choices:
        payload["buttons"] = [
            {
                "id": button_id(touchpoint_id, number),
                "title": choice.title,
                "meaning": choice.meaning
                if "helpful" not in choice.meaning
                else {**choice.meaning, "helpful": payload.get("answer", {}).get("id", "")},
            }
            for number, choice in enumerate(reply.choices, start=1)
        ]
    await timeline.record(
        session,
        touchpoint_id=touchpoint_id,
        address_id=conversation.address_id,
        conversation_id=conversation.id,
        direction="out",
        actor=reply.author,
        kind="text",
        words=reply.words if reply.kept is None else reply.kept,
        language=language,
        payload=payload,
        in_reply_to=in_reply_to,
    )
    adapter = writer.channels.get(channel)
    if adapter is not None and adapter.sends_itself:
        # The resident reads a feed in this database: being written is being delivered.
        seq = await timeline.append_to_feed(session, uuid.UUID(address), touchpoint_id)
        if reply.author == "agent":
            await timeline.awaits_reading(session, uuid.UUID(address), seq)
        return touchpoint_id
    await outbox.dispatch(
        session,
        touchpoint_id=touchpoint_id,
        conversation_id=conversation.id,
        address_id=conversation.address_id,
        channel=channel,
        epoch=conversation.epoch,
        author=reply.author,
        # Where the channel was switched off meanwhile, the words wait for it. Files may go without any.
        parts=[reply.words] if adapter is None else adapter.split(reply.words) or [reply.words],
        purpose=purpose,
        despite_silence=reply.say == "stop_confirmed"
        or (answers_resident and adapter is not None and not adapter.silence_is_final),
    )
    return touchpoint_id


def _first_article(found: dict[str, Any]) -> str:
    """The article an answer rests on, given or not; none where it is no answer."""
    passages = found.get("passages") or [{}]
    return str(passages[0].get("article") or "") if found["outcome"] in {"answered", "withheld"} else ""


def assign(conversation: Conversation, department: str | None) -> None:
    """Let a talk with the bot be the matter of what was last spoken of; with a person it stays theirs."""
    if department is not None and conversation.state == ConversationState.BOT:
        conversation.department = department


async def _keep_answer(
    session: AsyncSession,
    found: dict[str, Any],
    touchpoint_id: uuid.UUID,
    question_id: uuid.UUID,
    question: str,
    language: str,
) -> dict[str, Any]:
    answer = Answer(
        id=new_id(),
        touchpoint_id=touchpoint_id,
        question_id=question_id,
        question=mask(question).text,  # what becomes of it, lists or lessons, is nobody's number
        language=language,
        outcome=found["outcome"],
        probability=float(found.get("probability") or 0.0),
        knowledge_version=found.get("kb_version"),
        passages=[
            {key: passage.get(key) for key in ("passage", "article", "version", "language", "title", "score")}
            for passage in found.get("passages") or []
        ],
        created_at=now(),
    )
    session.add(answer)
    return {"id": str(answer.id), "outcome": answer.outcome, "probability": answer.probability}
