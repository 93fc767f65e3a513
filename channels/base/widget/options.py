"""What a city may set about its web chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


def no_responses(language: str) -> Mapping[str, str]:
    """The words of a city that has written none: the element then speaks its own English."""
    return {}


@dataclass(frozen=True, slots=True)
class WebChatOptions:
    """The limits and the neighbourhood of the web chat."""

    public_url: str = "http://127.0.0.1:8000"
    origins: Sequence[str] = ()  # other sites that carry the element, such as https://www.larkhaven.example
    trusted_proxies: Sequence[str] = ()  # addresses or networks whose X-Forwarded-For is believed
    responses: Callable[[str], Mapping[str, str]] = no_responses  # nlu_data/responses/<lang>.yml as a mapping
    most_characters: int = 2000
    most_mb: int = 20
    most_files: int = 5
    # Five sockets an address; a sixth page behind one address (a library) falls back to long polling.
    sockets_per_ip: int = 5
    polls_per_ip: int = 200
    connections_per_session: int = 5
    heartbeat: float = 45.0  # seconds
    frame: int = 16 * 1024  # bytes

    @property
    def allowed_origins(self) -> frozenset[str]:
        """The sites whose pages may open a socket or read our answers, ourselves included."""
        own = self.public_url.rstrip("/")
        names = {own, *(origin.rstrip("/") for origin in self.origins)}
        for loopback in ("127.0.0.1", "localhost"):
            if own.startswith(f"http://{loopback}"):
                names |= {own.replace(loopback, other, 1) for other in ("127.0.0.1", "localhost")}
        return frozenset(names)
