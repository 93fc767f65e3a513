"""Judging conversations: what is drawn, what a judge sees, and what the verdicts come to."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contact_hub.citizens.sealed import seal
from contact_hub.database import new_id, now
from contact_hub.flags.models import Flag, Level
from contact_hub.managers import drawing, estimates, reviews
from contact_hub.managers.period import Period
from contact_hub.staff.access import Viewer
from contact_hub.staff.models import Role
from tests.hub.desk import colleague
from tests.hub.line import Line, Resident
from tests.hub.test_staff import Browsers, browser, browsers, hire, sign_in

__all__ = ["browser", "browsers"]

NORA = Viewer("staff", "Nora Ek", uuid.uuid4(), Role.MANAGER)
DAYS_AGO = 3


@pytest.fixture
async def ended(talking: Line) -> Any:
    """Makes conversations that ended some days ago, flagged or not."""

    async def make(
        words: Sequence[str] = ("Where is the library?",),
        *,
        level: Level | None = None,
        department: str = "libraries",
        days: int = DAYS_AGO,
    ) -> tuple[Resident, uuid.UUID | None]:
        resident = await talking.visitor()
        for said in words:
            await resident.says(said)
        talk, at = await resident.conversation(), now() - timedelta(days=days)
        await talking.sql(
            "UPDATE conversation SET state = 'closed', department = :d, closed_at = :at WHERE id = :id",
            d=department,
            at=at,
            id=talk.id,
        )
        if level is None:
            return resident, None
        first = next(t for t in await resident.touchpoints() if t.direction == "in")
        flag = Flag(
            id=new_id(),
            conversation_id=talk.id,
            address_id=talk.address_id,
            touchpoint_id=first.id,
            channel="web_chat",
            department=department,
            language="en",
            score=0.81,
            level=level,
            signals=[
                {
                    "signal": "words",
                    "weight": 0.81,
                    "evidence": str(first.id),
                    "words": "The words of this message read as dissatisfied.",
                }
            ],
            raised_at=at,
        )
        async with talking.database.begin() as session:
            session.add(flag)
        return resident, flag.id

    return make


async def draw(line: Line) -> int:
    async with line.database.begin() as session:
        return await drawing.nightly(session, line.city)


async def under_review(line: Line) -> list[Any]:
    return await line.sql("SELECT * FROM review ORDER BY drawn_for, conversation_id")


def the_day(line: Line, days: int = DAYS_AGO) -> date:
    return (now() - timedelta(days=days)).astimezone(line.city.zone).date()


# Drawing ---------------------------------------------------------------------------------------------


async def test_a_day_is_drawn_once_by_chance_and_stands_for_all_of_it(talking: Line, ended: Any) -> None:
    for _ in range(14):
        await ended()
    for _ in range(7):
        await ended(level=Level.UNHAPPY)
    assert await draw(talking) == 15
    drawn = await under_review(talking)
    assert [row.drawn_for for row in drawn] == ["sample"] * 5 + ["unflagged"] * 10
    assert {row.day for row in drawn} == {the_day(talking)}
    assert {row.stands_for for row in drawn} == {7 / 5, 14 / 10}
    assert await draw(talking) == 0, "the next tick of the clock draws nothing more"


async def test_what_is_drawn_is_chance_and_not_choice(talking: Line, ended: Any) -> None:
    flags = [(await ended(level=Level.UNHAPPY))[1] for _ in range(8)]
    await draw(talking)
    by_digest = await talking.sql("SELECT id FROM flag ORDER BY md5(id::text) LIMIT 5")
    drawn = {row.flag_id for row in await under_review(talking) if row.flag_id}
    assert drawn == {row.id for row in by_digest} < set(flags)


async def test_talks_that_go_on_or_ended_yesterday_or_said_nothing_wait(talking: Line, ended: Any) -> None:
    await (await talking.visitor()).says("Hello")
    await ended(days=1)
    silent = await talking.visitor()
    await silent.presses("nonsense")
    await talking.sql(
        "UPDATE conversation SET state = 'closed', closed_at = :at WHERE id = :id",
        at=now() - timedelta(days=3),
        id=(await silent.conversation()).id,
    )
    assert await draw(talking) == 0


async def test_a_talk_that_nobody_closed_counts_for_the_day_it_was_left(talking: Line) -> None:
    resident = await talking.visitor()
    await resident.says("Hello")
    await talking.sql("UPDATE conversation SET last_activity_at = :at", at=now() - timedelta(days=4))
    assert await draw(talking) == 1
    (row,) = await under_review(talking)
    assert (row.drawn_for, row.day) == ("unflagged", the_day(talking, 4))


async def test_every_dismissed_flag_is_judged_and_may_be_part_of_the_sample(
    talking: Line, ended: Any
) -> None:
    for _ in range(6):
        await ended(level=Level.UNHAPPY)
    await talking.sql(
        "UPDATE flag SET dismissed_at = now(), dismissed_by = 'Maria', dismissed_why = 'He was joking.'"
    )
    assert await draw(talking) == 11
    drawn = await under_review(talking)
    assert sorted(row.drawn_for for row in drawn) == ["dismissed"] + ["sample"] * 5
    assert {row.stands_for for row in drawn if row.drawn_for == "sample"} == {6 / 5}


async def test_danger_is_no_part_of_either_sample_unless_its_flag_was_dismissed(
    talking: Line, ended: Any
) -> None:
    await ended(["my house is on fire"])
    _, unhappy = await ended(level=Level.UNHAPPY)
    await talking.sql("UPDATE flag SET raised_at = :at", at=now() - timedelta(days=DAYS_AGO))
    assert await draw(talking) == 1
    assert [row.flag_id for row in await under_review(talking)] == [unhappy]
    day = the_day(talking)
    async with talking.database.begin() as session:
        found = await reviews.findings(session, NORA, Period(day, day, talking.city.zone))
    assert (found.flagged, found.unflagged) == (1, 0)
    await talking.sql(
        "UPDATE flag SET dismissed_at = now(), dismissed_by = 'Maria', dismissed_why = 'A film.'"
        " WHERE level = 'danger'"
    )
    assert await draw(talking) == 1
    assert [row.drawn_for for row in await under_review(talking)] == ["dismissed", "sample"]


async def test_nobody_judges_what_they_dismissed_themselves(talking: Line, ended: Any) -> None:
    await ended(level=Level.UNHAPPY)
    await talking.sql("UPDATE flag SET dismissed_at = now(), dismissed_by = 'Ines', dismissed_why = 'No.'")
    await draw(talking)
    (drawn,) = await under_review(talking)
    async with talking.database.begin() as session:
        ines = Viewer("system", "Ines")
        with pytest.raises(reviews.CannotJudge, match="somebody else has to judge"):
            await reviews.judge(session, ines, drawn.id, "no", "It was nothing.")
        assert await reviews.judge(session, Viewer("system", "Nora"), drawn.id, "yes", "He was cross.")


async def test_drawing_more_ends_before_every_conversation_is_drawn(talking: Line, ended: Any) -> None:
    for _ in range(50):
        await ended()
    await draw(talking)
    async with talking.database.begin() as session:
        for _ in range(30):
            await drawing.more(session, talking.city, 20)
    assert 40 <= len(await under_review(talking)) < 45


async def test_more_can_be_drawn_at_any_time(talking: Line, ended: Any) -> None:
    for _ in range(14):
        await ended()
    await draw(talking)
    async with talking.database.begin() as session:
        assert await drawing.more(session, talking.city, 20) == 3
    assert {row.stands_for for row in await under_review(talking)} == {14 / 13}
    async with talking.database.begin() as session:
        assert await drawing.more(session, talking.city, 20) == 1, "there were no more"


async def test_a_sealed_record_is_never_drawn(talking: Line, ended: Any) -> None:
    resident, _ = await ended(level=Level.UNHAPPY)
    async with talking.database.begin() as session:
        await seal(session, (await resident.place()).citizen_id, [], "a councillor")
    await ended()
    assert await draw(talking) == 1
    (row,) = await under_review(talking)
    assert row.flag_id is None


# Judging ---------------------------------------------------------------------------------------------


async def two_managers(line: Line, browsers: Browsers) -> list[httpx.AsyncClient]:
    """Nora Ek and Pat Roe, signed in."""
    people = []
    for name in ("Nora Ek", "Pat Roe"):
        await hire(line, name, Role.MANAGER)
        people.append(browsers())
        await sign_in(people[-1], name)
    return people


async def test_a_judge_sees_the_words_masked_and_no_flag_until_they_have_spoken(
    line: Line, talking: Line, ended: Any, browser: httpx.AsyncClient
) -> None:
    words = ("This is useless, call me on +353 1 555 0199", "<script>alert(1)</script>")
    resident, _ = await ended(words, level=Level.UNHAPPY)
    await draw(talking)
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    (row,) = await under_review(talking)
    path = f"/managers/reviews/{row.id}"
    listing = (await browser.get("/managers/reviews")).text
    assert path in listing
    before = (await browser.get(path)).text
    assert "This is useless" in before
    assert "555 0199" not in before and "[phone]" in before
    assert "&lt;script&gt;alert(1)" in before
    assert "0.81" not in before and "read as dissatisfied" not in before
    for form in ({"unhappy": "yes", "why": " "}, {"unhappy": "", "why": "x"}, {"why": "x" * 501}):
        assert (await browser.post(path, data={"unhappy": "yes", **form})).status_code == 422
    done = await browser.post(path, data={"unhappy": "yes", "why": "Plainly angry."})
    assert done.headers["location"] == path
    after = (await browser.get(path)).text
    assert "0.81" in after and "read as dissatisfied" in after and "before the flag was shown" in after
    for page in (after, (await browser.get("/managers/reviews")).text):
        assert "the flag was right" in page.lower()
    (row,) = await under_review(talking)
    assert (row.verdict, row.why, row.judged_by, row.blind) == ("right", "Plainly angry.", "Nora Ek", True)
    citizen = (await resident.place()).citizen_id
    trail = await talking.sql(
        "SELECT action, citizen_id, subject FROM audit WHERE action LIKE 'review.%' ORDER BY number"
    )
    assert {entry.citizen_id for entry in trail} == {citizen}
    assert [entry.action for entry in trail].count("review.judged") == 1
    assert [entry.action for entry in trail].count("review.read") >= 2


async def test_a_verdict_with_the_flag_in_view_is_marked_as_such(
    line: Line, talking: Line, ended: Any, browser: httpx.AsyncClient
) -> None:
    await ended(level=Level.UNHAPPY)
    await draw(talking)
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    (row,) = await under_review(talking)
    path = f"/managers/reviews/{row.id}"
    shown = (await browser.get(f"{path}?flag=shown")).text
    assert "read as dissatisfied" in shown and "the flag is right" in shown
    await browser.post(path, data={"unhappy": "no", "why": "A joke."})
    (row,) = await under_review(talking)
    assert (row.verdict, row.blind) == ("wrong", False)
    await browser.post(path, data={"unhappy": "yes", "why": "No joke after all."})
    (row,) = await under_review(talking)
    assert (row.verdict, row.blind) == ("right", False)


async def test_whoever_saw_the_flag_is_not_blind_whatever_their_browser_says(
    line: Line, talking: Line, ended: Any, browsers: Browsers
) -> None:
    await ended(level=Level.UNHAPPY)
    await draw(talking)
    (row,) = await under_review(talking)
    path = f"/managers/reviews/{row.id}"
    nora, pat = await two_managers(line, browsers)
    await nora.get(f"{path}?flag=shown")
    assert "read as dissatisfied" in (await nora.get(path)).text, "what was seen is not hidden again"
    assert "read as dissatisfied" not in (await pat.get(path)).text, "somebody else has not seen it"
    await nora.post(path, data={"unhappy": "no", "why": "A joke.", "seen": "", "blind": "1"})
    (row,) = await under_review(talking)
    assert (row.judged_by, row.blind) == ("Nora Ek", False)
    await talking.sql("UPDATE review SET verdict = NULL, why = NULL")
    await pat.post(path, data={"unhappy": "no", "why": "A joke.", "seen": "1"})
    (row,) = await under_review(talking)
    assert (row.judged_by, row.blind) == ("Pat Roe", True)


async def test_whoever_read_the_conversation_at_the_desk_is_not_blind(
    line: Line, talking: Line, ended: Any, web: httpx.AsyncClient
) -> None:
    resident, _ = await ended(level=Level.UNHAPPY, department="waste")
    await draw(talking)
    (row,) = await under_review(talking)
    sam = await colleague(line, web, "Sam Waste", "waste", role=Role.SUPERVISOR)
    at_the_desk = await sam.get(f"/desk/c/{(await resident.conversation()).id}?reason=complaint")
    assert at_the_desk.status_code == 200
    path = f"/managers/reviews/{row.id}"
    assert "read as dissatisfied" in (await sam.get(path)).text
    await sam.post(path, data={"unhappy": "yes", "why": "Plainly angry."})
    assert (await under_review(talking))[0].blind is False


async def test_what_staff_wrote_about_a_resident_is_masked_for_whoever_judges(
    line: Line, talking: Line, ended: Any, browsers: Browsers, web: httpx.AsyncClient
) -> None:
    number, mail = "+353 1 555 0199", "joe.roe@example.com"
    await ended(level=Level.UNHAPPY)
    await talking.sql(
        "UPDATE flag SET dismissed_at = now(), dismissed_by = 'Maria', dismissed_why = :why,"
        " signals = jsonb_set(signals, '{0,words}', to_jsonb(CAST(:words AS text)))",
        why=f"It is Joe, {number}, always like that",
        words=f"asked for a call at {number}",
    )
    await draw(talking)
    (row,) = await under_review(talking)
    path = f"/managers/reviews/{row.id}"
    nora, pat = await two_managers(line, browsers)
    # Beside the flag, below the message that is its evidence, and in why it was dismissed.
    assert (await nora.get(f"{path}?flag=shown")).text.count("[phone]") == 3
    await nora.post(path, data={"unhappy": "yes", "why": f"Wrote from {mail}, see {number}"})
    shown = (await pat.get(path)).text
    assert "Wrote from [email], see [phone]" in shown
    assert "555 0199" not in shown and mail not in shown
    sam = await colleague(line, web, "Sam Book", "libraries", role=Role.SUPERVISOR)
    (told,) = (await sam.get("/api/v1/flags")).json()["flags"]
    assert told["dismissed_why"] == "It is Joe, [phone], always like that"
    assert told["signals"][0]["words"] == "asked for a call at [phone]"


async def test_of_an_unflagged_conversation_yes_means_that_it_was_missed(talking: Line, ended: Any) -> None:
    await ended()
    await draw(talking)
    (row,) = await under_review(talking)
    for unhappy, verdict in (("yes", "wrong"), ("no", "right"), ("unsure", "unsure")):
        async with talking.database.begin() as session:
            assert await reviews.judge(session, NORA, row.id, unhappy, "So it reads.")
        assert (await under_review(talking))[0].verdict == verdict


async def test_only_what_is_under_review_is_shown_and_only_to_whom_it_concerns(
    line: Line, talking: Line, ended: Any, browsers: Browsers
) -> None:
    resident, _ = await ended(department="waste")
    await draw(talking)
    (row,) = await under_review(talking)
    people = {}
    for name, role, department in (
        ("Nora Ek", Role.MANAGER, ""),
        ("Sam Waste", Role.SUPERVISOR, "waste"),
        ("Pat Park", Role.SUPERVISOR, "parks"),
    ):
        await hire(line, name, role, *filter(None, [department]))
        people[name] = browsers()
        await sign_in(people[name], name)
    path = f"/managers/reviews/{row.id}"
    statuses = {name: (await person.get(path)).status_code for name, person in people.items()}
    assert statuses == {"Nora Ek": 200, "Sam Waste": 200, "Pat Park": 404}
    unknown = await people["Nora Ek"].get(f"/managers/reviews/{(await resident.conversation()).id}")
    assert unknown.status_code == 404
    verdict = {"unhappy": "yes", "why": "x"}
    assert (await people["Pat Park"].post(path, data=verdict)).status_code == 404
    assert path not in (await people["Pat Park"].get("/managers/reviews")).text
    async with talking.database.begin() as session:
        await seal(session, (await resident.place()).citizen_id, [], "under threat")
    assert (await people["Nora Ek"].get(path)).status_code == 404, "sealed since it was drawn"


# What the verdicts come to ---------------------------------------------------------------------------


async def test_precision_what_was_missed_and_recall_are_told_with_their_intervals(
    talking: Line, ended: Any
) -> None:
    for _ in range(5):
        await ended(level=Level.UNHAPPY)
    for _ in range(20):
        await ended()
    await draw(talking)
    rows = await under_review(talking)
    verdicts = iter(["yes", "yes", "yes", "yes", "no"] + ["no"] * 9 + ["yes"])
    async with talking.database.begin() as session:
        for row in rows:
            await reviews.judge(session, NORA, row.id, next(verdicts), "So it reads.")
    day = the_day(talking)
    async with talking.database.begin() as session:
        found = await reviews.findings(session, NORA, Period(day, day, talking.city.zone))
        nothing = await reviews.findings(
            session, NORA, Period(day - timedelta(days=2), day - timedelta(days=1), talking.city.zone)
        )
    assert found.right is not None and found.missed is not None and found.caught is not None
    right, missed, caught = found.right, found.missed, found.caught
    assert (right.n, missed.n, found.unflagged, found.flagged) == (5, 10, 20, 5)
    assert [right.value, right.low, right.high] == pytest.approx([0.8, 0.3755, 0.9638], abs=1e-3)
    assert missed.value == pytest.approx(0.1)
    # 5 flagged conversations, 80 % of them unhappy; 20 unflagged, 10 % of them: 4 of 6.
    assert caught.value == pytest.approx(4 / 6)
    assert caught.low < caught.value < caught.high
    assert (nothing.right, nothing.missed, nothing.caught, nothing.flagged) == (None, None, None, 0)


async def test_fewer_than_five_verdicts_tell_nothing(talking: Line, ended: Any) -> None:
    for _ in range(4):
        await ended(level=Level.UNHAPPY)
    await draw(talking)
    async with talking.database.begin() as session:
        for row in await under_review(talking):
            await reviews.judge(session, NORA, row.id, "yes", "Angry.")
    day = the_day(talking)
    async with talking.database.begin() as session:
        found = await reviews.findings(session, NORA, Period(day, day, talking.city.zone))
    assert found.right is None


def test_wilsons_interval_is_the_published_one() -> None:
    # Newcombe 1998, table I: 81 of 263, method 3.
    low, high = estimates.wilson(81 / 263, 263)
    assert (round(low, 4), round(high, 4)) == (0.2553, 0.3662)
    # 0 of 20 and 29 of 29 there as well.
    assert round(estimates.wilson(0, 20)[1], 4) == 0.1611
    assert round(estimates.wilson(1, 29)[0], 4) == 0.8830


@given(
    yes=st.lists(st.floats(1, 100), max_size=40),
    no=st.lists(st.floats(1, 100), max_size=40),
)
def test_an_interval_holds_its_share_and_stays_between_nothing_and_everything(
    yes: list[float], no: list[float]
) -> None:
    found = estimates.share(yes, no)
    if len(yes) + len(no) < estimates.FEWEST:
        assert found is None
        return
    assert found is not None
    assert 0 <= found.low <= found.value + 1e-9 and found.value - 1e-9 <= found.high <= 1
    equal = estimates.share([1.0] * len(yes), [1.0] * len(no))
    assert equal is not None and equal.value == pytest.approx(len(yes) / (len(yes) + len(no)))


def test_what_a_busy_day_was_drawn_for_weighs_more() -> None:
    found = estimates.share([10.0] * 5, [1.0] * 5)
    assert found is not None
    assert found.value == pytest.approx(50 / 55)
    narrow = estimates.share([1.0] * 9, [1.0])
    assert narrow is not None
    assert found.high - found.low > narrow.high - narrow.low, "uneven weights make a sample tell less"
