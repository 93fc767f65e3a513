"""What other systems, staff and operators are shown: with a token only, and never somebody else's."""

from __future__ import annotations

import uuid

import httpx
import pytest

from channels.base.contract import InboundKind
from contact_hub.operations.timers import _CHORES
from contact_hub.reports.service import luhn_digit, reference
from contact_hub.staff import service as staff
from contact_hub.staff.service import Scope
from contact_hub.timeline import service as timeline
from contact_hub.timeline.models import Outcome
from tests.hub.line import Line

Head = dict[str, str]

NOBODY = uuid.UUID("5f0c9c9e-6f0e-4a53-9a55-0d3f6d1f7a10")  # a well-formed id that no citizen has


@pytest.fixture
async def reader(line: Line) -> Head:
    """A system that may read histories."""
    return await token(line, Scope.TIMELINE_READ)


async def token(line: Line, *scopes: Scope) -> Head:
    async with line.database.begin() as session:
        made = await staff.create_token(session, "test", scopes)
    return {"Authorization": f"Bearer {made}"}


# Timelines -------------------------------------------------------------------------------------------


async def test_a_history_is_read_page_by_page_over_every_channel(
    line: Line, web: httpx.AsyncClient, reader: Head
) -> None:
    phone, chat = line.texter(), line.chatter()
    for number in range(6):
        await (phone if number % 2 else chat).does(words=f"Message {number}")
    first, second = (await phone.place()), (await chat.place())
    await line.sql("UPDATE address SET citizen_id = :c WHERE id = :a", c=first.citizen_id, a=second.id)
    stranger = line.texter("+15551239999")
    await stranger.does(words="Nobody's business")

    seen: list[str] = []
    url = f"/api/v1/citizens/{first.citizen_id}/timeline"
    before = ""
    for _ in range(5):
        page = (await web.get(f"{url}?limit=4{before}", headers=reader)).json()
        seen += [event["text"] for event in page["touchpoints"]]
        assert {event["channel"] for event in page["touchpoints"]} <= {"sms", "telegram"}
        if page["next"] is None:
            break
        before = f"&before={page['next']}"
    assert seen == [f"Message {n}" for n in reversed(range(6))]
    only = (await web.get(f"{url}?channel=sms", headers=reader)).json()["touchpoints"]
    assert [event["text"] for event in only] == ["Message 5", "Message 3", "Message 1"]
    assert (await web.get(f"{url}?kind=photo", headers=reader)).json() == {
        "citizen": str(first.citizen_id),
        "touchpoints": [],
        "next": None,
    }


async def test_a_page_ends_exactly_where_the_history_ends(
    line: Line, web: httpx.AsyncClient, reader: Head
) -> None:
    phone = line.texter()
    for number in range(4):
        await phone.does(words=f"{number}")
    url = f"/api/v1/citizens/{(await phone.place()).citizen_id}/timeline"
    page = (await web.get(f"{url}?limit=4", headers=reader)).json()
    assert (len(page["touchpoints"]), page["next"]) == (4, None)


async def test_what_a_button_means_and_where_files_lie_stays_inside(
    line: Line, web: httpx.AsyncClient, reader: Head
) -> None:
    from channels.base.contract import MediaRef

    visitor = await line.visitor()
    await visitor.does(words="Hello", media=(MediaRef("secret-ref", "photo"),))
    await line.sql(
        "UPDATE touchpoint SET payload = payload || CAST(:b AS jsonb)",
        b='{"buttons": [{"id": "x.1", "title": "Yes", "meaning": {"intent": "affirm"}}]}',
    )
    answer = await web.get(f"/api/v1/citizens/{(await visitor.place()).citizen_id}/timeline", headers=reader)
    assert "secret-ref" not in answer.text
    assert "affirm" not in answer.text
    assert answer.json()["touchpoints"][0]["payload"]["buttons"] == [{"id": "x.1", "title": "Yes"}]


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/citizens/{NOBODY}/timeline",
        "/api/v1/citizens?channel=sms&address=%2B15551230001",
        "/api/v1/conversations/waiting",
    ],
)
async def test_without_a_token_that_may_nothing_is_shown(
    line: Line, web: httpx.AsyncClient, path: str
) -> None:
    other = await token(line, Scope.QUEUE_WRITE)
    expired = await token(line, *Scope)
    await line.sql("UPDATE token SET expires_at = now() WHERE jsonb_array_length(scopes) > 1")
    revoked = await token(line, *Scope)
    full = "expires_at IS NULL AND jsonb_array_length(scopes) > 1"
    await line.sql(f"UPDATE token SET revoked_at = now() WHERE {full}")
    for head in (
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic YTpi"},
        expired,
        revoked,
    ):
        answer = await web.get(path, headers=head)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert answer.json()["error"] == "unauthorized"
    answer = await web.get(path, headers=other)
    if str(NOBODY) not in path:
        assert answer.status_code == 403
        assert "scope" in answer.json()["reason"]
    else:
        assert (answer.status_code, answer.json()["reason"]) == (404, "There is no such citizen.")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"/citizens/{NOBODY}/timeline", 404),
        ("/citizens/not-an-id/timeline", 422),
        (f"/citizens/{NOBODY}/timeline?limit=0", 422),
        (f"/citizens/{NOBODY}/timeline?limit=201", 422),
        (f"/citizens/{NOBODY}/timeline?before=x", 422),
        ("/citizens?channel=sms", 422),
        ("/citizens?channel=sms&address=%00", 422),
        ("/citizens?channel=%00&address=1", 422),
        (f"/citizens/{NOBODY}/timeline?kind=%00", 422),
        ("/citizens?channel=sms&address=%2B15551230001", 404),
        ("/citizens?channel=sms&address=%F0%9F%9A%B2", 404),
        ("/nothing", 404),
    ],
)
async def test_wrong_questions_are_answered_with_a_reason(
    web: httpx.AsyncClient, reader: Head, path: str, status: int
) -> None:
    answer = await web.get(f"/api/v1{path}", headers=reader)
    assert answer.status_code == status
    assert answer.json()["reason"]


