"""Follow the hub: fetch each newly published version of the knowledge and swap it in."""

import asyncio
from dataclasses import dataclass, field
from time import monotonic

import httpx
import structlog

from bot.knowledge.search import Search
from bot.knowledge.snapshots import BrokenSnapshot, Cache, Snapshot, build, unpack

log = structlog.get_logger(__name__)

# A version of a large city is a few hundred megabytes on a slow link.
FETCH_TIMEOUT = httpx.Timeout(120, connect=3)


@dataclass
class Follower:
    """Keeps a Search on the newest version that the hub has published."""

    search: Search
    cache: Cache
    fingerprint: str
    hub_url: str
    secret: str = field(repr=False)
    poll_seconds: float = 2.0
    refused: str = ""
    last_contact: float | None = None
    _refused_version: int = 0

    async def start_from_cache(self) -> None:
        """Load the version stored on this machine, if it fits."""
        snapshot, reason = await asyncio.to_thread(self.cache.load, self.fingerprint)
        if reason:
            log.warning("stored knowledge passed over", reason=reason)
        if snapshot is not None:
            self.search.swap(snapshot)
            log.info("knowledge loaded", version=snapshot.meta.version, passages=len(snapshot.rows))

    async def run(self) -> None:
        """Ask the hub every few seconds, until cancelled; a hub that is away is asked again."""
        headers = {"X-Internal-Secret": self.secret}
        async with httpx.AsyncClient(
            base_url=self.hub_url, headers=headers, timeout=FETCH_TIMEOUT, trust_env=False
        ) as hub:
            quiet = False
            while True:
                try:
                    again = await self.poll(hub)
                    quiet = False
                except (httpx.HTTPError, OSError) as error:
                    again = False
                    if not quiet:
                        log.warning("the hub cannot be asked for knowledge", error=type(error).__name__)
                    quiet = True
                except BrokenSnapshot as error:
                    again = False
                    self._refuse(str(error))
                if not again:
                    await asyncio.sleep(self.poll_seconds)

    async def poll(self, hub: httpx.AsyncClient) -> bool:
        """Fetch and swap in the next version; return whether there was one."""
        current = self.search.snapshot
        known = max(current.meta.version if current else 0, self._refused_version)
        response = await hub.get("/internal/knowledge", params={"after": known})
        if response.status_code == 204:
            self.last_contact = monotonic()
            return False
        response.raise_for_status()
        self.last_contact = monotonic()
        snapshot = await asyncio.to_thread(self._take, response.content)
        if snapshot is None:
            return False
        self.search.swap(snapshot)
        self.refused = ""
        log.info("knowledge swapped", version=snapshot.meta.version, passages=len(snapshot.rows))
        return True

    def _take(self, archive: bytes) -> Snapshot | None:
        meta, rows, vectors = unpack(archive)
        if meta.fingerprint != self.fingerprint:
            self._refused_version = meta.version
            self._refuse(
                f"version {meta.version} was made with {meta.fingerprint}, this brain runs "
                f"{self.fingerprint}: import the knowledge again"
            )
            return None
        snapshot = build(meta, rows, vectors)
        try:
            self.cache.save(snapshot)
        except OSError as error:
            # Serving goes on from memory; the next start fetches the version again.
            log.error("knowledge could not be stored", error=str(error))
        return snapshot

    def _refuse(self, reason: str) -> None:
        if reason != self.refused:
            log.error("knowledge refused", reason=reason)
        self.refused = reason
