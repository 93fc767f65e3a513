"""The queue under workers that crash, sleep too long and come back late."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from contact_hub.database import Database
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, Lane, LeaseLost


class Crashed(Exception):
    """A worker died between its effects and their commit."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with a table that keeps effects, and forgives none done twice."""
    made = Database(database_url, pool_size=15)
    async with made.begin() as session:
        await session.execute(
            text(
                "CREATE TABLE effect (id bigint GENERATED ALWAYS AS IDENTITY, conversation uuid,"
                " lane text, number int)"
            )
        )
    yield made
    await made.close()


async def conversations(database: Database, count: int) -> list[uuid.UUID]:
    """Some open conversations."""
    made = [uuid.uuid4() for _ in range(count)]
    async with database.begin() as session:
        for identity in made:
            await session.execute(
                text(
                    "WITH c AS (INSERT INTO citizen (id, created_at) VALUES (:id, now()) RETURNING id),"
                    " a AS (INSERT INTO address (id, citizen_id, channel, value, created_at, reachable)"
                    "       SELECT :id, id, 'test', CAST(:id AS text), now(), true FROM c RETURNING id)"
                    " INSERT INTO conversation (id, address_id, state, epoch, language_fixed, priority,"
                    "                           given_up, opened_at, last_activity_at)"
                    " SELECT :id, id, 'bot', 0, false, 0, '[]', now(), now() FROM a"
                ),
                {"id": identity},
            )
    return made


async def put(database: Database, conversation: uuid.UUID, lane: Lane, *numbers: int) -> None:
    async with database.begin() as session:
        await queue.lock(session, conversation)
        for number in numbers:
            await queue.put(session, lane, conversation, "count", {"number": number})


async def finish(database: Database, task: Claimed, *, crash: bool = False) -> None:
    """Do a task's effect and complete it in one transaction, or die just before the commit."""
    async with database.begin() as session:
        await queue.lock(session, task.conversation_id)
        await session.execute(
            text("INSERT INTO effect (conversation, lane, number) VALUES (:c, :lane, :number)"),
            {"c": task.conversation_id, "lane": task.lane, "number": task.payload["number"]},
        )
        await queue.complete(session, task)
        if crash:
            raise Crashed


async def heads_are_unique(database: Database) -> None:
    """Every lane of every conversation that holds tasks has exactly one head, and it is the oldest."""
    async with database.begin() as session:
        wrong = await session.scalar(
            text(
                "SELECT count(*) FROM (SELECT 1 FROM task GROUP BY conversation_id, lane"
                " HAVING count(*) FILTER (WHERE head) <> 1 OR min(id) <> min(id) FILTER (WHERE head)) AS w"
            )
        )
    assert wrong == 0


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_every_effect_once_and_in_order_whatever_workers_do(  # noqa: C901 - a whole world of workers
    database: Database, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "LEASE_SECONDS", 0.15)
    chance = random.Random(seed)
    talks, each, lanes = await conversations(database, 5), 12, tuple(Lane)
    put_all = asyncio.Event()
    seen: Counter[str] = Counter()
    zombies: list[asyncio.Task[None]] = []

    async def produce(conversation: uuid.UUID, lane: Lane) -> None:
        number = 0
        while number < each:
            few = min(chance.randint(1, 3), each - number)
            await put(database, conversation, lane, *range(number, number + few))
            number += few
            await asyncio.sleep(chance.random() * 0.02)

    async def comes_back_late(task: Claimed) -> None:
        await asyncio.sleep(0.4)
        try:
            await finish(database, task)  # on a busy machine nobody may have taken it over yet
        except LeaseLost:
            seen["zombie"] += 1

    async def consume(lane: Lane) -> None:
        while True:
            tasks = await queue.claim(database, lane, chance.randint(1, 3))
            if not tasks:
                if put_all.is_set() and await empty(lane):
                    return
                await asyncio.sleep(0.02)
            for task in tasks:
                fate = chance.random()
                try:
                    if fate < 0.10:
                        seen["crash"] += 1
                        await finish(database, task, crash=True)
                    elif fate < 0.18:
                        zombies.append(asyncio.create_task(comes_back_late(task)))
                    elif fate < 0.25:
                        job = asyncio.create_task(finish(database, task))
                        await asyncio.sleep(chance.random() * 0.01)
                        job.cancel()  # wherever it is by now, also in the middle of its commit
                        seen["cancelled"] += 1
                        await asyncio.gather(job, return_exceptions=True)
                    elif fate < 0.35:
                        seen["retried"] += 1
                        async with database.begin() as session:
                            await queue.retry(session, task, 0.02, "later")
                    else:
                        await finish(database, task)
                except (Crashed, LeaseLost):
                    pass

    async def empty(lane: Lane) -> bool:
        async with database.begin() as session:
            left = await session.scalar(text("SELECT count(*) FROM task WHERE lane = :lane"), {"lane": lane})
        return not left

    async def watch() -> None:
        while True:
            await heads_are_unique(database)
            await asyncio.sleep(0.03)

    watching = asyncio.create_task(watch())
    consumers = [asyncio.create_task(consume(lane)) for lane in lanes for _ in range(3)]
    await asyncio.gather(*(produce(talk, lane) for talk in talks for lane in lanes))
    put_all.set()
    async with asyncio.timeout(40):
        await asyncio.gather(*consumers)
        await asyncio.gather(*zombies)
    assert not watching.done(), watching.exception()
    watching.cancel()

    async with database.begin() as session:
        rows = (
            await session.execute(text("SELECT conversation, lane, number FROM effect ORDER BY id"))
        ).all()
    done: dict[tuple[uuid.UUID, str], list[int]] = {}
    for conversation, lane, number in rows:
        done.setdefault((conversation, lane), []).append(number)
    assert done == {(talk, str(lane)): list(range(each)) for talk in talks for lane in lanes}
    assert {"crash", "zombie", "cancelled", "retried"} <= set(seen), seen


