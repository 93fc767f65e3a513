"""What the steps of the journey may use."""

from __future__ import annotations

from dataclasses import dataclass

from channels.base.contract import Channel
from contact_hub.city import City
from contact_hub.flags.rules import Rules
from contact_hub.journey.neighbours import Neighbours


@dataclass(frozen=True)
class Tools:
    """What steps may use."""

    city: City
    neighbours: Neighbours
    channels: dict[str, Channel]
    flags: Rules
