"""What the processes count for /metrics; each process serves its own figures."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

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
leases_lost = Counter("civicline_leases_lost_total", "Tasks whose lease ran out while they were worked on.")
