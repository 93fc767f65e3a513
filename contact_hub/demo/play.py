"""Playing a story into the history, at the time it is said to have happened.

What the journey, the desk and the outbox would have written is written here at once and in the past:
nothing is sent, and nobody is left waiting for an answer that a worker would give.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.citizens.models import Address, Citizen, Conversation, ConversationState
from contact_hub.city import City
from contact_hub.database import new_id, now
from contact_hub.demo.script import Story, words
from contact_hub.flags.models import Flag, Level, Reading
from contact_hub.flags.rules import Rules, Signal, together
from contact_hub.flags.service import Sign
from contact_hub.handoff.models import Mention, Wait
from contact_hub.handoff.rules import PRIORITY
from contact_hub.knowledge.models import Answer, ArticleVersion, KnowledgeEntry, KnowledgeVersion, Passage
from contact_hub.outbox.models import Delivery
from contact_hub.privacy import consent
from contact_hub.privacy.consent import Origin, Purpose
from contact_hub.ratings.models import Asking, Rating
from contact_hub.reports import service as reports
from contact_hub.reports.models import ReportState
from contact_hub.staff.models import Staff
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Inbound

_TYPING = timedelta(seconds=40)  # what a resident takes for a sentence
_THINKING = timedelta(seconds=1)  # what the bot takes
_READS = 0.85  # how unhappy words read to the model
# What the explanations of signs have to be filled in with.
_TOLD = {"percent": round(100 * _READS), "score": 1, "contacts": 3, "days": 14, "promised": "9:30"}


@dataclass
class Scene:
    """One conversation while it is played."""

    session: AsyncSession
    city: City
    story: Story
    citizen: Citizen
    address: Address
    language: str
    at: datetime
    staff: dict[str, Staff]
    holder: str
    rules: Rules
    conversation: Conversation = field(init=False)
    last_in: uuid.UUID | None = None
    said: str = ""  # the resident's last words
    answer: Answer | None = None
    wait: Wait | None = None
    ended: bool = False
    rating: Rating | None = None

    # Beginning and end

    async def play(self) -> Conversation:
        """Write the whole conversation and return it."""
        self.conversation = Conversation(
            id=new_id(self.at),
            address_id=self.address.id,
            state=ConversationState.BOT,
            language=self.language,
            given_up=[],
            opened_at=self.at,
            last_activity_at=self.at,
        )
        self.session.add(self.conversation)
        await self.session.flush()
        for doing, told in self.story.turns:
            await getattr(self, f"_{doing}")(told)
        if not self.story.open and not self.ended:
            self.conversation.state = ConversationState.CLOSED
            self.conversation.closed_at = min(self.at + timedelta(hours=24), now())
        self.conversation.last_activity_at = self.address.last_inbound_at = self.at
        await self.session.flush()
        return self.conversation

    # Residents

    async def _says(self, told: Any) -> None:
        self.at += _TYPING
        self.said = words(told, self.language)
        self.last_in = await self._record("in", "citizen", "text", self.said)
        self.session.add(
            Inbound(
                channel=self.address.channel,
                account="demo",
                external_id=str(self.last_in),
                touchpoint_id=self.last_in,
                received_at=self.at,
                outcome="handed_off" if self.conversation.state != ConversationState.BOT else "answered",
                step="held_by_person" if self.conversation.state != ConversationState.BOT else "said",
                settled_at=self.at,
            )
        )
        self.session.add(self._reading(0.08))
        if self.conversation.state == ConversationState.AGENT:
            self.conversation.unanswered_since = self.at

    def _reading(self, score: float) -> Reading:
        assert self.last_in is not None
        return Reading(
            touchpoint_id=self.last_in,
            conversation_id=self.conversation.id,
            address_id=self.address.id,
            score=score,
            read_at=self.at,
        )

    async def _helpful(self, told: bool) -> None:
        if self.answer is None:
            raise ValueError(f"'{self.story.key}': nothing was answered that could have helped")
        self.at += _TYPING
        self.answer.helpful = told
        await self._record(
            "inner", "citizen", "rating", payload={"answer": str(self.answer.id), "helpful": told}
        )
        if told:
            await self._out("bot", self.city.say("helpful_thanks", self.language))

    async def _consent(self, told: list[str]) -> None:
        origin = Origin(self.address.id, self.address.channel, self.conversation.id, self.last_in)
        for purpose in told:
            await consent.grant(
                self.session, self.city, origin, Purpose(purpose), language=self.language, at=self.at
            )

    async def _report(self, told: dict[str, Any]) -> None:
        self.at += _TYPING * 4
        department = self.city.department_of(told["category"])
        place, description = (words(told[name], self.language) for name in ("place", "description"))
        asked = await self._record("in", "citizen", "text", description)
        report = await reports.write_down(
            self.session,
            touchpoint_id=asked,
            address_id=self.address.id,
            conversation_id=self.conversation.id,
            category=told["category"],
            place=place,
            description=description,
            photo_id=None,
            department=department,
            district=self.city.district_of(place),
        )
        report.created_at = report.changed_at = self.at
        age = self.at.toordinal() % 3
        report.state = (ReportState.RECEIVED, ReportState.IN_PROGRESS, ReportState.DONE)[age]
        self.conversation.department = department
        shown = {"reference": report.reference, "category": report.category, "place": place}
        await self._record("inner", "system", "report", payload={**shown, "description": description})
        shown["category"] = self.city.category(report.category, self.language)
        await self._out("bot", self.city.say("report_done", self.language, **shown), say="report_done")

    # The bot

    async def _say(self, told: str) -> None:
        await self._out("bot", self.city.say(told, self.language), say=told)

    async def _answered(self, told: Any) -> None:
        name = words(told, self.language)
        article, passage, number = await _published(self.session, name, self.language)
        found = {
            "passage": passage.id,
            "article": article.article,
            "version": article.id,
            "language": article.language,
            "title": article.title,
            "score": 0.72,
        }
        self._answer("answered", 0.9, number, [found])
        self.conversation.department = self.city.department_for(name)
        quote = article.text.strip().split("\n\n")[0][:400]
        await self._out(
            "bot",
            f"{quote}\n\n{self.city.say('did_this_help', self.language)}",
            sources=[{"title": article.title, "url": article.url}],
        )

    async def _refused(self, told: bool) -> None:
        self._answer("refused", 0.12, None, [])
        await self._out("bot", self.city.say("refused", self.language), say="refused")

    def _answer(self, outcome: str, probability: float, number: int | None, passages: list[Any]) -> None:
        """Keep what the bot made of the last question; the next words out are its answer."""
        if self.last_in is None:
            raise ValueError(f"'{self.story.key}': the bot answers before anything was asked")
        self.answer = Answer(
            id=new_id(self.at),
            touchpoint_id=new_id(self.at + _THINKING),
            question_id=self.last_in,
            question=self.said,
            language=self.language,
            outcome=outcome,
            probability=probability,
            knowledge_version=number,
            passages=passages,
            created_at=self.at,
        )
        self.session.add(self.answer)

    # Flags, people, the end

    async def _flag(self, told: dict[str, Any]) -> None:
        assert self.last_in is not None
        evidence = self.last_in
        signs = [
            Sign(sign, self._weight(sign), evidence, self.rules.explain(sign, **_TOLD))
            for sign in map(Signal, told["signals"])
        ]
        signals = [sign.written() for sign in signs]
        score = round(together(sign.weight for sign in signs), 3)
        level = self.rules.level(score)
        if level is None:
            raise ValueError(f"'{self.story.key}': its signs raise no flag")
        raised = self.at + _THINKING
        flag = Flag(
            id=new_id(raised),
            conversation_id=self.conversation.id,
            address_id=self.address.id,
            touchpoint_id=self.last_in,
            channel=self.address.channel,
            department=self.conversation.department,
            language=self.language,
            score=score,
            level=level,
            signals=signals,
            handed_over=level is Level.UNHAPPY,
            raised_at=raised,
        )
        if told.get("dismissed"):
            flag.dismissed_at = raised + timedelta(hours=3)
            flag.dismissed_by, flag.dismissed_why = self.holder, str(told["dismissed"])
        self.session.add(flag)
        reading = await self.session.get(Reading, self.last_in)
        if reading is not None and Signal.WORDS in {sign.signal for sign in signs}:
            reading.score = _READS
        self.at = raised
        payload = {"flag": str(flag.id), "score": flag.score, "level": level, "signals": signals}
        await self._record("inner", "system", "flag", payload=payload)

    def _weight(self, sign: Signal) -> float:
        return self.rules.of_words(_READS) if sign is Signal.WORDS else self.rules.weights[sign]

    async def _handoff(self, told: str) -> None:
        conversation = self.conversation
        await self._hand(ConversationState.WAITING, None, told)
        conversation.waiting_since = self.at
        conversation.promised_at = self.at + timedelta(minutes=30)
        conversation.priority = PRIORITY.get(told, 0)
        self.wait = Wait(
            id=new_id(self.at),
            conversation_id=conversation.id,
            address_id=self.address.id,
            channel=self.address.channel,
            department=conversation.department,
            language=self.language,
            reason=told,
            priority=conversation.priority,
            since=self.at,
            promised_at=conversation.promised_at,
        )
        self.session.add(self.wait)
        await self._out("system", self.city.say("handed_off", self.language, position=2), say="handed_off")

    async def _waits(self, told: int) -> None:
        self.at += timedelta(minutes=told)

    async def _agent(self, told: Any) -> None:
        self.at += _TYPING * 2
        if self.wait is not None and self.wait.ended_at is None:
            self.wait.ended_at = self.wait.first_word_at = self.at
            self.wait.ended, self.wait.taken_by = "taken", self.holder
            if self.wait.promised_at is not None and self.at > self.wait.promised_at:
                self.wait.overdue_at = self.wait.promised_at
            await self._hand(ConversationState.AGENT, self.holder, "taken")
            self.conversation.waiting_since = None
            joined = self.city.say("agent_joined", self.language, name=self.holder)
            await self._out("system", joined, say="agent_joined")
        self.conversation.unanswered_since, self.conversation.holder_seen_at = None, self.at
        await self._out("agent", words(told, self.language))

    async def _note(self, told: Any) -> None:
        self.at += _TYPING
        note = words(told, self.language)
        touchpoint = await self._record("inner", "agent", "note", note, payload={"by": self.holder})
        for name, colleague in self.staff.items():
            if f"@{name}" in note:
                self.session.add(
                    Mention(
                        id=new_id(self.at),
                        staff_id=colleague.id,
                        conversation_id=self.conversation.id,
                        touchpoint_id=touchpoint,
                        by=self.holder,
                        made_at=self.at,
                    )
                )

    async def _closes(self, told: str) -> None:
        self.at += _TYPING
        agent = self.conversation.holder
        await self._hand(ConversationState.CLOSED, agent, "closed")
        self.conversation.resolution, self.conversation.closed_at = told, self.at
        self.ended = True
        closed = self.city.say("conversation_closed", self.language)
        await self._out("system", closed, say="conversation_closed")

    async def _rating(self, told: int) -> None:
        closed = self.at
        self.at += timedelta(minutes=5)
        asked = await self._out("system", self.city.say("rate_ask", self.language), say="rate_ask")
        self.at += timedelta(minutes=4)
        self.rating = Rating(
            id=new_id(self.at),
            conversation_id=self.conversation.id,
            address_id=self.address.id,
            channel=self.address.channel,
            department=self.conversation.department,
            language=self.language,
            agent=self.conversation.holder,
            state=Asking.GIVEN,
            closed_at=closed,
            due_at=closed,
            asked_at=closed,
            question_id=asked,
            score=told,
            rated_at=self.at,
        )
        self.session.add(self.rating)
        await self._record("inner", "citizen", "rating", payload={"score": told})

    async def _comment(self, told: Any) -> None:
        if self.rating is None:
            raise ValueError(f"'{self.story.key}': there is no rating to comment on")
        self.at += _TYPING
        self.rating.comment_id = await self._record("in", "citizen", "text", words(told, self.language))

    # Writing

    async def _hand(self, to: ConversationState, holder: str | None, reason: str) -> None:
        conversation = self.conversation
        before, conversation.state = conversation.state, to
        conversation.holder, conversation.reason = holder, reason
        conversation.epoch += 1
        await self._record(
            "inner",
            "system" if holder is None else "agent",
            "handoff",
            payload={
                "from": before,
                "to": to,
                "holder": holder,
                "reason": reason,
                "epoch": conversation.epoch,
            },
        )

    async def _out(self, author: str, said: str, *, say: str | None = None, sources: Any = None) -> uuid.UUID:
        """Words that left and arrived."""
        payload: dict[str, Any] = {"say": say} if say else {}
        self.at += _THINKING
        identity = new_id(self.at)
        if sources:
            payload["sources"] = sources
        if self.answer is not None and author == "bot" and self.answer.helpful is None and say in _ANSWERS:
            payload["answer"] = {
                "id": str(self.answer.id),
                "outcome": self.answer.outcome,
                "probability": self.answer.probability,
            }
            identity = self.answer.touchpoint_id
        await self._record("out", author, "text", said, payload=payload, identity=identity)
        if self.address.channel == "web_chat":
            await timeline.append_to_feed(self.session, uuid.UUID(self.address.value), identity)
            return identity
        self.session.add(
            Delivery(
                id=new_id(self.at),
                touchpoint_id=identity,
                conversation_id=self.conversation.id,
                address_id=self.address.id,
                channel=self.address.channel,
                epoch=self.conversation.epoch,
                author=author,
                text=said,
                state="delivered",
                tries=1,
                created_at=self.at,
                first_tried_at=self.at,
                settled_at=self.at,
            )
        )
        return identity

    async def _record(
        self,
        direction: str,
        actor: str,
        kind: str,
        said: str | None = None,
        *,
        payload: dict[str, Any] | None = None,
        identity: uuid.UUID | None = None,
    ) -> uuid.UUID:
        recorded = await timeline.record(
            self.session,
            address_id=self.address.id,
            conversation_id=self.conversation.id,
            direction=direction,
            actor=actor,
            kind=kind,
            words=said,
            language=None if said is None else self.language,
            payload=payload,
            in_reply_to=self.last_in if direction == "out" else None,
            touchpoint_id=identity,
            at=self.at,
        )
        if direction == "in" and self.address.channel == "web_chat":
            await timeline.append_to_feed(self.session, uuid.UUID(self.address.value), recorded)
        return recorded


_ANSWERS = (None, "refused")  # what an answer of the bot's is said by


async def _published(session: AsyncSession, name: str, language: str) -> tuple[ArticleVersion, Passage, int]:
    """An article as it is published, in the resident's language if it is; raises LookupError."""
    found = (
        await session.execute(
            select(ArticleVersion, Passage, KnowledgeVersion.number)
            .join(KnowledgeEntry, KnowledgeEntry.article_version_id == ArticleVersion.id)
            .join(KnowledgeVersion, KnowledgeVersion.number == KnowledgeEntry.number)
            .join(Passage, Passage.article_version_id == ArticleVersion.id)
            .where(ArticleVersion.article == name)
            .order_by(KnowledgeVersion.number.desc(), (ArticleVersion.language != language), Passage.ordinal)
            .limit(1)
        )
    ).first()
    if found is None:
        raise LookupError(name)
    return found[0], found[1], found[2]
