"""Work that a resident's wish left behind in the sending lane: bring them their copy, or erase them.

It stands there behind the answer, so that our last words have left when the address goes.
"""

from __future__ import annotations

import asyncio
import tempfile
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO, ClassVar

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from channels.base.contract import FILE_SECONDS, Attachment, Channel, Outbound
from channels.base.errors import PermanentFailure, SendFailure, UncertainFailure
from contact_hub.audit.service import record
from contact_hub.citizens import service as citizens
from contact_hub.citizens.models import Address, Conversation
from contact_hub.database import new_id, now
from contact_hub.handoff import service as handoff
from contact_hub.journey import saying
from contact_hub.journey.saying import Writer
from contact_hub.journey.turn import HIDDEN, Reply
from contact_hub.operations import queue
from contact_hub.operations.queue import Claimed, LeaseLost
from contact_hub.operations.wakeups import Wakeups
from contact_hub.privacy import copies, erasure, export
from contact_hub.privacy.holds import Held
from contact_hub.privacy.records import DataExport
from contact_hub.privacy.schedule import schedule_of
from contact_hub.staff.access import Viewer
from contact_hub.timeline import service as timeline

log = structlog.get_logger()

KINDS = frozenset({"copy", "erase"})
ARCHIVE = "my-data.zip"
MOST_ATTACHED = 4_000_000  # bytes that a provider takes within the time a send may last; else a link
MOST_TRIES = 6
SEND_SECONDS = 5.0