async def test_who_waits_is_shown_to_those_who_may(line: Line, web: httpx.AsyncClient) -> None:
    visitor = await line.visitor()
    await visitor.says("I want to die")
    head = await token(line, Scope.QUEUE_READ)
    (found,) = (await web.get("/api/v1/conversations/waiting", headers=head)).json()
    assert found["conversation"] == str((await visitor.conversation()).id)
    assert (found["reason"], found["priority"], found["channel"]) == ("self_harm", 100, "web_chat")
    assert "I want to die" not in str(found)


async def test_a_citizen_is_found_by_an_address(line: Line, web: httpx.AsyncClient, reader: Head) -> None:
    phone = line.texter()
    await phone.does(words="Hello")
    answer = await web.get("/api/v1/citizens?channel=sms&address=%2B15551230001", headers=reader)
    assert answer.json() == {"citizen": str((await phone.place()).citizen_id)}


# Operators -------------------------------------------------------------------------------------------


async def test_readiness_says_what_is_missing(web: httpx.AsyncClient) -> None:
    assert (await web.get("/healthz")).json() == {"status": "ok"}
    answer = await web.get("/readyz")
    assert answer.status_code == 503
    found = answer.json()
    assert {name: found[name] for name in ("ready", "database", "migrations", "brain", "rasa")} == {
        "ready": False,
        "database": True,
        "migrations": True,
        "brain": False,
        "rasa": False,
    }
    assert found["index_age_s"] is None


async def test_figures_tell_of_the_tables(line: Line, web: httpx.AsyncClient) -> None:
    phone = line.texter()
    await phone.does(words="Hello")
    await phone.does(words="Hello?")
    figures = (await web.get("/metrics")).text
    assert "civicline_unsettled_inbound 2.0" in figures
    assert 'civicline_queue_depth{lane="in"} 2.0' in figures
    await line.work()
    figures = (await web.get("/metrics")).text
    assert "civicline_unsettled_inbound 0.0" in figures
    assert 'civicline_queue_depth{lane="in"} 0.0' in figures
    assert "civicline_waiting_conversations 1.0" in figures
    assert "civicline_broken_promises 0.0" in figures
    await line.sql("UPDATE wait SET overdue_at = now()")
    assert "civicline_broken_promises 1.0" in (await web.get("/metrics")).text
    assert phone.address not in figures


async def test_every_chore_runs_and_the_months_to_come_have_their_partition(line: Line) -> None:
    for statement in _CHORES.values():
        await line.sql(statement)
        await line.sql(statement)
    assert await line.count("pg_inherits", "inhparent = 'touchpoint'::regclass") >= 14
    assert await line.count("touchpoint_default") == 0


async def test_an_outcome_is_said_once(line: Line) -> None:
    phone = line.texter()
    stored = await phone.does(InboundKind.TEXT, "Hello")
    for outcome in (Outcome.ANSWERED, Outcome.DEAD_LETTERED):
        async with line.database.begin() as session:
            await timeline.settle(session, stored.touchpoint_id, outcome, "said")
    assert await phone.endings() == [("answered", "said")]


def test_a_reference_number_tells_a_slip_of_the_tongue(city: object) -> None:
    from contact_hub.database import now

    number = reference(42, now())
    digits = number.replace("R", "").replace("-", "")
    assert len({reference(n, now()) for n in range(2000)}) == 2000
    assert luhn_digit(digits[:-1]) == int(digits[-1])
    for place in range(len(digits) - 1):
        for other in "0123456789":
            wrong = digits[:place] + other + digits[place + 1 : -1]
            if other != digits[place]:
                assert luhn_digit(wrong) != int(digits[-1])
