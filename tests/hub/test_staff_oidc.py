"""Signing in through the city's identity provider: whoever it vouches for, and nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from contact_hub.app import create_app
from contact_hub.city import City
from contact_hub.composition import Parts
from contact_hub.settings import read_settings
from contact_hub.staff import service
from contact_hub.staff.models import Role
from tests.contract.providers import nobody_listens
from tests.fakes import oidc
from tests.fakes.oidc import FakeProvider
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import SECRET, SECRET_KEY, Line

Browsers = Callable[[], httpx.AsyncClient]


@pytest.fixture(scope="module")
def running_provider() -> Iterator[FakeProvider]:
    with oidc.running() as provider:
        yield provider


@pytest.fixture
def provider(running_provider: FakeProvider) -> FakeProvider:
    running_provider.reset()
    return running_provider


@pytest.fixture
async def browsers(
    emptied_url: str, tmp_path: Path, city: City, provider: FakeProvider
) -> AsyncIterator[Browsers]:
    """Makes browsers before a line that trusts the provider."""
    settings = read_settings(
        civicline_data=tmp_path,
        internal_secret=SECRET,
        secret_key=SECRET_KEY,
        public_url=PUBLIC_URL,
        brain_url=nobody_listens(),
        rasa_url=nobody_listens(),
        oidc_issuer=provider.url,
        oidc_client_id=oidc.CLIENT,
        oidc_client_secret=oidc.SECRET,
        oidc_roles="records=records,agent=agent,lead=supervisor",
    )
    parts = Parts(settings, emptied_url, pool_size=3)
    parts.__dict__["city"] = city
    transport = httpx.ASGITransport(create_app(parts))
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(
            httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL, headers={"Origin": PUBLIC_URL})
        )
        return made[-1]

    yield make
    for browser in made:
        await browser.aclose()
    await parts.close()


async def through(browser: httpx.AsyncClient, onto: str = "/staff") -> httpx.Response:
    """Go to the provider and come back, as a browser does."""
    begun = await browser.post("/staff/oidc", data={"next": onto})
    assert begun.status_code == 200, begun.text
    async with httpx.AsyncClient() as outside:
        there = await outside.get(begun.headers["refresh"].partition("url=")[2])
    assert there.status_code in {302, 307}, there.text
    back = urlsplit(there.headers["location"])
    assert f"{back.scheme}://{back.netloc}{back.path}" == f"{PUBLIC_URL}/staff/oidc/callback"
    return await browser.get(f"{back.path}?{back.query}")


async def test_whoever_the_provider_vouches_for_is_let_in_with_their_role(
    line: Line, browsers: Browsers, provider: FakeProvider
) -> None:
    browser = browsers()
    answer = await through(browser, "/staff?done=others")
    assert (answer.status_code, answer.headers["location"]) == (303, "/staff?done=others")
    page = (await browser.get("/staff")).text
    assert "Maria Silva" in page
    assert "sign-in service" in page
    (row,) = await line.sql("SELECT id, role, departments, password_hash, oidc_subject FROM staff")
    assert (row.role, row.departments, row.password_hash) == ("agent", ["waste"], None)
    assert row.oidc_subject == "u-1"

    provider.person = {"sub": "u-1", "name": "Maria S. Silva", "roles": ["other", "lead"]}
    assert (await through(browsers())).status_code == 303
    (again,) = await line.sql("SELECT id, name, role, departments FROM staff")
    assert (again.id, again.name, again.role) == (row.id, "Maria Silva", "supervisor")
    assert again.departments == ["waste"], "what the provider does not say stays"
    assert "supervisor" in (await browser.get("/staff")).text


async def test_a_name_is_never_taken_for_a_person(
    line: Line, browsers: Browsers, provider: FakeProvider
) -> None:
    async with line.database.begin() as session:
        await service.make(session, "Maria Silva", Role.ADMIN, [], password_hash="x")
    refused = await through(browsers())
    assert (refused.status_code, "your name already" in refused.text) == (422, True)
    provider.person |= {"email": "maria@larkhaven.example"}
    assert (await through(browsers())).status_code == 303
    rows = await line.sql("SELECT name, role FROM staff ORDER BY name")
    assert [tuple(row) for row in rows] == [("Maria Silva", "admin"), ("maria@larkhaven.example", "agent")]


@pytest.mark.parametrize(
    "bend",
    [
        {"iss": "https://another.example"},
        {"aud": "another-client"},
        {"aud": ["another-client"]},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_000_000},
        {"exp": None},
        {"sub": None},
        {"iat": 99_999_999_999},
        {"at_hash": "bm90IHRoaXM"},
        {"roles": []},
        {"roles": "admins"},
        {"roles": {"agent": True}},
    ],
)
async def test_what_is_not_meant_for_us_lets_nobody_in(
    line: Line, browsers: Browsers, provider: FakeProvider, bend: dict[str, Any]
) -> None:
    provider.claims = bend
    answer = await through(browsers())
    assert answer.status_code == 422
    assert 'role="alert"' in answer.text
    assert await line.count("staff") == 0
    assert await line.count("staff_session") == 0


async def test_only_the_providers_own_signature_counts(
    line: Line, browsers: Browsers, provider: FakeProvider
) -> None:
    provider.signs_with = oidc._key(provider.key.kid or "")
    assert (await through(browsers())).status_code == 422
    provider.reset()
    assert (await through(browsers())).status_code == 303
    provider.new_key()
    assert (await through(browsers())).status_code == 303, "a provider may change its keys"


async def test_a_sign_in_is_finished_once_and_in_the_browser_that_began_it(
    line: Line, browsers: Browsers, provider: FakeProvider
) -> None:
    victim, attacker = browsers(), browsers()
    begun = await attacker.post("/staff/oidc", data={})
    async with httpx.AsyncClient() as outside:
        back = urlsplit(
            (await outside.get(begun.headers["refresh"].partition("url=")[2])).headers["location"]
        )
    path = f"{back.path}?{back.query}"
    assert (await victim.get(path)).status_code == 422, "a link from somebody else signs nobody in"
    (state,) = parse_qs(back.query)["state"]
    kept = str(
        await line.sql("SELECT encode(state_hash, 'escape'), encode(verifier, 'escape') FROM oidc_attempt")
    )
    assert state not in kept
    assert (await attacker.get(path)).status_code == 303
    assert (await attacker.get(path)).status_code == 422, "and once only"
    late = await browsers().get("/staff/oidc/callback?state=x&code=y")
    assert late.status_code == 422
    slow = browsers()
    begun = await slow.post("/staff/oidc", data={})
    async with httpx.AsyncClient() as outside:
        back = urlsplit(
            (await outside.get(begun.headers["refresh"].partition("url=")[2])).headers["location"]
        )
    await line.sql("UPDATE oidc_attempt SET expires_at = now()")
    assert (await slow.get(f"{back.path}?{back.query}")).status_code == 422
    said_no = await slow.get("/staff/oidc/callback?error=access_denied&state=x")
    assert said_no.status_code == 422


async def test_a_disabled_account_stays_out_and_a_silent_provider_is_told(
    line: Line, browsers: Browsers, provider: FakeProvider
) -> None:
    provider.away = True
    answer = await browsers().post("/staff/oidc", data={})
    assert (answer.status_code, "does not answer" in answer.text) == (422, True)
    provider.away = False
    browser = browsers()
    assert (await through(browser)).status_code == 303
    await line.sql("UPDATE staff SET disabled_at = now()")
    assert (await browser.get("/staff")).status_code == 303
    assert (await through(browsers())).status_code == 422