async def test_a_flooded_conversation_costs_the_others_no_claim(database: Database) -> None:
    flooded, *others = await conversations(database, 21)
    await put(database, flooded, Lane.IN, 0)
    async with database.begin() as session:  # as `put` would: behind the head
        await session.execute(
            text(
                "INSERT INTO task (lane, conversation_id, kind, payload, head, due, attempts, created_at)"
                " SELECT 'in', :c, 'count', jsonb_build_object('number', n), false, now(), 0, now()"
                " FROM generate_series(1, 1999) AS n"
            ),
            {"c": flooded},
        )
    for other in others:
        await put(database, other, Lane.IN, 0)
    served: list[uuid.UUID] = []
    claims = 0
    while len(set(served)) < 21:
        tasks = await queue.claim(database, Lane.IN, 7)
        claims += 1
        assert len(tasks) <= 7
        assert len({task.conversation_id for task in tasks}) == len(tasks)
        for task in tasks:
            await finish(database, task)
            served.append(task.conversation_id)
    assert claims <= 4, "21 conversations with 7 slots need three or four claims, however many wait in one"
    await heads_are_unique(database)


async def test_a_claim_takes_no_more_than_it_has_room_for(database: Database) -> None:
    for talk in await conversations(database, 12):
        await put(database, talk, Lane.IN, 0, 1)
    for _ in range(3):
        assert len(await queue.claim(database, Lane.IN, 4)) == 4
    assert await queue.claim(database, Lane.IN, 4) == []


async def test_the_oldest_goes_first(database: Database) -> None:
    talks = await conversations(database, 5)
    for talk in talks:
        await put(database, talk, Lane.IN, 0)
    taken = [task.conversation_id for _ in range(5) for task in await queue.claim(database, Lane.IN, 1)]
    assert taken == talks


async def test_a_send_that_is_retried_for_hours_does_not_keep_anybody_from_reading(
    database: Database,
) -> None:
    (talk,) = await conversations(database, 1)
    await put(database, talk, Lane.OUT, 0, 1)
    await put(database, talk, Lane.IN, 0, 1)
    (sending,) = await queue.claim(database, Lane.OUT, 5)
    async with database.begin() as session:
        await queue.retry(session, sending, 7200, "the provider is down")
    assert await queue.claim(database, Lane.OUT, 5) == [], "its own lane waits, in order"
    for number in range(2):
        (reading,) = await queue.claim(database, Lane.IN, 5)
        assert reading.payload["number"] == number
        await finish(database, reading)


async def test_a_retry_keeps_the_task_at_the_head_and_counts_unless_it_is_forgiven(
    database: Database,
) -> None:
    (talk,) = await conversations(database, 1)
    await put(database, talk, Lane.IN, 0, 1)
    for counts, attempts in ((True, 1), (True, 2), (False, 3), (True, 3)):
        (task,) = await queue.claim(database, Lane.IN, 5)
        assert (task.payload["number"], task.attempts) == (0, attempts)
        async with database.begin() as session:
            await queue.retry(session, task, 0, "again", note={"told": True}, counts=counts)
    (task,) = await queue.claim(database, Lane.IN, 5)
    assert task.payload == {"number": 0, "told": True}


async def test_a_lease_that_ran_out_is_somebody_elses(database: Database) -> None:
    (talk,) = await conversations(database, 1)
    await put(database, talk, Lane.IN, 0)
    (first,) = await queue.claim(database, Lane.IN, 1)
    assert await queue.claim(database, Lane.IN, 1) == []
    async with database.begin() as session:  # so much time passes
        passes = text("UPDATE task SET due = due - make_interval(secs => :lease)")
        await session.execute(passes, {"lease": queue.LEASE_SECONDS})
    (second,) = await queue.claim(database, Lane.IN, 1)
    assert (second.id, second.attempts) == (first.id, 2)
    assert await queue.renew(database, [first.token, second.token]) == {second.token}
    with pytest.raises(LeaseLost):
        await finish(database, first)
    with pytest.raises(LeaseLost):
        async with database.begin() as session:
            await queue.retry(session, first, 0, "late")
    await finish(database, second)
    async with database.begin() as session:
        assert await session.scalar(text("SELECT count(*) FROM effect")) == 1
        assert await session.scalar(text("SELECT count(*) FROM task")) == 0
