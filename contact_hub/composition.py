"""The one place where settings become parts: every process of the hub is put together here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from channels.base import registry
from channels.base.contract import Channel
from channels.base.widget.limits import Pace
from contact_hub.city import City, load_city
from contact_hub.database import Database
from contact_hub.journey.inbox import Inbox
from contact_hub.journey.neighbours import Neighbours
from contact_hub.journey.saying import Writer
from contact_hub.operations.wakeups import Wakeups
from contact_hub.privacy.schedule import Schedule, schedule_of
from contact_hub.settings import Settings, SettingsError, libpq_url
from contact_hub.staff.guard import Guard
from contact_hub.webhooks.delivery import Telling
from contact_hub.webhooks.reach import Reach

if TYPE_CHECKING:
    from contact_hub.desk.board import Board
    from contact_hub.journey.chat_store import PostgresChatStore

ROOT = Path(__file__).resolve().parents[1]


@dataclass
class Parts:
    """What a process of the hub is made of, each part made when it is first needed."""

    settings: Settings
    database_url: str
    pool_size: int = 10

    @cached_property
    def database(self) -> Database:
        """Engine and sessions."""
        key = self.settings.secret_key
        return Database(
            self.database_url,
            pool_size=self.pool_size,
            secret_key=key.get_secret_value() if key else None,
            former_keys=self.settings.former_keys,
        )

    @property
    def listen_url(self) -> str:
        """Where to LISTEN: never through a pooler."""
        return self.settings.listen_url or libpq_url(self.database_url)

    @cached_property
    def city(self) -> City:
        """The city's words."""
        return load_city(city_folder(self.settings))

    @cached_property
    def channels(self) -> dict[str, Channel]:
        """Every channel whose variables are set; raises SettingsError."""
        try:
            return registry.load(self.settings)
        except ValueError as error:
            raise SettingsError([str(error)]) from None

    @cached_property
    def schedule(self) -> Schedule:
        """How long what is kept; raises CityError."""
        return schedule_of(self.city)

    @cached_property
    def neighbours(self) -> Neighbours:
        """The brain and Rasa."""
        secret = self.settings.internal_secret
        return Neighbours(
            brain_url=self.settings.brain_url,
            rasa_url=self.settings.rasa_url,
            secret=secret.get_secret_value() if secret else "",
        )

    @cached_property
    def wakeups(self) -> Wakeups:
        """Hints to and from the other processes."""
        return Wakeups(self.listen_url)

    @cached_property
    def inbox(self) -> Inbox:
        """The door."""
        return Inbox(self.database, self.wakeups)

    @cached_property
    def writer(self) -> Writer:
        """Writes and sends messages."""
        return Writer(
            self.database,
            self.city,
            self.channels,
            folder=self.settings.civicline_data,
            site_url=self.settings.site_url,
        )

    @cached_property
    def chats(self) -> PostgresChatStore:
        """What the web chat keeps."""
        # It brings the web framework, as the desk does: no command and no worker should wait for that.
        from contact_hub.journey.chat_store import PostgresChatStore

        return PostgresChatStore(self.database, self.wakeups, self.inbox, self.city, writer=self.writer)

    @cached_property
    def pace(self) -> Pace:
        """How much each visitor of the web chat asked for lately."""
        return Pace()

    @cached_property
    def board(self) -> Board:
        """Who looks at which queue; raises CityError."""
        from contact_hub.desk.board import Board
        from contact_hub.handoff.rules import rules_of

        return Board(self.database, self.wakeups, rules_of(self.city))

    @cached_property
    def guard(self) -> Guard:
        """Who a request comes from."""
        proxies = self.settings.trusted_proxies or ""
        return Guard(
            self.database,
            site_url=self.settings.site_url,
            trusted_proxies=[name.strip() for name in proxies.split(",") if name.strip()],
            front_department=self.city.front_department,
            second_factor_for=self.settings.second_factor_roles,
        )

    @cached_property
    def telling(self) -> Telling:
        """Tells other systems what happens; raises SettingsError."""
        try:
            reach = Reach.of(self.settings.webhook_networks)
        except ValueError as error:
            raise SettingsError([f"WEBHOOK_NETWORKS must be IP addresses or networks: {error}."]) from None
        return Telling(self.database, self.settings.site_url, reach)

    async def close(self) -> None:
        """Give back what was opened."""
        made = self.__dict__
        if "neighbours" in made:
            await self.neighbours.close()
        if "wakeups" in made:
            await self.wakeups.stop()
        if "database" in made:
            await self.database.close()


def city_folder(settings: Settings) -> Path:
    """The folder of the city's words; a relative one is looked for beside the packages as well."""
    folder = settings.civicline_city
    return folder if folder.is_absolute() or folder.exists() else ROOT / folder
