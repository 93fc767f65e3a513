"""The managers' figures: what is counted, what small groups hide, and what an erasure leaves."""

from __future__ import annotations

import io
import uuid
import zipfile
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address
from contact_hub.database import new_id, now
from contact_hub.flags.models import Flag
from contact_hub.handoff.models import Wait
from contact_hub.journey import by_hand
from contact_hub.managers import figure_tables, figures, long_run
from contact_hub.managers.figures import By
from contact_hub.managers.hiding import FEWEST, few, hidden
from contact_hub.managers.period import NoPeriod, Period
from contact_hub.managers.tables import FEW, Figure, Table, plain, shown
from contact_hub.privacy import erasure
from contact_hub.privacy.schedule import schedule_of
from contact_hub.ratings.models import Asking, Rating
from contact_hub.staff.access import SYSTEM, Viewer
from contact_hub.staff.models import Role
from tests.hub.line import Line, Resident, Script, found, says, turn
from tests.hub.test_staff import browser, browsers, hire, sign_in

__all__ = ["browser", "browsers"]

MARIA = Viewer("system", "Maria")
MANAGER = Viewer("staff", "Nora Ek", uuid.uuid4(), Role.MANAGER)


def _always(told: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    return told


def last_days(line: Line, days: int = 40) -> Period:
    today = now().astimezone(line.city.zone).date()
    return Period(today - timedelta(days=days), today, line.city.zone)


async def counted(line: Line, by: By | None = None, viewer: Viewer = MANAGER) -> Any:
    """What was counted by group, or all together."""
    async with line.database.begin() as session:
        together, apart = await figures.counted(session, viewer, last_days(line), by or By.WEEK)
    return together if by is None else apart


async def aged(line: Line, resident: Resident, days: float, *, closed: bool = True) -> uuid.UUID:
    """Let a resident's talk have begun and ended so many days ago."""
    talk = await resident.conversation()
    await line.sql(
        "UPDATE conversation SET opened_at = :at, last_activity_at = :at, closed_at = :closed,"
        " state = CASE WHEN :shut THEN 'closed' ELSE state END WHERE id = :id",
        at=now() - timedelta(days=days),
        closed=now() - timedelta(days=days) if closed else None,
        shut=closed,
        id=talk.id,
    )
    return talk.id


async def of_topic(line: Line, talk: uuid.UUID, department: str) -> None:
    await line.sql("UPDATE conversation SET department = :d WHERE id = :id", d=department, id=talk)


# What is counted -----------------------------------------------------------------------------------


async def test_contained_is_who_was_helped_by_the_bot_and_stayed_away(talking: Line) -> None:
    satisfied, back, elsewhere, late = [await talking.visitor() for _ in range(4)]
    for resident in (satisfied, back, elsewhere, late):
        await resident.says("Hello")
        await of_topic(talking, await aged(talking, resident, 20), "waste")
    for resident, days, department in ((back, 15, "waste"), (elsewhere, 15, "parking"), (late, 12, "waste")):
        await resident.says("Hello again")
        await of_topic(talking, await aged(talking, resident, days, closed=False), department)
    counts = await counted(talking, By.TOPIC)
    assert (counts["waste"]["talks"], counts["waste"]["settled"]) == (6, 6)
    # Not contained: who came back about waste within seven days; eight days later is another matter.
    assert counts["waste"]["contained"] == 5
    assert counts["parking"]["contained"] == 1


async def test_coming_back_is_seen_past_other_talks_and_past_the_period(talking: Line) -> None:
    resident, phone = await talking.visitor(), talking.texter()
    await phone.says("Hello")
    await resident.says("Hello")
    citizen = (await resident.place()).citizen_id
    await talking.sql("UPDATE address SET citizen_id = :c WHERE channel = 'sms'", c=citizen)

    async def lasted(who: Resident, begun: int, over: int) -> None:
        talk = await aged(talking, who, over)
        await of_topic(talking, talk, "waste")
        await talking.sql(
            "UPDATE conversation SET opened_at = :at WHERE id = :id",
            at=now() - timedelta(days=begun),
            id=talk,
        )

    async def contained(first: int, last: int) -> tuple[int, int]:
        today = now().astimezone(talking.city.zone).date()
        period = Period(today - timedelta(days=first), today - timedelta(days=last), talking.city.zone)
        async with talking.database.begin() as session:
            together, _ = await figures.counted(session, MANAGER, period, By.WEEK)
        return together["settled"], together["contained"]

    await lasted(resident, 90, 50)
    await lasted(phone, 52, 52)
    assert await contained(100, 60) == (1, 1), "the other began before this one was over"
    await resident.says("Hello again")
    await lasted(resident, 47, 47)
    assert await contained(100, 60) == (1, 0), "three days after its end, long after the period"
    assert await contained(55, 50) == (1, 0), "and five days after the other's"
    assert await contained(100, 40) == (3, 1)


async def test_what_ended_less_than_seven_days_ago_is_not_judged_yet(talking: Line) -> None:
    resident = await talking.visitor()
    await resident.says("Hello")
    await aged(talking, resident, 6)
    assert ((await counted(talking))["talks"], (await counted(talking))["settled"]) == (1, 0)


async def test_whoever_was_given_to_a_person_is_not_contained(talking: Line, script: Script) -> None:
    script.on_turn = lambda asked: turn({"handoff": {"reason": "asked"}})
    resident = await talking.visitor()
    await resident.says("A person please")
    await talking.sql("UPDATE wait SET since = since - interval '1 hour'")
    which = str((await resident.conversation()).id)
    await by_hand.reply(talking.writer, talking.wakeups, which, MARIA, "Good morning.")
    await by_hand.close(talking.writer, talking.wakeups, which, MARIA)
    await talking.sql(
        "UPDATE conversation SET opened_at = closed_at - interval '10 days 2 hours',"
        " closed_at = closed_at - interval '10 days'"
    )
    counts = await counted(talking)
    assert (counts["settled"], counts["contained"], counts["waits"], counts["heard"]) == (1, 0, 1, 1)
    assert counts["first_word"] == pytest.approx(60, abs=2)
    assert (counts["resolved"], counts["resolution"]) == (1, pytest.approx(120))


async def test_a_promise_is_kept_by_the_first_word_and_broken_by_the_clock(talking: Line) -> None:
    resident = await talking.visitor()
    await resident.says("Hello")
    talk, moment = await resident.conversation(), now()

    def wait(minutes: int, promised: int | None, heard: int | None, ended: str | None) -> Wait:
        since = moment - timedelta(minutes=minutes)
        return Wait(
            id=new_id(),
            conversation_id=talk.id,
            address_id=talk.address_id,
            channel="web_chat",
            department="waste",
            language="en",
            reason="asked",
            priority=0,
            since=since,
            promised_at=None if promised is None else since + timedelta(minutes=promised),
            first_word_at=None if heard is None else since + timedelta(minutes=heard),
            ended=ended,
            ended_at=None if ended is None else moment,
        )

    async with talking.database.begin() as session:
        session.add_all(
            [
                wait(300, 60, 10, "taken"),  # kept
                wait(299, 60, 60, "taken"),  # kept to the minute
                wait(298, 60, 61, "taken"),  # broken
                wait(297, 300, None, "closed"),  # the resident left before its time: nobody's promise
                wait(296, None, 5, "taken"),  # nothing was promised
                wait(295, 60, None, None),  # broken: the time is over and nobody came
                wait(294, 60, None, "closed"),  # broken: the time was over when the resident left,
                wait(293, 60, None, "returned"),  # or when the bot went on,
                wait(292, 60, None, "taken"),  # or when somebody took it, who said nothing
                wait(291, 300, None, "taken"),  # there is time left
            ]
        )
    counts = await counted(talking)
    assert (counts["waits"], counts["promised"], counts["kept"]) == (10, 7, 2)
    assert counts["first_word"] == pytest.approx(35)


async def test_the_third_contact_within_two_weeks_counts_over_all_channels(talking: Line) -> None:
    resident, phone = await talking.visitor(), talking.texter()
    await phone.says("Hello")
    await resident.says("My bin was not emptied")
    await of_topic(talking, await aged(talking, resident, 30), "waste")
    citizen = (await resident.place()).citizen_id
    await talking.sql("UPDATE address SET citizen_id = :c WHERE channel = 'sms'", c=citizen)
    await of_topic(talking, await aged(talking, phone, 13), "waste")
    for days in (9, 2):
        await resident.says("My bin again")
        await of_topic(talking, await aged(talking, resident, days), "waste")
    counts = await counted(talking)
    assert (counts["talks"], counts["repeated"]) == (4, 1), "only the last is a third within 14 days"


async def test_what_the_city_begins_by_itself_is_no_contact_until_the_resident_writes(talking: Line) -> None:
    resident = talking.texter()

    async def told() -> None:
        """The city says something where nobody wrote."""
        async with talking.database.begin() as session:
            place = await session.get_one(Address, (await resident.place()).id)
            await citizens.open_conversation(session, place, by_city=True)

    await resident.says("My bin was not emptied")
    await of_topic(talking, await aged(talking, resident, 20), "waste")
    for days in (18, 16):
        await told()
        await of_topic(talking, await aged(talking, resident, days), "waste")
    counts = await counted(talking)
    assert (counts["talks"], counts["settled"], counts["contained"], counts["repeated"]) == (1, 1, 1, 0)
    async with talking.database.begin() as session:
        months = (await long_run.long_run(session, now().date())).rows
        counted_months = await talking.count("conversation", "NOT follow_up")
    assert (counted_months, [row[1] for row in months if row[1] not in {0, FEW}]) == (1, [])
    await told()
    await resident.says("What is this about?")
    assert (await counted(talking))["talks"] == 2


async def test_danger_has_its_own_row_among_the_flags(talking: Line) -> None:
    for _ in range(6):
        await (await talking.visitor()).says("my house is on fire")
    made = await all_tables(talking)
    assert [list(row) for row in made["levels"].rows] == [["Uneasy", 0], ["Unhappy", 0], ["Danger", 6]]
    overview = {row[0]: row[1:3] for row in made["overview"].rows}
    assert overview["Flagged"] == [Figure(1.0, "share"), 6]


async def test_answers_are_counted_by_what_became_of_them(talking: Line, script: Script) -> None:
    resident = await talking.visitor("es")
    for outcome in ("answered", "answered", "answered", "refused", "clarified"):
        told = turn({"answer": found(outcome)})
        script.on_turn = partial(_always, told)
        await resident.says("¿Y el reciclaje?")
    await resident.presses((await resident.written())[0].payload["buttons"][0]["id"])
    counts = (await counted(talking, By.LANGUAGE))["es"]
    assert (counts["answers"], counts["answered"], counts["refused"]) == (5, 3, 1)
    assert (counts["thumbs"], counts["helpful"]) == (1, 1)
    assert 0 < counts["bot_minutes"] < 1
    assert (await counted(talking, By.CHANNEL))["web_chat"]["answers"] == 5


async def test_a_district_is_where_the_problem_is(talking: Line, script: Script) -> None:
    problem = {"category": "pothole", "place": "Quay Road 7", "description": "Deep", "photo": None}
    script.on_turn = lambda asked: turn({"report": problem})
    resident = await talking.visitor()
    await resident.says("A deep hole at Quay Road 7")
    script.on_turn = lambda asked: says("greet")
    await (await talking.visitor()).says("Hello")
    apart = await counted(talking, By.DISTRICT)
    assert {group: counts["talks"] for group, counts in apart.items()} == {"Harbour": 1, "": 1}
    async with talking.database.begin() as session:
        reports = await figures.listed(session, MANAGER, last_days(talking), "reports")
    assert reports == {"Harbour": 1}


@pytest.mark.parametrize(
    ("place", "district"),
    [
        ("harbour street 12, by the fountain", "Harbour"),
        ("Old Market Street", "Old Town"),
        ("NORTHFIELD", "Northfield"),
        ("corner of Bishop’s Steps", "Old Town"),
        ("Millbank Lane", None),
        ("53.34, -6.26", None),
    ],
)
def test_a_place_tells_its_district(city: Any, place: str, district: str | None) -> None:
    assert city.district_of(place) == district


def test_every_street_lies_in_one_district(city: Any) -> None:
    placed = [street for streets in city.settings["district_streets"].values() for street in streets]
    assert sorted(placed) == sorted(set(placed))
    assert set(city.settings["district_streets"]) == set(city.settings["districts"])
    assert set(placed) == set(city.settings["streets"])


# What small groups hide --------------------------------------------------------------------------


@given(st.dictionaries(st.text(min_size=1, max_size=3), st.integers(0, 30), max_size=12))
def test_no_small_group_can_be_told_from_the_others_and_the_total(counts: dict[str, int]) -> None:
    shut = hidden(counts)
    assert all(group in shut for group, n in counts.items() if 0 < n < FEWEST)
    assert not any(counts[group] == 0 for group in shut)
    told = {group: n for group, n in counts.items() if group not in shut}
    missing = sum(counts.values()) - sum(told.values())
    if any(0 < n < FEWEST for n in counts.values()) and any(told.values()):
        assert len(shut) >= 2, "one that is missing is the total less the others"
        assert missing >= FEWEST, "together the missing are no small group either"


def test_nothing_is_hidden_where_nobody_is_few() -> None:
    assert hidden({"a": 5, "b": 90, "c": 0}) == frozenset()
    assert hidden({"a": 4, "b": 90, "c": 7}) == {"a", "c"}
    assert hidden({"a": 1, "b": 1, "c": 9, "d": 50}) == {"a", "b", "c"}


@given(
    st.dictionaries(
        st.sampled_from("abcdefgh"), st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1
    )
)
def test_nobody_reckons_a_small_part_from_what_is_told_beside_it(groups: dict[str, tuple[int, int]]) -> None:
    """Groups of a part and a rest; their numbers and all totals are told where the rules tell them."""
    parts, rests = ({group: both[at] for group, both in groups.items()} for at in (0, 1))
    sizes = {group: sum(both) for group, both in groups.items()}
    small = hidden(sizes)
    shut = hidden(parts, rests, beyond=small)
    assert small <= shut
    if any(few(sum(one.values())) for one in (parts, rests)):
        return  # the total is not told either
    for one in (parts, rests):
        missing = sum(one[group] for group in shut)
        for group, n in one.items():
            most = min(missing, sizes[group] if group not in small else missing)
            others = sum(sizes[other] if other not in small else missing for other in shut - {group})
            if few(n):
                assert group in shut
                assert max(0, missing - others) < most, "what the others leave open is more than one number"
                assert most >= FEWEST


def test_what_another_table_tells_is_hidden_last() -> None:
    counts = {"answered": 90, "refused": 7, "clarified": 3, "withheld": 20}
    assert hidden(counts, told_elsewhere={"answered", "refused"}) == {"clarified", "withheld"}
    assert hidden({**counts, "withheld": 0}, told_elsewhere={"answered", "refused"}) == {
        "clarified",
        "refused",
    }


async def populated(line: Line, many: int = 6, few: int = 2) -> None:
    for _ in range(many):
        await (await line.visitor("en")).says("Hello")
    for number in range(few):
        await line.texter(f"+1555123900{number}").says("Hello")


async def all_tables(line: Line, viewer: Viewer = MANAGER, by: By = By.CHANNEL) -> dict[str, Table]:
    async with line.database.begin() as session:
        made = await figure_tables.tables(session, viewer, line.city, last_days(line), by)
    return {table.key: table for table in made}


async def test_small_groups_are_hidden_with_what_would_tell_them(talking: Line) -> None:
    await populated(talking)
    made = await all_tables(talking)
    rows = {row[0]: list(row[1:]) for row in made["bot"].rows}
    assert (rows["Web chat"][0], rows["Text message"][0]) == (FEW, FEW)
    overview = {row[0]: row[1:3] for row in made["overview"].rows}
    assert overview["Conversations"] == [Figure(8.0, "count"), 8]
    assert "hidden" in [plain(cell) for cell in rows["Text message"]]


async def test_a_city_with_hardly_anybody_tells_nothing(talking: Line) -> None:
    await populated(talking, many=3, few=0)
    overview = {row[0]: row[1:3] for row in (await all_tables(talking))["overview"].rows}
    assert overview["Conversations"] == [Figure(FEW, "count"), FEW]


async def rated(line: Line, resident: Resident, score: int | None) -> None:
    talk = await resident.conversation()
    async with line.database.begin() as session:
        session.add(
            Rating(
                id=new_id(),
                conversation_id=talk.id,
                address_id=talk.address_id,
                channel=resident.channel,
                state=Asking.ASKED if score is None else Asking.GIVEN,
                score=score,
                rated_at=None if score is None else now(),
                asked_at=now(),
            )
        )


async def flagged(line: Line, resident: Resident) -> None:
    talk = await resident.conversation()
    async with line.database.begin() as session:
        session.add(
            Flag(
                id=new_id(),
                conversation_id=talk.id,
                address_id=talk.address_id,
                channel=resident.channel,
                touchpoint_id=new_id(),
                score=0.7,
                level="unhappy",
                raised_at=now(),
            )
        )


async def test_one_bad_score_cannot_be_told_from_the_mean(talking: Line) -> None:
    residents = [await talking.visitor() for _ in range(12)]
    for number, resident in enumerate(residents):
        await resident.says("Hello")
        await rated(talking, resident, 1 if number == 0 else 5)
    made = await all_tables(talking)
    assert [row[1] for row in made["scores"].rows] == [FEW, 0, 0, 0, FEW]
    overview = {row[0]: row[1:3] for row in made["overview"].rows}
    assert overview["Satisfaction"] == [Figure(FEW, "score"), 12]
    assert column(made["voices"], "Satisfaction") == {"Web chat": FEW}
    async with talking.database.begin() as session:
        months = await long_run.long_run(session, now().date())
    assert months.rows[-1][-2:] == [12, FEW]
    for number in range(1, 5):  # as soon as nobody stands out, the mean is told
        await talking.sql(
            "UPDATE rating SET score = 1 WHERE conversation_id = :c",
            c=(await residents[number].conversation()).id,
        )
    made = await all_tables(talking)
    assert column(made["voices"], "Satisfaction") == {"Web chat": pytest.approx((5 * 1 + 7 * 5) / 12)}


async def test_a_share_of_a_few_or_of_all_but_a_few_is_hidden(talking: Line) -> None:
    residents = [await talking.visitor() for _ in range(12)]
    for number, resident in enumerate(residents):
        await resident.says("Hello")
        await rated(talking, resident, 4 if number > 1 else None)
        if number < 3:
            await flagged(talking, resident)
    made = await all_tables(talking)
    overview = {row[0]: row[1:3] for row in made["overview"].rows}
    assert overview["Flagged"] == [Figure(FEW, "share"), 12], "three of twelve"
    assert overview["Answered the question"] == [Figure(FEW, "share"), FEW], "ten are told as having rated"
    assert overview["Satisfaction"] == [Figure(4.0, "score"), 10]
    assert overview["Third contact"] == [Figure(0.0, "share"), 12], "nobody is told"
    voices = made["voices"]
    assert (column(voices, "Flagged"), column(voices, "of (flagged)")) == (
        {"Web chat": FEW},
        {"Web chat": 12},
    )
    assert column(voices, "of (answered the question)") == {"Web chat": FEW}


async def test_one_channel_with_few_flags_hides_the_next_too(talking: Line) -> None:
    for number in range(18):
        resident = talking.texter(f"+155512390{number:02}") if number < 9 else await talking.visitor()
        await resident.says("Hello")
        if number in {0, 1, *range(9, 15)}:
            await flagged(talking, resident)
    for number in range(9):
        await talking.chatter(4711 + number).says("Hello")
    made = await all_tables(talking)
    overview = {row[0]: row[1:3] for row in made["overview"].rows}
    assert overview["Flagged"] == [Figure(8 / 27, "share"), 27]
    assert column(made["voices"], "Flagged") == {"Text message": FEW, "Web chat": FEW, "Telegram": 0.0}


def column(table: Table, name: str) -> dict[Any, Any]:
    at = [one.name for one in table.columns].index(name)
    return {row[0]: row[at] for row in table.rows}


async def test_files_and_charts_hide_what_the_page_hides(
    line: Line, talking: Line, browser: httpx.AsyncClient
) -> None:
    for number in range(12):
        resident = await talking.visitor()
        await resident.says("Hello")
        await rated(talking, resident, 1 if number == 0 else 5)
        if number < 3:
            await flagged(talking, resident)
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    today = now().astimezone(line.city.zone).date()
    asked = f"first={today}&last={today}&by=channel"
    page = (await browser.get(f"/managers?{asked}")).text
    for told in ("25.0 %", 'data-value="0.25"', "4.67", "4.66"):
        assert told not in page, "neither in words nor for a chart"
    for key in ("overview", "voices", "scores", "months"):
        for kind in ("csv", "json"):
            told = (await browser.get(f"/managers/export/{key}.{kind}?{asked}")).text
            assert "hidden" in told
            assert "0.25" not in told and "4.66" not in told
        book = (await browser.get(f"/managers/export/{key}.xlsx?{asked}")).content
        with zipfile.ZipFile(io.BytesIO(book)) as pages:
            sheet = pages.read("xl/worksheets/sheet1.xml").decode()
        assert "<v>0.25</v>" not in sheet and "4.66" not in sheet
    looks = await line.sql("SELECT viewer_name, words FROM audit WHERE action = 'figures.read'")
    assert [(row.viewer_name, row.words["period"]) for row in looks] == [("Nora Ek", f"{today} to {today}")]


async def test_weeks_without_anybody_are_there_as_nothing(talking: Line) -> None:
    await populated(talking, few=0)
    rows = (await all_tables(talking, by=By.WEEK))["bot"].rows
    assert len(rows) in {6, 7}
    assert [row[1] for row in rows] == [*([0] * (len(rows) - 1)), 6]
    assert rows[0][2] is None


def test_cells_are_told_in_words() -> None:
    assert [shown(cell, "share") for cell in (0.8333, None, FEW)] == ["83.3 %", "–", "hidden"]
    assert [shown(cell, "minutes") for cell in (0.5, 12.4, 125, 3000)] == [
        "30 s",
        "12 min",
        "2 h 5 min",
        "2 d 2 h",
    ]
    assert (shown(4.256, "score"), shown(1234567, "count")) == ("4.26", "1\u202f234\u202f567")


# Who sees which ----------------------------------------------------------------------------------


async def test_a_supervisor_sees_their_departments_only(talking: Line) -> None:
    for department in ("waste", "waste", "parks"):
        resident = await talking.visitor()
        await resident.says("Hello")
        await of_topic(talking, (await resident.conversation()).id, department)
    supervisor = Viewer("staff", "Sam", uuid.uuid4(), Role.SUPERVISOR, frozenset({"waste"}))
    nobody = Viewer("staff", "Pat", uuid.uuid4(), Role.SUPERVISOR)
    apart = await counted(talking, By.TOPIC, supervisor)
    assert {group: counts["talks"] for group, counts in apart.items()} == {"waste": 2}
    assert await counted(talking, By.TOPIC, nobody) == {}


async def test_the_page_shows_tables_that_charts_are_drawn_from(
    line: Line, talking: Line, browser: httpx.AsyncClient
) -> None:
    await populated(talking)
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    today = now().astimezone(line.city.zone).date()
    for by in figure_tables.BY_NAMES:
        answer = await browser.get(f"/managers?first={today}&last={today}&by={by}")
        assert answer.status_code == 200
        assert f"The bot by {figure_tables.BY_NAMES[by]}" in answer.text
        assert 'data-of="table-bot"' in answer.text
        assert "<style" not in answer.text and "style=" not in answer.text
        assert "onclick" not in answer.text and "<script>" not in answer.text
    for wrong in (
        "first=tomorrow",
        "first=2026-02-02&last=2026-01-01",
        "first=2000-01-01",
        "last=9999-01-01",
    ):
        assert (await browser.get(f"/managers?{wrong}")).status_code == 422


def test_a_period_is_whole_days_of_the_city(city: Any) -> None:
    at = datetime(2026, 10, 27, 12, tzinfo=UTC)
    usual = Period.asked("", "", city.zone, at)
    assert (usual.first, usual.last) == (date(2026, 9, 29), date(2026, 10, 26))
    over_the_clock_change = Period.asked("2026-10-25", "2026-10-25", city.zone, at)
    assert over_the_clock_change.until - over_the_clock_change.since == timedelta(hours=25)
    for first, last in (("2026-10-01", "2026-09-01"), ("x", ""), ("2024-01-01", "2026-01-01")):
        with pytest.raises(NoPeriod):
            Period.asked(first, last, city.zone, at)


# What an erasure leaves --------------------------------------------------------------------------


async def test_the_long_run_reads_the_same_after_an_erasure(talking: Line, script: Script) -> None:
    script.on_turn = lambda asked: turn({"answer": found()})
    residents: Sequence[Resident] = [await talking.visitor() for _ in range(7)]
    for resident in residents:
        await resident.says("When is my bin emptied?")
        talk = await resident.conversation()
        async with talking.database.begin() as session:
            common = {"conversation_id": talk.id, "address_id": talk.address_id, "channel": "web_chat"}
            session.add(
                Rating(id=new_id(), **common, state=Asking.GIVEN, score=4, rated_at=now(), asked_at=now())
            )
            session.add(
                Flag(
                    id=new_id(), **common, touchpoint_id=new_id(), score=0.7, level="unhappy", raised_at=now()
                )
            )

    async def the_months() -> Any:
        async with talking.database.begin() as session:
            return (await long_run.long_run(session, now().date())).rows

    before = await the_months()
    assert before[-1][1:] == [7, 7, 0, 0, 7, 7, 4.0]
    async with talking.database.begin() as session:
        await erasure.erase(
            session,
            SYSTEM,
            (await residents[0].place()).citizen_id,
            schedule=schedule_of(talking.city),
            folder=talking.folder,
            reason="asked",
        )
    assert await talking.count("rating") == 6
    assert await the_months() == before
