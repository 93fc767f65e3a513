"""What the processes count for /metrics; each process serves its own figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Gauge, Histogram, Metric
from prometheus_client.registry import Collector
from sqlalchemy import text

from channels.base.contract import Channel
from contact_hub.database import Database

received = Counter("civicline_received_total", "Things residents did, as they were stored.", ["channel"])
refused_webhooks = Counter(
    "civicline_refused_webhooks_total", "Requests that were not proved to come from a provider.", ["channel"]
)
turns = Counter("civicline_turns_total", "Messages that went through the journey.", ["channel", "step"])
turn_seconds = Histogram(
    "civicline_turn_seconds",
    "Time of one message in the journey, from claim to commit.",
    ["channel"],
    buckets=(0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2, 3, 5),
)
deliveries = Counter("civicline_deliveries_total", "What became of outgoing parts.", ["channel", "state"])
send_seconds = Histogram("civicline_send_seconds", "Time a provider took to accept a message.", ["channel"])
dead_letters = Counter("civicline_dead_letters_total", "Messages given up after every attempt.", ["channel"])
webhooks = Counter(
    "civicline_webhooks_total", "Events told to other systems: received, failed, given up.", ["result"]
)
flags = Counter(
    "civicline_flags_total", "Flags raised because somebody seems unhappy or in danger.", ["level"]
)
leases_lost = Counter("civicline_leases_lost_total", "Tasks whose lease ran out while they were worked on.")
unsettled_inbound = Gauge(
    "civicline_unsettled_inbound", "Messages that have not ended in an outcome yet; returns to 0."
)
queue_depth = Gauge("civicline_queue_depth", "Tasks waiting or in hand.", ["lane"])
oldest_task_seconds = Gauge("civicline_oldest_task_seconds", "Age of the oldest task.", ["lane"])
open_tickets = Gauge("civicline_open_tickets", "Tickets nobody has closed.")
webhook_notices = Gauge(
    "civicline_webhook_notices", "Events other systems have not received: waiting, or given up.", ["state"]
)
waiting_conversations = Gauge("civicline_waiting_conversations", "Conversations that wait for a person.")
broken_promises = Gauge(
    "civicline_broken_promises", "Conversations that wait longer for a person than was promised first."
)
provider_gauge = Gauge(
    "civicline_provider_gauge", "What a channel knows of its provider's side.", ["channel", "name"]
)


class _Providers(Collector):
    """Asks the channels at the moment somebody looks."""

    def __init__(self, channels: Mapping[str, Channel]) -> None:
        self._channels = channels

    def collect(self) -> Iterator[Metric]:
        """Bring `civicline_provider_gauge` up to date; it is served by the registry itself."""
        for name, channel in self._channels.items():
            for figure, value in channel.gauges().items():
                provider_gauge.labels(name, figure).set(value)
        return iter(())


def watch(channels: Mapping[str, Channel]) -> None:
    """Show what these channels know of their providers, such as updates that wait at Telegram."""
    REGISTRY.register(_Providers(channels))


async def read_tables(database: Database) -> None:
    """Set the gauges that are facts of the database."""
    async with database.begin() as session:
        unsettled_inbound.set(
            await session.scalar(text("SELECT count(*) FROM inbound WHERE outcome IS NULL")) or 0
        )
        depths = {
            row.lane: (row.n, row.age)
            for row in await session.execute(
                text(
                    "SELECT lane, count(*) AS n, extract(epoch FROM now() - min(created_at))::float AS age"
                    " FROM task GROUP BY lane"
                )
            )
        }
        for lane in ("in", "out"):
            count, age = depths.get(lane, (0, 0.0))
            queue_depth.labels(lane).set(count)
            oldest_task_seconds.labels(lane).set(age)
        open_tickets.set(
            await session.scalar(text("SELECT count(*) FROM ticket WHERE closed_at IS NULL")) or 0
        )
        notices = {
            row.state: row.n
            for row in await session.execute(
                text(
                    "SELECT CASE WHEN dead_at IS NULL THEN 'waiting' ELSE 'dead' END AS state, count(*) AS n"
                    " FROM webhook_notice GROUP BY 1"
                )
            )
        }
        for state in ("waiting", "dead"):
            webhook_notices.labels(state).set(notices.get(state, 0))
        waiting_conversations.set(
            await session.scalar(text("SELECT count(*) FROM conversation WHERE state = 'waiting'")) or 0
        )
        broken_promises.set(
            await session.scalar(
                text("SELECT count(*) FROM wait WHERE ended_at IS NULL AND overdue_at IS NOT NULL")
            )
            or 0
        )
