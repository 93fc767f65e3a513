"""The real web process over a real database, on a port of its own; twice where two processes matter."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import uvicorn

from contact_hub.app import create_app
from contact_hub.composition import Parts
from contact_hub.settings import read_settings


@contextlib.contextmanager
def web_process(database_url: str, folder: Path) -> Iterator[str]:
    """Serves the hub's app as `civicline web` does, in a thread."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base_url = f"http://127.0.0.1:{port}"
    settings = read_settings(civicline_data=folder, port=port, public_url=base_url)
    app = create_app(Parts(settings, database_url))
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=port,
            log_config=None,
            ws_max_size=64 * 1024,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started and thread.is_alive():
        time.sleep(0.02)
    try:
        yield base_url
    finally:
        server.should_exit = True
        thread.join(15)


@pytest.fixture(scope="module")
def base_url(module_database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Gives the address of a running web process."""
    with web_process(module_database_url, tmp_path_factory.mktemp("web")) as url:
        yield url


@pytest.fixture(scope="module")
def other_url(
    base_url: str, module_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Gives the address of a second web process over the same database."""
    with web_process(module_database_url, tmp_path_factory.mktemp("web2")) as url:
        yield url


@pytest.fixture
def client(base_url: str) -> Iterator[httpx.Client]:
    """Gives a plain HTTP client of the web process."""
    with httpx.Client(base_url=base_url, timeout=30) as client:
        yield client


@pytest.fixture
def visitor(client: httpx.Client) -> Callable[[], dict[str, str]]:
    """Opens a new chat session and gives the header that speaks for it."""

    def opened() -> dict[str, str]:
        answer = client.post("/channels/web_chat/sessions", json={"language": "de"})
        assert answer.status_code == 200, answer.text
        assert set(answer.json()) == {"session", "token"}
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    return opened
