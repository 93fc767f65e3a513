"""Telling webhooks, in a lane of their own: no receiver, however slow, holds up a resident's message.

It is the queue's way with another head: a webhook is claimed as a whole, by a lease with a fencing
token, and its notices leave one by one in the order of their events. A process that dies in between
leaves a lease that runs out; the next one sends the notice in hand once more, under the same
webhook-id. `task` itself does not fit: its heads are kept by locking a conversation, and locking a
webhook's row in every resident's transaction would let all of them wait for one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any, LiteralString

import structlog
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.database import Database, new_id, now
from contact_hub.events.kinds import Kind, schema_name, type_of
from contact_hub.events.models import Webhook, WebhookState
from contact_hub.handoff import service as handoff
from contact_hub.operations import metrics
from contact_hub.operations.queue import LeaseLost
from contact_hub.privacy.masking import SENSITIVE, mask
from contact_hub.sealing import Unsealable
from contact_hub.webhooks import service, signing
from contact_hub.webhooks.reach import SECONDS, Answer, NotAllowed, NotReached, Reach

log = structlog.get_logger()

LEASE_SECONDS = 3 * SECONDS  # renewed with every notice
POLL_SECONDS = 1.0
SLOTS = 8  # webhooks at a time in one process
BATCH = 100  # notices of one webhook before the others get their turn
# What Standard Webhooks recommends: about three days of trying, then the event is given up.
DELAYS = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
ATTEMPTS = len(DELAYS) + 1
# The receiver understood the request and does not want this event; three days would not change that.
REFUSED = frozenset({400, 413, 415, 422})
ATTEMPTS_WHEN_REFUSED = 3
GONE = 410
LONGEST_WISH = 3600.0  # seconds of Retry-After that are granted

_CLAIM: LiteralString = """
    UPDATE webhook SET token = gen_random_uuid(),
                       due = clock_timestamp() + make_interval(secs => %(lease)s)
    WHERE id IN (SELECT id FROM webhook w WHERE state = 'on' AND due <= clock_timestamp()
                 AND EXISTS (SELECT FROM webhook_notice n WHERE n.webhook_id = w.id AND n.dead_at IS NULL)
                 ORDER BY due LIMIT %(limit)s FOR NO KEY UPDATE SKIP LOCKED)
    RETURNING id, token
"""

_NEXT = text("""
    SELECT e.id, e.kind, e.citizen_id, e.data, e.created_at, n.attempts,
           CASE WHEN w.with_text AND e.kind = 'touchpoint' THEN
               (SELECT t.text FROM touchpoint t JOIN address a ON a.id = t.address_id
                WHERE t.id = (e.data ->> 'touchpoint')::uuid
                AND NOT EXISTS (SELECT FROM sealed_record s WHERE s.citizen_id = a.citizen_id))
           END AS words
    FROM webhook_notice n JOIN event e ON e.id = n.event_id JOIN webhook w ON w.id = n.webhook_id
    WHERE n.webhook_id = :webhook AND n.dead_at IS NULL ORDER BY n.event_id LIMIT 1
""")

_KEEP = text("""
    UPDATE webhook SET due = clock_timestamp() + make_interval(secs => :lease)
    WHERE id = :webhook AND token = :token
""")

_RECEIVED = text("""
    UPDATE webhook SET due = clock_timestamp() + make_interval(secs => :lease), failures = 0,
                       last_error = NULL, last_success_at = now()
    WHERE id = :webhook AND token = :token
""")

_FORGET = text("DELETE FROM webhook_notice WHERE webhook_id = :webhook AND event_id = :event")

_FAILED = text("""
    UPDATE webhook SET token = NULL, failures = failures + 1, last_error = :error, state = :state,
                       due = clock_timestamp() + make_interval(secs => :delay)
    WHERE id = :webhook AND token = :token
""")

_TRIED = text("""
    UPDATE webhook_notice SET attempts = attempts + 1, last_error = :error,
                              dead_at = CASE WHEN :dead THEN now() END
    WHERE webhook_id = :webhook AND event_id = :event
