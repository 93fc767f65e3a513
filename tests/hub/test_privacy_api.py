"""Terms and removing over the API: by those at the desk, about their own citizens, and written down."""

from __future__ import annotations

import httpx
import pytest

from contact_hub.privacy import holds
from contact_hub.staff.access import SYSTEM, Scope
from contact_hub.staff.models import Role
from tests.hub.line import Line, Resident
from tests.hub.test_access import Head, staff_of, token_of

WRONG = "my card is 4111 1111 1111 1111"


@pytest.fixture
async def agent(line: Line) -> Head:
    """An agent of the waste department, signed in."""
    return (await staff_of(line, "Maria", Role.AGENT, "waste"))[1]


@pytest.fixture
async def resident(line: Line) -> Resident:
    """Somebody whose talk is the waste department's."""
    texter = line.texter()
    await texter.does(words=WRONG)
    await line.sql("UPDATE conversation SET department = 'waste'")
    return texter


async def test_an_agent_removes_a_message_in_one_request_and_it_is_audited(
    line: Line, web: httpx.AsyncClient, agent: Head, resident: Resident
) -> None:
    (said,) = await resident.touchpoints()
    url = f"/api/v1/touchpoints/{said.id}/redact"
    ask = {"reason": "a card number", "parts": ["4111 1111 1111 1111"]}
    head = agent | {"Idempotency-Key": "once"}
    async with line.database.begin() as session:
        held = await holds.add(session, SYSTEM, (await resident.place()).citizen_id, "a claim", None)
    refused = await web.post(url, json=ask, headers=head)
    assert (refused.status_code, (await resident.touchpoints())[0].text) == (409, WRONG)
    assert "legal hold" in refused.text
    await line.sql("UPDATE legal_hold SET lifted_at = now() WHERE id = :h", h=held.id)
    first = await web.post(url, json=ask, headers=head)
    assert first.status_code == 200, first.text
    assert first.json() == {"touchpoint": str(said.id), "places": 1, "files": 0}
    again = await web.post(url, json=ask, headers=head)
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await resident.touchpoints())[0].text == "my card is [removed]"
    entries = await line.sql("SELECT viewer_name, subject FROM audit WHERE action = 'redact'")
    assert entries == [("Maria", str(said.id))]
    missing = await web.post(url, json=ask, headers=agent)
    assert missing.status_code == 409
    assert "4111" not in missing.text


async def test_another_departments_message_and_a_token_are_refused(
    line: Line, web: httpx.AsyncClient, resident: Resident
) -> None:
    (said,) = await resident.touchpoints()
    url, ask = f"/api/v1/touchpoints/{said.id}/redact", {"reason": "a card number"}
    _, other = await staff_of(line, "Ahmed", Role.AGENT, "roads")
    assert (await web.post(url, json=ask, headers=other)).status_code == 404
    _, manager = await staff_of(line, "Mona", Role.MANAGER, "waste")
    assert (await web.post(url, json=ask, headers=manager)).status_code == 404
    token = await token_of(line, "all", *Scope)
    assert (await web.post(url, json=ask, headers=token)).status_code == 404
    assert (await resident.touchpoints())[0].text == WRONG


async def test_what_a_citizen_said_elsewhere_is_written_down_with_who_and_how(
    line: Line, web: httpx.AsyncClient, agent: Head, resident: Resident
) -> None:
    citizen = (await resident.place()).citizen_id
    url = f"/api/v1/citizens/{citizen}/consents"
    told = {"purpose": "alerts", "decision": "granted", "reason": "by letter of 3 May"}
    granted = await web.post(url, json=told, headers=agent)
    assert granted.status_code == 200, granted.text
    assert granted.json()["allowed"] == {
        "service": True,
        "alerts": True,
        "improvement": False,
        "survey": False,
    }
    (term,) = granted.json()["terms"]
    assert (term["by"], term["reason"], term["channel"]) == ("Maria", "by letter of 3 May", "desk")
    evidence = await line.sql("SELECT kind, actor FROM touchpoint WHERE id = :id", id=term["evidence"])
    assert evidence == [("consent", "agent")]
    await web.post(url, json={**told, "decision": "withdrawn"}, headers=agent)
    read = (await web.get(url, headers=agent)).json()
    assert not read["allowed"]["alerts"]
    assert [t["in_force"] for t in read["terms"]] == [False, True]
    wrong = await web.post(url, json={**told, "purpose": "service"}, headers=agent)
    assert wrong.status_code == 422
