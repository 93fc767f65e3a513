"""Waiting for a person: whose turn it is, what is promised, and what the clock does when it is not kept."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import time_machine
from hypothesis import given
from hypothesis import strategies as st

from contact_hub.citizens.models import DANGER
from contact_hub.citizens.models import ConversationState as State
from contact_hub.city import City, CityError
from contact_hub.database import new_id, now
from contact_hub.handoff import hours, queue
from contact_hub.handoff import service as handoff
from contact_hub.handoff.rules import MOST, Rules, effective, raised, rules_of, turn_at
from contact_hub.identity import merging
from contact_hub.journey import by_hand, clock, waiting
from contact_hub.journey.hands.colleagues import viewer_of
from contact_hub.operations.queue import Lane
from contact_hub.privacy import consent
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role
from contact_hub.staff.service import change, disable, locked, make
from tests.contract import recorded
from tests.fakes import telegram, twilio
from tests.hub.line import Line, Resident, Script, turn

MARIA = Viewer("system", "Maria")
ALWAYS = {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
NEVER: dict[str, list[str]] = {day: [] for day in ALWAYS}


def with_hours(city: City, opening: dict[str, Any], **handoff: Any) -> City:
    settings = {**city.settings, "opening_hours": opening}
    settings["handoff"] = {**city.settings["handoff"], **handoff}
    return replace(city, settings=settings)


def where_it_is_noon() -> str:
    """A time zone whose day is far from its end: minutes are told only where they end today."""
    return f"Etc/GMT{now().hour - 12:+}"  # whose signs are the other way round


@pytest.fixture
async def open_line(
    lines: Callable[..., Line], script: Script, city: City, fake_twilio: twilio.FakeTwilio
) -> Line:
    """A line of a city whose people answer day and night, and whose phones may always ring."""
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    always = with_hours(city, ALWAYS, night="00:00-00:00")
    always = replace(always, settings={**always.settings, "time_zone": where_it_is_noon()})
    given = {"twilio_api_url": fake_twilio.url, "public_url": "http://127.0.0.1:9"}
    given |= {"twilio_account_sid": twilio.ACCOUNT, "twilio_auth_token": twilio.AUTH_TOKEN}
    sms = recorded.build("sms", twilio_from=twilio.NUMBER, **given)
    return lines(brain_url=script.url, rasa_url=script.url, city=always, channels=[sms])


async def waits(line: Line, channel: str = "web_chat", language: str = "en") -> Resident:
    """Somebody who asked for a person."""
    resident = await line.visitor(language) if channel == "web_chat" else line.texter()
    await resident.says("A person please")
    assert (await resident.conversation()).state == "waiting"
    return resident


async def back_dates(resident: Resident, **columns: Any) -> None:
    talk = await resident.conversation()
    changes = ", ".join(f"{name} = :{name}" for name in columns)
    await resident.line.sql(f"UPDATE conversation SET {changes} WHERE id = :id", id=talk.id, **columns)


async def ticks(line: Line) -> None:
    await clock.once(line.writer, line.wakeups)
    await line.work()


async def answers(resident: Resident, words: str = "Here I am.", viewer: Viewer = MARIA) -> None:
    which = str((await resident.conversation()).id)
    await by_hand.reply(resident.line.writer, resident.line.wakeups, which, viewer, words)


def ago(**span: float) -> datetime:
    return now() - timedelta(**span)


# Whose turn it is --------------------------------------------------------------------------------

MOMENT = datetime(2026, 11, 27, 12, tzinfo=UTC)
AGEING = timedelta(minutes=3)
moments = st.integers(-10_000, 10_000).map(lambda minutes: MOMENT + timedelta(minutes=minutes))
waiters = st.tuples(moments, st.none() | moments, st.integers(0, DANGER))


@given(waiters, waiters, st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_order_of_two_who_wait_never_changes(
    one: tuple[Any, ...], other: tuple[Any, ...], sooner: int, later: int
) -> None:
    def ranks(waiter: tuple[Any, ...], minutes: int) -> float:
        since, promised, priority = waiter
        return effective(priority, since, promised, AGEING, MOMENT + timedelta(minutes=minutes))

    assert (ranks(one, sooner) > ranks(other, sooner)) == (ranks(one, later) > ranks(other, later))


@given(moments, st.integers(0, MOST), st.integers(1, 1000))
def test_nobody_is_overtaken_by_what_comes_much_later(since: datetime, priority: int, minutes: int) -> None:
    newcomer = since + MOST * AGEING + timedelta(minutes=minutes)
    assert turn_at(since, None, 0, AGEING) < turn_at(newcomer, None, priority, AGEING)


def test_points_never_become_danger_and_danger_is_before_all() -> None:
    assert raised(90, 20) == MOST
    assert raised(DANGER, 20) == DANGER
    ages = effective(MOST, MOMENT - timedelta(days=365), None, AGEING, MOMENT)
    assert effective(DANGER, MOMENT, None, AGEING, MOMENT) > ages


def test_the_longest_wait_of_the_least_urgent_is_bounded_by_the_pace_of_the_answers() -> None:
    """Twelve an hour are answered, eleven come, most of them graver: the bound of `rules.turn_at` holds."""
    chance, arrivals, served = random.Random(7), 11, 12
    at, coming = MOMENT, MOMENT
    queue_: list[tuple[datetime, datetime, int]] = []
    longest, most_before = timedelta(), 0
    for _ in range(5_000):
        at += timedelta(hours=1) / served
        while coming <= at:
            points = chance.choice([0, 20, 30, MOST])
            queue_.append((turn_at(coming, None, points, AGEING), coming, points))
            most_before = max(most_before, len(queue_))
            coming += timedelta(hours=1) / arrivals * chance.uniform(0.2, 1.8)
        if queue_:
            first = min(queue_)
            queue_.remove(first)
            if first[2] == 0:
                longest = max(longest, at - first[1])
    bound = timedelta(hours=1) * (most_before + arrivals * 2 * (MOST * AGEING / timedelta(hours=1))) / served
    assert timedelta(hours=1) < longest <= bound


async def test_the_database_puts_them_into_the_same_order_as_the_rules(open_line: Line) -> None:
    chance = random.Random(11)
    rules, residents = rules_of(open_line.city), [await waits(open_line) for _ in range(14)]
    for number, resident in enumerate(residents):
        await back_dates(
            resident,
            waiting_since=ago(minutes=chance.randrange(600)),
            promised_at=None if number % 4 == 0 else now() + timedelta(minutes=chance.randrange(-300, 300)),
            priority=chance.choice([0, 0, 10, 20, 30, 99, DANGER]),
        )
    talks = [await resident.conversation() for resident in residents]
    expected = sorted(
        talks,
        key=lambda t: (
            t.priority < DANGER,
            turn_at(t.waiting_since or MOMENT, t.promised_at, t.priority, rules.ageing),
            t.id,
        ),
    )
    async with open_line.database.begin() as session:
        listed = [line.conversation_id for line in await queue.waiting(session, rules=rules)]
        pages = [
            line.conversation_id
            for offset in (0, 5, 10)
            for line in await queue.waiting(session, 5, rules=rules, offset=offset)
        ]
        places = [await queue.position(session, talk, rules, "contact_centre") for talk in expected]
    assert listed == pages == [talk.id for talk in expected]
    assert places == list(range(1, 15))


async def test_a_place_is_counted_among_those_of_the_same_department(open_line: Line) -> None:
    first, second, third = [await waits(open_line) for _ in range(3)]
    await back_dates(first, department="parks")
    await back_dates(second, department="contact_centre")  # which also looks after what belongs to none
    rules = rules_of(open_line.city)
    async with open_line.database.begin() as session:
        talk = await third.conversation()
        assert await queue.position(session, talk, rules, "contact_centre") == 2


async def test_who_does_not_speak_a_language_sees_it_after_a_while_and_danger_at_once(
    open_line: Line,
) -> None:
    rules = rules_of(open_line.city)
    english, turkish = await waits(open_line), await waits(open_line, language="tr")
    danger = await open_line.visitor("pl")
    await danger.says("there is a gas leak")

    async def shown(*languages: str) -> set[Any]:
        async with open_line.database.begin() as session:
            found = await queue.waiting(session, rules=rules, languages=languages)
            return {line.conversation_id for line in found}

    names = [(await r.conversation()).id for r in (english, turkish, danger)]
    assert await shown("en", "es") == {names[0], names[2]}
    assert await shown("tr") == {names[1], names[2]}
    assert await shown() == set(names)
    await back_dates(turkish, waiting_since=now() - rules.other_languages)
    assert await shown("en", "es") == set(names)


async def test_danger_said_while_waiting_comes_first_and_says_why(open_line: Line) -> None:
    first, second = await waits(open_line), await waits(open_line)
    await second.says("now there is a gas leak")
    async with open_line.database.begin() as session:
        found = await handoff.waiting(session)
    assert [(line.conversation_id, line.reason) for line in found] == [
        ((await second.conversation()).id, "emergency"),
        ((await first.conversation()).id, "asked"),
    ]


# Opening time ------------------------------------------------------------------------------------

DUBLIN = ZoneInfo("Europe/Dublin")
FRIDAY = datetime(2026, 11, 27, 17, tzinfo=DUBLIN)  # open until 18:00, and on Saturday from 09:00 to 13:00


def test_opening_time_is_counted_over_nights_and_days_off(whole_city: City) -> None:
    city = whole_city
    saturday = datetime(2026, 11, 28, 10, tzinfo=DUBLIN)
    assert hours.open_between(city, FRIDAY, saturday) == timedelta(hours=2)
    assert hours.open_between(city, saturday, FRIDAY + timedelta(days=3)) == timedelta(hours=3 + 9)
    assert hours.open_after(city, FRIDAY, timedelta(minutes=30)) == FRIDAY + timedelta(minutes=30)
    assert hours.open_after(city, FRIDAY, timedelta(hours=2)) == saturday
    assert hours.open_before(city, saturday, timedelta(hours=2)) == FRIDAY
    assert hours.open_before(city, saturday + timedelta(hours=12), timedelta(hours=5)) == FRIDAY
    assert hours.closing(city, FRIDAY) == FRIDAY + timedelta(hours=1)
    assert hours.closing(city, saturday + timedelta(hours=5)) is None


def test_seconds_pass_alike_when_the_clocks_are_changed(city: City) -> None:
    changed = with_hours(city, ALWAYS)
    before = datetime(2026, 10, 24, 12, tzinfo=DUBLIN)
    after = datetime(2026, 10, 25, 12, tzinfo=DUBLIN)  # 25 hours later
    passed = hours.open_between(changed, before, after)
    assert timedelta(hours=25) - passed < timedelta(seconds=1)


def test_a_city_that_never_opens_promises_nothing(city: City) -> None:
    assert hours.open_after(with_hours(city, NEVER), FRIDAY, timedelta(minutes=1)) is None


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"hold_seconds": "five"}, "hold_seconds"),
        ({"ageing_minutes": 0}, "ageing_minutes"),
        ({"night": "late"}, "night"),
        ({"patience": 3}, "patience"),
    ],
)
def test_a_wrong_number_is_told_in_one_sentence(city: City, wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(CityError, match=says):
        rules_of(with_hours(city, ALWAYS, **wrong))


@pytest.mark.parametrize(
    "wrong", [[], [{"key": "a b", "name": "A"}], [{"key": "solved"}], [{"key": "a", "name": "A"}] * 2]
)
def test_ways_to_end_are_a_list_of_keys_and_names(city: City, wrong: list[Any]) -> None:
    with pytest.raises(CityError, match="resolutions"):
        rules_of(replace(city, settings={**city.settings, "resolutions": wrong}))


# What is promised --------------------------------------------------------------------------------


async def waited(line: Line, *minutes: float, by: str = "Maria", gap: float = 0, **more: Any) -> None:
    """Waits that somebody ended lately, one after the other, `gap` minutes apart where one is given."""
    ends = ago(hours=5)
    for span in minutes:
        ends += timedelta(minutes=gap or 60)
        values = {"since": ends - timedelta(minutes=span), "ended": ends, "by": by, "id": new_id()}
        values |= {"language": "en", "department": None, **more}
        await line.sql(
            "INSERT INTO wait (id, conversation_id, address_id, channel, department, language, reason,"
            " priority, since, ended_at, ended, taken_by) SELECT :id, c.id, c.address_id, 'web_chat',"
            " :department, :language, 'asked', 0, :since, :ended, 'taken', :by FROM conversation c LIMIT 1",
            **values,
        )


async def told(resident: Resident) -> str:
    return [t.text or "" for t in await resident.written() if t.payload.get("say") == "handed_off"][-1]


async def test_without_measurements_a_moment_is_promised_and_no_minutes(open_line: Line) -> None:
    resident = await waits(open_line)
    talk, rules = await resident.conversation(), rules_of(open_line.city)
    assert talk.waiting_since is not None
    assert talk.promised_at is not None
    late = talk.promised_at - (talk.waiting_since + rules.unmeasured)
    assert timedelta() <= late <= timedelta(minutes=5)
    city = open_line.city
    assert await told(resident) == " ".join(
        [
            city.say("handed_off", "en", position=1),
            city.say("wait_by", "en", until=city.moment(talk.promised_at, "en")),
            city.say("wait_close", "en"),
        ]
    )
    assert await open_line.sql("SELECT promised_at, overdue_at FROM wait") == [(talk.promised_at, None)]


async def test_in_a_quiet_time_the_wait_is_what_it_was_for_others(open_line: Line) -> None:
    await waits(open_line)
    await waited(open_line, 4, 6, 90, 5, 7)
    second = await waits(open_line)
    assert "about 6 minutes" in await told(second)


async def test_what_was_measured_is_used_again_for_a_minute(open_line: Line) -> None:
    await waits(open_line)
    await waited(open_line, 4, 6, 5)
    assert "about 5 minutes" in await told(await waits(open_line))
    await waited(open_line, 90, 90, 90, 90)
    assert "about 5 minutes" in await told(await waits(open_line))
    with time_machine.travel(now() + timedelta(seconds=61), tick=True):
        later = await told(await waits(open_line))
    assert "It should take about" in later
    assert "about 5 minutes" not in later


async def test_in_a_busy_time_the_wait_is_the_pace_of_those_at_work(open_line: Line) -> None:
    first = await waits(open_line)
    await answers(first)
    await waited(open_line, 60, 60, 60, 60, gap=10)  # taken every ten minutes while others waited
    for _ in range(3):
        await waits(open_line)
    assert "about 40 minutes" in await told(await waits(open_line))
    await open_line.sql("""
        INSERT INTO staff (id, name, role, departments, languages, created_at)
            SELECT gen_random_uuid(), name, 'agent', '["contact_centre"]', '[]', now()
            FROM unnest(ARRAY['Ann', 'Ben']) AS name;
        INSERT INTO staff_session (id, secret_hash, staff_id, created_at, last_seen_at, second_step, network,
                                   browser)
            SELECT gen_random_uuid(), decode(md5(name), 'hex'), id, now(), now(), false, '', '' FROM staff
    """)
    assert "about 30 minutes" in await told(await waits(open_line))


async def test_another_department_and_another_language_are_measured_for_themselves(open_line: Line) -> None:
    await waits(open_line)
    await waited(open_line, 100, 100, 100, department="parks")
    await waited(open_line, 40, 40, 40, language="es", by="Rosa")
    await waited(open_line, 5, 5, 5)
    assert "about 5 minutes" in await told(await waits(open_line))
    assert "unos 40 minutos" in await told(await waits(open_line, language="es"))
    assert "25 Minuten" in await told(await waits(open_line, language="de"))  # as for everybody


async def test_outside_hours_a_date_is_promised(
    lines: Callable[..., Line], script: Script, city: City
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    local = now().astimezone(city.zone)
    days = list(ALWAYS)
    tomorrow = days[(local.weekday() + 1) % 7]
    line = lines(
        brain_url=script.url,
        rasa_url=script.url,
        city=with_hours(city, {**NEVER, tomorrow: ["08:00-18:00"]}, unmeasured_promise_minutes=60),
    )
    resident = await waits(line)
    opens = line.city.next_opening(now())
    assert opens is not None
    assert (await resident.conversation()).promised_at == opens + timedelta(hours=1)
    assert line.city.moment(opens, "en") in await told(resident)
    assert line.city.moment(opens + timedelta(hours=1), "en") in await told(resident)


async def test_what_is_told_can_be_read_in_every_language(open_line: Line) -> None:
    await waits(open_line)
    await waited(open_line, 3, 3, 3)
    for language in open_line.city.languages:
        resident = await waits(open_line, language=language)
        words = await told(resident)
        assert "{" not in words
        assert "3" in words


# Who writes while they wait ----------------------------------------------------------------------


async def test_who_writes_while_they_wait_is_told_that_it_was_added_and_where_they_stand(
    open_line: Line,
) -> None:
    await waits(open_line)
    resident = await waits(open_line)
    before = await resident.conversation()
    assert before.promised_at is not None
    city = open_line.city
    until = city.moment(before.promised_at, "en")
    notice = f"{city.say('wait_heard', 'en', position=2)} {city.say('wait_by', 'en', until=until)}"
    assert await resident.says("It is about the bins in Mill Lane") == [notice]
    assert (await resident.written())[-1].actor == "system"
    assert (await resident.endings())[-1] == ("handed_off", "held_by_person")
    after = await resident.conversation()
    assert (after.promised_at, after.epoch) == (before.promised_at, before.epoch), "nothing new is promised"
    assert await resident.says("The green ones") == []
    with time_machine.travel(now() + rules_of(city).heard + timedelta(seconds=1), tick=True):
        assert await resident.says("Are you there?") == [notice]
        assert await resident.says("Hello?") == []


async def test_who_writes_while_they_wait_is_told_how_long_it_takes_as_measured(open_line: Line) -> None:
    await waits(open_line)
    await waited(open_line, 5, 5, 5)
    (notice,) = await (await waits(open_line)).says("It is about the bins")
    assert "in the queue. It should take about 5 minutes" in notice


async def test_who_writes_while_nobody_is_there_is_told_when_and_by_when(
    lines: Callable[..., Line], script: Script, city: City
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    tomorrow = list(ALWAYS)[(now().astimezone(city.zone).weekday() + 1) % 7]
    line = lines(
        brain_url=script.url,
        rasa_url=script.url,
        city=with_hours(city, {**NEVER, tomorrow: ["08:00-18:00"]}, unmeasured_promise_minutes=60),
    )
    resident = await waits(line)
    (notice,) = await resident.says("It is about the bins")
    opens = line.city.next_opening(now())
    assert opens is not None
    assert line.city.say("wait_heard_closed", "en", opens=line.city.moment(opens, "en")) in notice
    assert line.city.moment(opens + timedelta(hours=1), "en") in notice


async def test_who_writes_while_they_wait_reads_it_in_their_language(open_line: Line) -> None:
    for language in open_line.city.languages:
        (notice,) = await (await waits(open_line, language=language)).says("123")
        assert "{" not in notice
        assert open_line.city.say("wait_heard", language).partition("{")[0] in notice


async def test_that_it_was_added_is_not_told_once_a_person_has_the_conversation(open_line: Line) -> None:
    phone = await waits(open_line, "sms")
    await phone.does(words="It is about the bins")
    await open_line.work(Lane.IN)
    await answers(phone)
    await open_line.work()
    states = {
        str(one.payload.get("say")): delivery.state
        for one in await phone.written()
        for delivery in await open_line.deliveries()
        if delivery.touchpoint_id == one.id
    }
    assert states["wait_heard"] == "cancelled"
    assert states["handed_off"] == states["agent_joined"] == "sent"
    assert await phone.says("Thank you") == []


async def test_danger_while_they_wait_brings_the_safe_words_every_time_and_nothing_else(
    open_line: Line,
) -> None:
    resident = await open_line.visitor()
    first, *_ = await resident.says("there is a gas leak")
    assert "112" in first
    (notice,) = await resident.says("please hurry")
    assert notice.startswith(open_line.city.say("wait_heard", "en", position=1))
    assert await resident.says("now my house is on fire") == [first]
    assert await resident.says("there is a gas leak in the cellar too") == [first]
    assert (await resident.conversation()).state == "waiting"


# Promises that were not kept ---------------------------------------------------------------------


async def test_a_promise_that_is_not_kept_is_noticed_told_once_and_renewed(open_line: Line) -> None:
    resident, other = await waits(open_line), await waits(open_line)
    broken = ago(minutes=1)
    await back_dates(resident, promised_at=broken)
    await open_line.sql("UPDATE wait SET since = :since", since=ago(hours=3))
    await ticks(open_line)
    await ticks(open_line)
    talk = await resident.conversation()
    assert talk.promised_at is not None
    assert talk.promised_at > now() + timedelta(hours=2)
    assert (talk.priority, talk.reason) == (30, "unhappy")
    flag = [t for t in await resident.touchpoints() if t.kind == "flag"][-1]
    assert [sign["signal"] for sign in flag.payload["signals"]] == ["waited_too_long"]
    said = open_line.city.say("wait_longer", "en", until=open_line.city.moment(talk.promised_at, "en"))
    assert [t.text for t in await resident.written() if t.payload.get("say") == "wait_longer"] == [said]
    assert await open_line.count("wait", "overdue_at IS NOT NULL") == 1
    assert (await other.conversation()).priority == 0
    async with open_line.database.begin() as session:
        assert (await handoff.waiting(session))[0].conversation_id == talk.id


async def test_who_was_answered_in_time_hears_nothing_of_promises(open_line: Line) -> None:
    resident = await waits(open_line)
    await answers(resident)
    await back_dates(resident, promised_at=ago(minutes=1))
    before = await resident.reads()
    await ticks(open_line)
    assert await resident.reads() == before


@pytest.mark.parametrize(("night", "hears"), [("00:00-24:00", False), ("00:00-00:00", True)])
async def test_no_phone_rings_at_night_for_a_promise(
    lines: Callable[..., Line], script: Script, city: City, night: str, hears: bool
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    hidden = night.replace("24:00", "23:59:59.999999")
    line = lines(brain_url=script.url, rasa_url=script.url, city=with_hours(city, ALWAYS, night=hidden))
    phone, chat = await waits(line, "sms"), await waits(line)
    for resident in (phone, chat):
        await back_dates(resident, promised_at=ago(minutes=1))
    await clock.once(line.writer, line.wakeups)
    heard = [
        any(t.payload.get("say") == "wait_longer" for t in await resident.written())
        for resident in (phone, chat)
    ]
    assert heard == [hears, True]


def test_a_night_may_go_over_midnight(city: City) -> None:
    rules = rules_of(with_hours(city, ALWAYS, night="21:00-08:00"))
    at = [datetime(2026, 11, 27, hour, tzinfo=DUBLIN) for hour in (20, 21, 23, 0, 7, 8, 12)]
    assert [waiting.at_night(rules, city, moment) for moment in at] == [
        *(False, True, True, True, True, False, False)
    ]


# An agent gone silent, and what was put aside ------------------------------------------------------


async def test_an_agent_gone_silent_gives_the_conversation_back_with_a_word(open_line: Line) -> None:
    resident = await waits(open_line)
    await answers(resident)
    await resident.says("Thank you, and one more thing")
    owed = ago(minutes=25)
    await back_dates(resident, unanswered_since=owed, holder_seen_at=ago(minutes=24))
    await ticks(open_line)
    talk = await resident.conversation()
    assert (talk.state, talk.holder, talk.reason, talk.waiting_since) == (
        State.WAITING,
        None,
        "agent_silent",
        owed,
    )
    assert (await resident.reads())[-1].startswith(open_line.city.say("agent_away", "en", name="Maria"))
    moved = [t for t in await resident.touchpoints() if t.kind == "handoff"][-1]
    assert (moved.actor, moved.payload["silent"]) == ("system", "Maria")
    await answers(resident, "I take over.", Viewer("system", "Ahmed"))
    assert (await resident.conversation()).holder == "Ahmed"


@pytest.mark.parametrize(
    "changes",
    [
        {"unanswered_since": None, "holder_seen_at": MOMENT - timedelta(days=9)},  # owes nothing
        {"holder_seen_at": "now"},  # is at it
        {"holder_seen_at": "now", "priority": 100},  # is at it, and it is danger
        {"snoozed_until": "later"},  # has put it aside
    ],
)
async def test_who_owes_nothing_or_is_at_it_keeps_the_conversation(
    open_line: Line, changes: dict[str, Any]
) -> None:
    resident = await waits(open_line)
    await answers(resident)
    moment = {"now": now(), "later": now() + timedelta(hours=1)}
    long_ago = {"unanswered_since": ago(days=2), "holder_seen_at": ago(days=2)}
    given = {name: moment[value] if isinstance(value, str) else value for name, value in changes.items()}
    await back_dates(resident, **{**long_ago, **given})
    await ticks(open_line)
    assert (await resident.conversation()).holder == "Maria"


async def test_nobody_is_called_silent_for_a_night(
    lines: Callable[..., Line], script: Script, city: City
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    line = lines(brain_url=script.url, rasa_url=script.url, city=with_hours(city, NEVER))
    resident = await waits(line)
    await answers(resident)
    await back_dates(resident, unanswered_since=ago(hours=12), holder_seen_at=ago(hours=12))
    await ticks(line)
    assert (await resident.conversation()).holder == "Maria"


@pytest.mark.parametrize("opening", [ALWAYS, NEVER], ids=["day", "night"])
async def test_danger_that_its_holder_says_nothing_to_is_everybodys_in_minutes_by_day_and_night(
    lines: Callable[..., Line], script: Script, city: City, opening: dict[str, Any]
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    line = lines(brain_url=script.url, rasa_url=script.url, city=with_hours(city, opening))
    resident, calm = await waits(line), await waits(line)
    for one in (resident, calm):
        await answers(one)
    await resident.says("I want to kill myself")
    await calm.says("And one more thing")
    for one, owed in ((resident, ago(minutes=1)), (calm, ago(minutes=3))):
        await back_dates(one, unanswered_since=owed, holder_seen_at=ago(minutes=3))
    await ticks(line)
    assert (await resident.conversation()).holder == "Maria"
    epoch = (await resident.conversation()).epoch
    await back_dates(resident, unanswered_since=ago(minutes=3))
    await ticks(line)
    talk = await resident.conversation()
    assert (talk.state, talk.holder, talk.reason, talk.department, talk.epoch) == (
        *(State.WAITING, None, "self_harm", None),
        epoch + 1,
    )
    moved = [t for t in await resident.touchpoints() if t.kind == "handoff"][-1]
    assert (moved.payload["reason"], moved.payload["silent"]) == ("agent_silent", "Maria")
    assert (await resident.reads())[-1].startswith(line.city.say("agent_away", "en", name="Maria"))
    assert (await calm.conversation()).holder == "Maria"


async def test_what_was_put_aside_comes_back_by_itself(open_line: Line) -> None:
    resident = await waits(open_line)
    await answers(resident)
    await back_dates(resident, snoozed_until=ago(seconds=1), holder_seen_at=ago(hours=2))
    await ticks(open_line)
    talk = await resident.conversation()
    assert (talk.holder, talk.snoozed_until) == ("Maria", None)
    assert [t.kind for t in await resident.touchpoints()][-1] == "snooze_ended"
    await ticks(open_line)
    assert (await resident.conversation()).holder == "Maria"


@pytest.mark.parametrize("snoozed", [None, timedelta(days=1)])
async def test_what_somebody_held_who_left_is_everybodys_again(
    open_line: Line, snoozed: timedelta | None
) -> None:
    resident = await waits(open_line)
    async with open_line.database.begin() as session:
        nina = await make(session, "Nina", Role.AGENT, ["contact_centre"])
    await answers(resident, viewer=viewer_of(nina, open_line.city))
    await back_dates(resident, snoozed_until=snoozed and now() + snoozed)
    await ticks(open_line)
    assert (await resident.conversation()).holder == "Nina"
    async with open_line.database.begin() as session:
        left = await locked(session, nina.id)
        assert left is not None
        await disable(session, left)
    await ticks(open_line)
    talk = await resident.conversation()
    assert (talk.state, talk.holder, talk.snoozed_until) == (State.WAITING, None, None)
    assert (await resident.reads())[-1].startswith(open_line.city.say("agent_away", "en", name="Nina"))


async def test_what_was_put_aside_by_somebody_of_another_department_now_is_everybodys(
    open_line: Line,
) -> None:
    resident = await waits(open_line)
    async with open_line.database.begin() as session:
        nina = await make(session, "Nina", Role.SUPERVISOR, ["contact_centre"])
    await answers(resident, viewer=viewer_of(nina, open_line.city))
    await back_dates(resident, snoozed_until=ago(seconds=1), department="waste")
    async with open_line.database.begin() as session:
        moved = await locked(session, nina.id)
        assert moved is not None
        await change(session, moved, role=Role.AGENT, departments=["roads"])
    await ticks(open_line)
    assert (await resident.conversation()).state == State.WAITING


async def test_who_wants_silence_hears_nothing_more_from_the_queue(
    lines: Callable[..., Line], script: Script, city: City, fake_telegram: telegram.FakeTelegram
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    given = {"telegram_bot_token": telegram.TOKEN, "telegram_api_url": fake_telegram.url}
    always = with_hours(city, ALWAYS, night="00:00-00:00")
    line = lines(
        brain_url=script.url,
        rasa_url=script.url,
        city=always,
        channels=[recorded.build("telegram", **given)],
    )
    resident = line.chatter()
    await resident.says("A person please")
    await resident.says("STOP")
    before = fake_telegram.texts(int(resident.address))
    await back_dates(resident, promised_at=ago(minutes=1))
    await ticks(line)
    which = str((await resident.conversation()).id)
    await by_hand.close(line.writer, line.wakeups, which, MARIA)
    await line.work()
    assert fake_telegram.texts(int(resident.address)) == before


# Who waits and then... -----------------------------------------------------------------------------


async def test_every_way_out_of_the_queue_ends_the_wait(open_line: Line) -> None:
    taken, closed, returned = [await waits(open_line) for _ in range(3)]
    await answers(taken)
    async with open_line.database.begin() as session:
        which = (await closed.conversation()).id
        await by_hand.resolve_within(session, open_line.writer, which, MARIA, "no_reply")
        which = (await returned.conversation()).id
        await by_hand.give_back_within(session, open_line.writer, which, MARIA)
    rows = await open_line.sql(
        "SELECT ended, taken_by, first_word_at IS NOT NULL FROM wait WHERE ended IS NOT NULL ORDER BY since"
    )
    assert rows == [("taken", "Maria", True), ("closed", None, False), ("returned", None, False)]
    assert await open_line.count("wait") == 3
    for resident in (taken, closed, returned):
        assert (await resident.conversation()).promised_at is None


async def test_who_writes_to_a_person_after_hours_is_told_when_they_are_read(
    lines: Callable[..., Line], script: Script, city: City
) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    tomorrow = list(ALWAYS)[(now().astimezone(city.zone).weekday() + 1) % 7]
    closed = with_hours(city, {**NEVER, tomorrow: ["08:00-18:00"]})
    line = lines(brain_url=script.url, rasa_url=script.url, city=closed)
    resident = await waits(line)
    await answers(resident)
    opens = line.city.next_opening(now())
    assert opens is not None
    said = line.city.say("held_closed", "en", name="Maria", opens=line.city.moment(opens, "en"))
    assert await resident.says("Are you still there?") == [said]
    assert await resident.says("Hello?") == []


async def joined(line: Line, chat: Resident, phone: Resident, *, agrees: bool) -> None:
    """One person with a browser and a phone, who may or may not want to be told things."""
    async with line.database.begin() as session:
        one, other = await phone.place(), await chat.place()
        await merging.merge(session, one.citizen_id, other.citizen_id, by=MARIA, reason="they said so")
        if agrees:
            origin = consent.Origin(other.id, "web_chat")
            await consent.grant(session, line.city, origin, consent.Purpose.ALERTS, language="en")


async def elsewhere(resident: Resident) -> list[str]:
    return [t.text or "" for t in await resident.written() if t.payload.get("say") == "answer_waits"]


async def test_an_answer_in_a_closed_browser_is_told_once_where_the_resident_agreed(open_line: Line) -> None:
    phone, chat = open_line.texter(), await open_line.visitor()
    await phone.does(words="hello")
    await chat.does(words="hello")
    await joined(open_line, chat, phone, agrees=True)
    await open_line.sql(
        "UPDATE conversation SET state = 'closed', closed_at = now() WHERE id = :id",
        id=(await phone.conversation()).id,
    )
    await chat.says("A person please")
    assert open_line.city.say("wait_elsewhere", "en", channel="text messages") in await told(chat)
    await answers(chat)
    await ticks(open_line)
    assert await elsewhere(phone) == []  # they may be reading it right now
    await open_line.sql("UPDATE chat_session SET unread_since = unread_since - interval '3 minutes'")
    await ticks(open_line)
    await answers(chat, "One more thing.")
    await ticks(open_line)
    assert await elsewhere(phone) == [
        open_line.city.say("answer_waits", "en", link=open_line.writer.site_url)
    ]
    assert (await phone.conversation()).follow_up, "nobody came about anything there"
    last = (await open_line.store.feed(chat.address, 0))[-1]
    await open_line.store.feed(chat.address, last.seq)
    assert await open_line.sql("SELECT unread_since, unread_seq, noticed_at FROM chat_session") == [
        (None, None, None)
    ]


@pytest.mark.parametrize("agrees", [True, False])
async def test_who_reads_it_or_did_not_agree_is_told_nothing_elsewhere(open_line: Line, agrees: bool) -> None:
    phone, chat = open_line.texter(), await open_line.visitor()
    await phone.does(words="hello")
    await chat.does(words="hello")
    await joined(open_line, chat, phone, agrees=agrees)
    await chat.says("A person please")
    await answers(chat)
    if agrees:
        last = (await open_line.store.feed(chat.address, 0))[-1]
        await open_line.store.feed(chat.address, last.seq)
    await open_line.sql("UPDATE chat_session SET unread_since = unread_since - interval '3 minutes'")
    await ticks(open_line)
    assert await elsewhere(phone) == []


def test_every_hour_of_a_week_has_one_answer_to_whether_somebody_is_there(whole_city: City) -> None:
    monday = datetime(2026, 11, 23, tzinfo=DUBLIN)
    for hour in range(7 * 24):
        at = monday + timedelta(hours=hour)
        assert (hours.closing(whole_city, at) is not None) == whole_city.is_open(at)


def test_rules_of_the_city_are_complete(whole_city: City) -> None:
    rules = rules_of(whole_city)
    assert isinstance(rules, Rules)
    assert [r.key for r in rules.resolutions.values() if r.silent] == ["spam"]
    for language, key in itertools.product(whole_city.languages, ("wait_longer", "agent_away")):
        assert key in whole_city.responses[language]