""")

_GIVE_BACK = text("""
    UPDATE webhook SET token = NULL, due = clock_timestamp() WHERE id = :webhook AND token = :token
""")


@dataclass(frozen=True, slots=True)
class Claimed:
    """A webhook on loan to this process."""

    id: uuid.UUID
    token: uuid.UUID


@dataclass(frozen=True, slots=True)
class Waiting:
    """The next event a webhook has not received, its words where it may have them."""

    id: uuid.UUID
    kind: str
    citizen_id: uuid.UUID | None
    data: dict[str, Any]
    created_at: datetime
    attempts: int = 0
    words: str | None = None


@dataclass(frozen=True)
class Telling:
    """Tells every webhook what it has not received."""

    database: Database
    site_url: str
    reach: Reach

    async def run(self, stop: asyncio.Event) -> None:
        """Tell until `stop` is set; then finish what is in hand."""
        running: set[asyncio.Task[None]] = set()
        while not stop.is_set():
            room = SLOTS - len(running)
            claimed: list[Claimed] = []
            if room:
                try:
                    claimed = await self.claim(room)
                except Exception as error:  # the database is away: keep asking
                    log.warning("webhooks.claim_failed", error=type(error).__name__)
            for one in claimed:
                job = asyncio.create_task(self._guarded(one, stop))
                running.add(job)
                job.add_done_callback(running.discard)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(POLL_SECONDS):
                    await stop.wait()
        if running:
            await asyncio.wait(running, timeout=SECONDS)

    async def claim(self, limit: int) -> list[Claimed]:
        """Borrow up to `limit` webhooks that are due and have something to be told."""
        rows = await self.database.glance(_CLAIM, limit=limit, lease=LEASE_SECONDS)
        return [Claimed(webhook, token) for webhook, token in rows]

    async def _guarded(self, claimed: Claimed, stop: asyncio.Event) -> None:
        try:
            await self.tell(claimed, stop)
        except LeaseLost:
            metrics.leases_lost.inc()
            log.warning("webhooks.lease_lost", webhook=str(claimed.id))
        except Exception:
            # The lease runs out and the notice is sent again; nothing was written down of it.
            log.exception("webhooks.crashed", webhook=str(claimed.id))

    async def tell(self, claimed: Claimed, stop: asyncio.Event | None = None) -> int:
        """Send what waits, in order, until something fails or a batch is done; gives how many arrived."""
        arrived = 0
        while arrived < BATCH and not (stop is not None and stop.is_set()):
            async with self.database.begin() as session:
                await _still(await session.execute(_KEEP, self._lease(claimed)))
                row = (await session.execute(_NEXT, {"webhook": claimed.id})).first()
                if row is None:
                    break
                waiting = Waiting(*row)
                webhook = await service.find(session, claimed.id)
                url = webhook.url
                try:
                    body, headers = await self._message(session, webhook, waiting)
                except Unsealable as error:
                    await self._failed(session, claimed, url, waiting, str(error), None)
                    return arrived
            if not await self._send(claimed, url, waiting, body, headers):
                return arrived
            arrived += 1
        async with self.database.begin() as session:
            await session.execute(_GIVE_BACK, {"webhook": claimed.id, "token": claimed.token})
        return arrived

    async def try_out(self, webhook_id: uuid.UUID) -> Answer:
        """Send a test event now and give the answer; raises NoSuchWebhook, NotAllowed, NotReached."""
        async with self.database.begin() as session:
            webhook = await service.find(session, webhook_id)
            url = webhook.url
            event = Waiting(new_id(), Kind.TEST, None, {"webhook": str(webhook_id)}, now())
            body, headers = await self._message(session, webhook, event)
        return await self.reach.post(url, body, headers)

    async def _send(
        self, claimed: Claimed, url: str, waiting: Waiting, body: bytes, headers: dict[str, str]
    ) -> bool:
        answer: Answer | None = None
        try:
            answer = await self.reach.post(url, body, headers)
            error = _complaint(answer)
        except (NotAllowed, NotReached) as failure:
            error = str(failure)
        async with self.database.begin() as session:
            if error is None:
                await _still(await session.execute(_RECEIVED, self._lease(claimed)))
                await session.execute(_FORGET, {"webhook": claimed.id, "event": waiting.id})
            else:
                await self._failed(session, claimed, url, waiting, error, answer)
        metrics.webhooks.labels("received" if error is None else "failed").inc()
        return error is None

    async def _failed(
        self,
        session: AsyncSession,
        claimed: Claimed,
        url: str,
        waiting: Waiting,
        error: str,
        answer: Answer | None,
    ) -> None:
        gone = answer is not None and answer.status == GONE
        most = ATTEMPTS_WHEN_REFUSED if answer is not None and answer.status in REFUSED else ATTEMPTS
        dead = not gone and waiting.attempts + 1 >= most
        before = await session.scalar(
            text("SELECT failures FROM webhook WHERE id = :webhook"), {"webhook": claimed.id}
        )
        values = {
            "webhook": claimed.id,
            "token": claimed.token,
            "error": error,
            "state": WebhookState.GONE if gone else WebhookState.ON,
            "delay": delay_of(int(before or 0), answer),
        }
        await _still(await session.execute(_FAILED, values))
        tried = {"webhook": claimed.id, "event": waiting.id, "error": error, "dead": dead}
        await session.execute(_TRIED, tried)
        log.warning("webhooks.failed", webhook=str(claimed.id), error=error, dead=dead, gone=gone)
        if dead:
            metrics.webhooks.labels("dead").inc()
            await handoff.alert(session, f"A webhook does not take its events: {url}")
        if gone:
            await handoff.alert(session, f"A webhook's receiver says that it is gone: {url}")

    async def _message(
        self, session: AsyncSession, webhook: Webhook, waiting: Waiting
    ) -> tuple[bytes, dict[str, str]]:
        body = json.dumps(self.envelope(waiting), ensure_ascii=False, separators=(",", ":")).encode()
        secrets = await service.secrets_of(session, webhook)
        return body, {
            **signing.headers(secrets, str(waiting.id), int(time.time()), body),
            "content-type": "application/cloudevents+json; charset=utf-8",
            "user-agent": "Civicline",
        }

    def envelope(self, waiting: Waiting) -> dict[str, Any]:
        """The event in CloudEvents' structured JSON mode."""
        data = dict(waiting.data)
        if waiting.words is not None:
            data["text"] = mask(waiting.words, SENSITIVE).text
        return {
            "specversion": "1.0",
            "id": str(waiting.id),
            "source": self.site_url,
            "type": type_of(waiting.kind),
            **({} if waiting.citizen_id is None else {"subject": str(waiting.citizen_id)}),
            "time": waiting.created_at.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            "dataschema": f"{self.site_url}/schemas/events/{schema_name(waiting.kind)}",
            "data": data,
        }

    @staticmethod
    def _lease(claimed: Claimed) -> dict[str, Any]:
        return {"webhook": claimed.id, "token": claimed.token, "lease": LEASE_SECONDS}


def delay_of(failures: int, answer: Answer | None) -> float:
    """Seconds until the next try after so many failures before this one, as the receiver may wish."""
    delay = DELAYS[min(failures, len(DELAYS) - 1)] * random.uniform(0.9, 1.1)  # noqa: S311 - jitter
    wish = answer.retry_after if answer is not None else None
    return max(delay, min(wish or 0.0, LONGEST_WISH))


def _complaint(answer: Answer) -> str | None:
    """Why an answer does not count as received; None when it does."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return f"answered {answer.status}: redirects are not followed"
    return f"answered {answer.status}"


async def _still(done: Any) -> None:
    """Make sure that the webhook is still ours."""
    if done.rowcount == 0:
        raise LeaseLost