@dataclass(frozen=True)
class Rights:
    """The handler of these tasks."""

    writer: Writer
    wakeups: Wakeups
    delays: ClassVar[tuple[float, ...]] = (2.0, 10.0, 60.0, 300.0, 900.0, 3600.0)

    async def handle(self, task: Claimed) -> None:
        """Do one task; raises LeaseLost when it is somebody else's by now."""
        await (self._copy(task) if task.kind == "copy" else self._erase(task))

    async def give_up(self, task: Claimed) -> None:
        """Leave to a person what fails again and again, and say so."""
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            address = await session.get_one(Address, conversation.address_id)
            if task.kind == "copy":
                await self._say(session, conversation, address, "export_failed")
            kind = "export_request" if task.kind == "copy" else "erasure_request"
            await self._ticket(
                session, task, kind, "What a resident asked for their data keeps failing here."
            )
        self.wakeups.tell("out", "desk")

    # Erasing

    async def _erase(self, task: Claimed) -> None:
        writer = self.writer
        if writer.folder is None:
            raise RuntimeError("nobody is erased without CIVICLINE_DATA, where the ledger is")
        async with writer.database.begin() as session:
            await queue.lock(session, task.conversation_id)
            await queue.hold(session, task)
            address = await session.get_one(Address, uuid.UUID(task.payload["address"]))
            viewer = Viewer("system", f"resident on {address.channel}")
            try:
                if str(address.citizen_id) != task.payload["citizen"]:
                    raise Held(())  # merged or parted since: a person looks at who this is
                await erasure.erase(
                    session,
                    viewer,
                    address.citizen_id,
                    schedule=schedule_of(writer.city),
                    folder=writer.folder,
                    reason="the resident asked for it and confirmed",
                )
            except Held:
                conversation = await citizens.lock_conversation(session, task.conversation_id)
                await queue.complete(session, task)
                await self._say(session, conversation, address, "erase_held")
                await self._ticket(
                    session, task, "erasure_request", "An erasure asked for in the chat waits."
                )
        self.wakeups.tell("out", f"feed:{address.value}", "desk")

    # Copies

    async def _copy(self, task: Claimed) -> None:
        async with self.writer.database.begin() as session:
            await queue.lock(session, task.conversation_id)
            await queue.hold(session, task)
            found = await session.get(DataExport, uuid.UUID(task.payload["export"]))
            address = None if found is None else await session.get(Address, found.address_id)
            usable = (
                found is not None
                and address is not None
                and found.fetched_at is None
                and found.expires_at > now()
                and address.citizen_id == found.citizen_id
                and address.retired_at is None
                and address.reachable
            )
            if not usable or found is None or address is None:
                await queue.complete(session, task)
                return
        channel = self.writer.channels.get(address.channel)
        # A try whose end nobody saw may have brought it already: no second one, but a link.
        unseen = task.attempts > 1 and task.payload.get("not_taken") != task.attempts - 1
        if channel is None or not channel.sends_files or unseen:
            await self._link(task, found.id, address)
            return
        with tempfile.TemporaryFile() as archive:
            await export.write(
                self.writer.database,
                found.citizen_id,
                archive,
                city=self.writer.city,
                site_url=self.writer.site_url,
            )
            if archive.tell() > MOST_ATTACHED:
                await self._link(task, found.id, address)
                return
            archive.seek(0)
            await self._send(task, found.id, address, channel, archive)

    async def _send(
        self, task: Claimed, copy_id: uuid.UUID, address: Address, channel: Channel, archive: IO[bytes]
    ) -> None:
        language = await self._language(task)
        words = self.writer.city.say("export_document", language)
        data = await asyncio.to_thread(archive.read)
        message = Outbound(
            delivery=str(copy_id),
            address=address.value,
            text=words,
            author="system",
            attachments=(Attachment(ARCHIVE, "application/zip", data),),
            language=language,
        )
        try:
            async with asyncio.timeout(SEND_SECONDS + FILE_SECONDS):
                await channel.send(message)
        except (UncertainFailure, TimeoutError):
            await self._link(task, copy_id, address)
            return
        except SendFailure as failure:
            await self._not_sent(task, address, failure)
            return
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            await copies.take(session, copy_id)
            await timeline.record(
                session,
                address_id=address.id,
                conversation_id=conversation.id,
                direction="out",
                actor="system",
                kind="document",
                words=words,
                language=language,
                payload={"say": "export_document"},
                touchpoint_id=new_id(),
            )
            await self._note(session, address, copy_id)

    async def _not_sent(self, task: Claimed, address: Address, failure: SendFailure) -> None:
        final = isinstance(failure, PermanentFailure) or task.attempts >= MOST_TRIES
        log.warning("copy.not_sent", error=type(failure).__name__, attempts=task.attempts)
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            if not final:
                delay = self.delays[min(task.attempts, len(self.delays)) - 1]
                note = {"not_taken": task.attempts}
                await queue.retry(session, task, delay, type(failure).__name__, note=note)
                return
            await queue.complete(session, task)
            await self._say(session, conversation, address, "export_failed")
            await self._ticket(session, task, "export_request", "A copy of a resident's data was not taken.")
        self.wakeups.tell("out", "desk")

    async def _link(self, task: Claimed, copy_id: uuid.UUID, address: Address) -> None:
        """Say where the copy is; whoever opens the link needs a code that this very address gets."""
        async with self.writer.database.begin() as session:
            conversation = await citizens.lock_conversation(session, task.conversation_id)
            await queue.complete(session, task)
            found = await session.get_one(DataExport, copy_id)
            token = await copies.link(session, found)
            language = self.writer.city.speaks(conversation.language)
            until = self.writer.city.moment(found.expires_at, language)
            link = f"{self.writer.site_url}/d/{token}"
            await self._say(
                session, conversation, address, "export_link", hide=("link",), link=link, until=until
            )
        self.wakeups.tell("out", f"feed:{address.value}")

    # Both

    async def _language(self, task: Claimed) -> str:
        async with self.writer.database.begin() as session:
            conversation = await session.get(Conversation, task.conversation_id)
            if conversation is None:
                raise LeaseLost(task.id)
            return self.writer.city.speaks(conversation.language)

    async def _say(
        self,
        session: AsyncSession,
        conversation: Conversation,
        address: Address,
        key: str,
        *,
        hide: Collection[str] = (),
        **values: object,
    ) -> None:
        language = self.writer.city.speaks(conversation.language)
        kept = self.writer.city.say(key, language, **(values | dict.fromkeys(hide, HIDDEN)))
        await saying.say(
            session,
            self.writer,
            conversation,
            Reply(self.writer.city.say(key, language, **values), author="system", say=key, kept=kept),
            channel=address.channel,
            address=address.value,
            language=language,
            answers_resident=True,
        )

    async def _ticket(self, session: AsyncSession, task: Claimed, kind: str, reason: str) -> None:
        await handoff.open_ticket(session, kind, reason, conversation_id=task.conversation_id)

    async def _note(self, session: AsyncSession, address: Address, copy_id: uuid.UUID) -> None:
        viewer = Viewer("system", f"resident on {address.channel}")
        await record(
            session, viewer, "citizen.export", citizen_id=address.citizen_id, subject=f"copy {copy_id}"
        )
