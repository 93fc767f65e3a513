"""The line for the hub's tests: real database, real channels, neighbours away or scripted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
import structlog
from fastapi import FastAPI

from contact_hub.app import create_app
from contact_hub.city import City, load_city
from contact_hub.composition import Parts
from contact_hub.settings import Settings, libpq_url, read_settings
from tests.contract.providers import nobody_listens
from tests.fakes import telegram, twilio
from tests.hub.line import SECRET, SECRET_KEY, Line, Script, scripted

PUBLIC_URL = "https://line.larkhaven.example"
WEBHOOK_SECRET = "a-secret-that-telegram-shows"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def whole_city() -> City:
    """The city's own words, all of them."""
    return load_city(ROOT / "nlu_data")


@pytest.fixture(scope="session")
def city(whole_city: City) -> City:
    """The same city without a notice to show or anything to ask for, and open at any hour of a test's."""
    own = {
        key: value for key, value in whole_city.settings.items() if key not in {"privacy_notice", "consent"}
    }
    own["opening_hours"] = {day: ["00:00-24:00"] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    return replace(whole_city, settings=own)


EMPTY = """
    SET session_replication_role = replica;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
                    AND tablename <> 'alembic_version' AND tablename NOT LIKE 'touchpoint\\_%' LOOP
            EXECUTE format('DELETE FROM %I', name);
        END LOOP;
    END $$
"""


@pytest.fixture
def emptied_url(module_database_url: str) -> str:
    """A database without a row in it: emptying one costs a tenth of making one."""
    with psycopg.connect(libpq_url(module_database_url), autocommit=True) as connection:
        connection.execute(EMPTY)
    return module_database_url


@pytest.fixture
async def lines(emptied_url: str, city: City) -> AsyncIterator[Callable[..., Line]]:
    """Makes lines over one database, as many as there are processes in a test."""
    made: list[Line] = []

    def make(*, city: City = city, **options: Any) -> Line:
        made.append(Line(emptied_url, city, **options))
        return made[-1]

    yield make
    for line in made:
        await line.close()


@pytest.fixture
async def line(lines: Callable[..., Line]) -> Line:
    """A line whose brain and Rasa are away: nothing listens at their ports."""
    return lines()


@pytest.fixture
async def asking(lines: Callable[..., Line], script: Script, whole_city: City) -> Line:
    """A line of the whole city, which shows its notice and asks, with a scripted brain and Rasa."""
    return lines(brain_url=script.url, rasa_url=script.url, city=whole_city)


@pytest.fixture(scope="module")
def stage() -> Iterator[Script]:
    """One server for the scripts of a file's tests."""
    with scripted() as script:
        yield script


@pytest.fixture
def script(stage: Script) -> Script:
    """A brain and a Rasa that say what the test tells them to."""
    fresh = Script()
    for name, value in vars(fresh).items():
        if name != "url":
            setattr(stage, name, value)
    return stage


@pytest.fixture
async def talking(lines: Callable[..., Line], script: Script) -> Line:
    """A line with a scripted brain and Rasa."""
    return lines(brain_url=script.url, rasa_url=script.url)


@pytest.fixture(scope="session")
def providers() -> Iterator[tuple[twilio.FakeTwilio, telegram.FakeTelegram]]:
    """One server of each kind for all tests."""
    with twilio.running(pace=20) as first, telegram.running(pace=20) as second:
        yield first, second


@pytest.fixture
def fake_twilio(providers: tuple[twilio.FakeTwilio, telegram.FakeTelegram]) -> twilio.FakeTwilio:
    """A Twilio that behaves as documented and has seen nothing yet."""
    providers[0].reset()
    return providers[0]


@pytest.fixture
def fake_telegram(providers: tuple[twilio.FakeTwilio, telegram.FakeTelegram]) -> telegram.FakeTelegram:
    """A Telegram that behaves as documented and has seen nothing yet."""
    providers[1].reset()
    return providers[1]


@pytest.fixture(autouse=True, scope="session")
def quiet() -> None:
    """Log lines stay short: the library's own way of showing a traceback costs half a second each."""
    structlog.configure(
        processors=[structlog.processors.add_log_level, structlog.processors.LogfmtRenderer()],
        cache_logger_on_first_use=False,
    )


Apps = dict[int, tuple[Parts, FastAPI]]


@pytest.fixture(scope="module")
def apps(module_database_url: str) -> Apps:
    """The web processes of a file's tests, by the city they serve: making one costs more than most tests."""
    return {}


def _renewed(parts: Parts, settings: Settings) -> None:
    """Makes every part new in its place, where the app has hold of it: no test finds what another left.

    A part is made after those that it is made of, and so they are renewed in the order of making.
    """
    parts.settings = settings
    for name, old in list(parts.__dict__.items()):
        if not isinstance(getattr(Parts, name, None), cached_property) or name in {"city", "schedule"}:
            continue  # no test changes these
        del parts.__dict__[name]
        fresh = getattr(parts, name)
        held, new = (old, fresh) if isinstance(old, dict) else (vars(old), vars(fresh))
        held.clear()
        held.update(new)
        parts.__dict__[name] = old


@pytest.fixture
async def web(
    apps: Apps,
    emptied_url: str,
    tmp_path: Path,
    city: City,
    fake_twilio: twilio.FakeTwilio,
    fake_telegram: telegram.FakeTelegram,
) -> AsyncIterator[httpx.AsyncClient]:
    """The whole web process, asked without a network in between."""
    settings = read_settings(
        civicline_data=tmp_path,
        internal_secret=SECRET,
        secret_key=SECRET_KEY,
        public_url=PUBLIC_URL,
        telegram_bot_token=telegram.TOKEN,
        telegram_webhook_secret=WEBHOOK_SECRET,
        telegram_api_url=fake_telegram.url,
        twilio_account_sid=twilio.ACCOUNT,
        twilio_auth_token=twilio.AUTH_TOKEN,
        twilio_from=twilio.NUMBER,
        twilio_api_url=fake_twilio.url,
        brain_url=nobody_listens(),
        rasa_url=nobody_listens(),
    )
    if id(city) in apps:
        parts, app = apps[id(city)]
        _renewed(parts, settings)
    else:
        parts = Parts(settings, emptied_url, pool_size=3)
        parts.__dict__["city"] = city  # read once for all tests
        app = create_app(parts)
        apps[id(city)] = parts, app
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=PUBLIC_URL) as client:
        yield client
    for channel in parts.channels.values():
        await channel.close()
    await parts.close()
