"""What `/openapi.json` promises is what the process does: no fault of ours, and no answer it does not name.

Requests are made from the description, right and wrong ones, and go over real HTTP to the real process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CheckFunction, load_all_checks
from schemathesis.core.result import Ok
from schemathesis.specs.openapi import checks

from contact_hub.app import create_app
from contact_hub.city import City
from contact_hub.composition import Parts
from contact_hub.settings import read_settings
from contact_hub.staff.access import Scope
from contact_hub.staff.tokens import create_token
from tests.fakes import server, telegram, twilio
from tests.hub.line import SECRET, SECRET_KEY, Line, Script

load_all_checks()
CHECKS: list[CheckFunction] = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]
EXAMPLES = int(os.environ.get("DESCRIPTION_EXAMPLES", "8"))  # of each route; more to look harder


@dataclass
class Described:
    """A running process, its description, and a citizen whom a token may see."""

    url: str
    app: FastAPI
    token: str
    ids: dict[str, str]


@pytest.fixture
def described(
    emptied_url: str,
    tmp_path: Path,
    city: City,
    fake_twilio: twilio.FakeTwilio,
    fake_telegram: telegram.FakeTelegram,
    script: Script,
) -> Iterator[Described]:
    chosen = read_settings(
        civicline_data=tmp_path,
        internal_secret=SECRET,
        secret_key=SECRET_KEY,
        telegram_bot_token=telegram.TOKEN,
        telegram_webhook_secret="a-secret-that-telegram-shows",
        telegram_api_url=fake_telegram.url,
        twilio_account_sid=twilio.ACCOUNT,
        twilio_auth_token=twilio.AUTH_TOKEN,
        twilio_from=twilio.NUMBER,
        twilio_api_url=fake_twilio.url,
        brain_url=script.url,
        rasa_url=script.url,
    )
    token, ids = asyncio.run(_someone(emptied_url, city))
    parts = Parts(chosen, emptied_url, pool_size=5)
    parts.__dict__["city"] = city
    app = create_app(parts)
    with server.running(app) as url:
        yield Described(url, app, token, ids)


async def _someone(url: str, city: City) -> tuple[str, dict[str, str]]:
    line = Line(url, city)
    phone = line.texter()
    await phone.does(words="When is my recycling collected?")
    ids = {
        "citizen": (await phone.place()).citizen_id,
        "conversation": (await phone.conversation()).id,
        "touchpoint": (await phone.touchpoints())[0].id,
    }
    async with line.database.begin() as session:
        token = await create_token(session, "description", [*Scope])
    await line.close()
    return token, {name: str(value) for name, value in ids.items()}


def _cross(described: Described, session: requests.Session, operation: Any) -> tuple[set[int], str]:
    """Ask one route in many ways; returns the statuses it gave, and what was not as described."""
    statuses: set[int] = set()

    @given(
        case=st.one_of(
            operation.as_strategy(),
            operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE),
        ),
        known=st.booleans(),
        signed_in=st.sampled_from((True, True, True, False)),
    )
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    def ask(case: Any, known: bool, signed_in: bool) -> None:
        if known:  # a citizen there is, where the path wants one
            for name in case.path_parameters.keys() & described.ids.keys():
                case.path_parameters[name] = described.ids[name]
        case.headers.pop("Authorization", None)
        if signed_in:
            case.headers["Authorization"] = f"Bearer {described.token}"
        answer = case.call(base_url=described.url, session=session)
        statuses.add(answer.status_code)
        case.validate_response(answer, checks=CHECKS)

    try:
        ask()
    except (Exception, BaseExceptionGroup) as error:
        return statuses, f"{operation.label}: {error}"
    return statuses, ""


def test_every_route_answers_as_it_is_described(described: Described) -> None:
    schema = schemathesis.openapi.from_dict(described.app.openapi())
    asked: dict[str, set[int]] = {}
    wrong: list[str] = []
    with requests.Session() as session:
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            operation = found.ok()
            asked[operation.label], why = _cross(described, session, operation)
            wrong += [why] if why else []
    assert not wrong, "\n\n".join(wrong)
    assert len(asked) > 20
    assert all(asked.values())
    assert any(200 in statuses for statuses in asked.values())
