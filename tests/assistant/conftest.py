"""The real assistant for its tests: a brain with a few articles, a trained model, Rasa on PostgreSQL."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
ASSISTANT = REPOSITORY / "bot" / "assistant"
PYTHON = ASSISTANT / ".venv" / "bin" / "python"
SECRET = "assistant-tests"
HEADERS = {"X-Internal-Secret": SECRET}
ARTICLES = [
    {
        "article": "waste/recycling-collection",
        "title": "Recycling collection",
        "text": "Recycling is collected every second Tuesday. Put the blue bin out before 7 in the morning.",
        "questions": ["When is my recycling collected?", "Which day is the blue bin emptied?"],
    },
    {
        "article": "parking/resident-permit",
        "title": "Resident parking permit",
        "text": "A resident parking permit costs 60 euros a year. Apply online with proof of address.",
        "questions": ["How do I get a parking permit?", "How much is a resident permit?"],
    },
    {
        "article": "libraries/library-card",
        "title": "Library card",
        "text": "A library card is free for everyone who lives here. Bring an identity card to any branch.",
        "questions": ["How do I join the library?", "How much does a library card cost?"],
    },
]


class Knowledge(BaseHTTPRequestHandler):
    """Serves one published version of the articles, as the hub does."""

    version: bytes | None = None

    def do_GET(self) -> None:
        """Give the version, or nothing when it is known already."""
        known = self.path.endswith("after=1")
        body = b"" if known or self.version is None else self.version
        self.send_response(200 if body else 204)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


class Door(BaseHTTPRequestHandler):
    """Stands between the assistant and the brain, and can be shut for some paths."""

    brain = ""
    shut: frozenset[str] = frozenset()
    protocol_version = "HTTP/1.1"
    calls: list[str] = []
    client = httpx.Client(timeout=60)

    def do_POST(self) -> None:
        """Pass a call on, or break the connection."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.calls.append(self.path)
        if self.path in self.shut:
            self.close_connection = True
            return
        kept = {
            name: self.headers[name] for name in ("X-Internal-Secret", "Content-Type") if name in self.headers
        }
        answer = self.client.post(f"{self.brain}{self.path}", content=body, headers=kept)
        self.send_response(answer.status_code)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def process(command: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block."""
    with log.open("ab") as out:
        running = subprocess.Popen(
            command, env={**os.environ, **environment}, cwd=REPOSITORY, stdout=out, stderr=out
        )
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(15)
            except subprocess.TimeoutExpired:
                running.kill()
                running.wait()


def until(url: str, ready: Any, running: subprocess.Popen[bytes], log: Path, seconds: float = 150.0) -> None:
    """Wait until a process answers as expected, or fail with the end of its log."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and running.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if ready(httpx.get(url, headers=HEADERS, timeout=2)):
                return
        time.sleep(0.05)
    pytest.fail(f"{url} did not become ready:\n{log.read_text(errors='replace')[-3000:]}")


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives the folder for data and logs."""
    return tmp_path_factory.mktemp("assistant")


@pytest.fixture(scope="session")
def brain_url(workplace: Path) -> Iterator[str]:
    """Runs the real brain with three articles."""
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Knowledge)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {
        "INTERNAL_SECRET": SECRET,
        "BRAIN_PORT": str(port),
        "HUB_URL": f"http://127.0.0.1:{hub.server_address[1]}",
        "CIVICLINE_DATA": str(workplace),
        "KNOWLEDGE_POLL_SECONDS": "0.1",
        # The smallest of the multilingual models: these tests are about turns, not about the last percent.
        "EMBEDDING_MODEL": "use",
    }
    log = workplace / "brain.log"
    with process([sys.executable, "-m", "bot.service"], environment, log) as running:
        until(f"{url}/healthz", lambda answer: answer.status_code == 200, running, log)
        Knowledge.version = _version(url)
        until(f"{url}/healthz", lambda answer: answer.json()["ready"], running, log)
        yield url
    hub.shutdown()


def _version(url: str) -> bytes:
    articles = [{"language": "en", "url": f"https://city.example/{a['article']}", **a} for a in ARTICLES]
    computed = httpx.post(
        f"{url}/passages", headers=HEADERS, json={"articles": articles}, timeout=60
    ).raise_for_status()
    made = computed.json()
    rows: list[dict[str, Any]] = []
    vectors = b""
    for known, article in zip(articles, made["articles"], strict=True):
        for passage in article["passages"]:
            rows.append(
                {
                    "passage": len(rows) + 1,
                    "article": article["article"],
                    "version": 1,
                    "language": "en",
                    "title": known["title"],
                    "url": known["url"],
                    "kind": passage["kind"],
                    "ordinal": passage["ordinal"],
                    "text": passage["text"],
                }
            )
            vectors += b64decode(passage["vector"])
    meta = {
        "version": 1,
        "fingerprint": made["fingerprint"],
        "dimensions": made["dimensions"],
        "published_at": "2026-01-01T00:00:00Z",
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("meta.json", json.dumps(meta))
        archive.writestr("passages.jsonl", "\n".join(json.dumps(row) for row in rows))
        archive.writestr("vectors.f32", vectors)
    return packed.getvalue()


@pytest.fixture(scope="session")
def door_url(brain_url: str) -> Iterator[str]:
    """Gives a way to the brain that tests can shut."""
    Door.brain = brain_url
    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


@pytest.fixture
def door() -> Iterator[type[Door]]:
    """Gives the door, open again after the test."""
    yield Door
    Door.shut = frozenset()


@pytest.fixture(scope="session")
def assistant_environment(workplace: Path, door_url: str) -> dict[str, str]:
    """Gives the variables that the assistant's programs read."""
    if not PYTHON.exists():
        pytest.fail("The assistant's environment is missing: run `uv sync --frozen` in bot/assistant.")
    return {
        "INTERNAL_SECRET": SECRET,
        "BRAIN_URL": door_url,
        "CIVICLINE_DATA": str(workplace),
        "PYTHONWARNINGS": "ignore",
    }


@pytest.fixture(scope="session")
def trained(assistant_environment: dict[str, str], brain_url: str) -> dict[str, Any]:
    """Trains once, for real, and gives what train.py says of it."""
    done = subprocess.run(
        [str(PYTHON), str(ASSISTANT / "train.py"), "--json"],
        env={**os.environ, **assistant_environment, "BRAIN_URL": brain_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@dataclass
class Rasa:
    """A running assistant, and what is needed to start it again."""

    environment: dict[str, str]
    log: Path
    port: int
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    seconds_to_start: float = 0.0

    @property
    def url(self) -> str:
        """Where its channel is."""
        return f"http://127.0.0.1:{self.port}/webhooks/civicline"

    def start(self) -> None:
        """Start it and wait until it is ready."""
        begun = time.monotonic()
        command = [str(PYTHON), str(ASSISTANT / "server.py"), "--port", str(self.port)]
        running = self.stack.enter_context(process(command, self.environment, self.log))
        until(f"{self.url}/", lambda answer: answer.status_code == 200, running, self.log)
        self.seconds_to_start = time.monotonic() - begun

    def stop(self) -> None:
        """Stop it as an operator does."""
        self.stack.close()

    def restart(self) -> None:
        """Stop it and start it again."""
        self.stop()
        self.start()


@pytest.fixture(scope="session")
def rasa(
    assistant_environment: dict[str, str], trained: dict[str, Any], postgres: Any, workplace: Path
) -> Iterator[Rasa]:
    """Runs the real assistant on a database of its own."""
    postgres.create_database("assistant")
    database = {"RASA_DATABASE_URL": postgres.libpq("assistant")}
    running = Rasa({**assistant_environment, **database}, workplace / "rasa.log", free_port())
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def rasa_url(rasa: Rasa) -> str:
    """Gives the address of the assistant's server, without the channel."""
    return f"http://127.0.0.1:{rasa.port}"


@dataclass
class Resident:
    """One conversation, as the hub would hold it."""

    url: str
    language: str = "en"
    conversation: str = field(default_factory=lambda: str(uuid.uuid4()))

    def send(self, text: str, **more: Any) -> httpx.Response:
        """Deliver one touchpoint and give the whole answer."""
        body = {
            "conversation": self.conversation,
            "touchpoint": str(uuid.uuid4()),
            "text": text,
            "choice": None,
            "language": self.language,
            "history": [],
            "media": [],
            "given_up": [],
            "facts": {},
            **more,
        }
        return httpx.post(f"{self.url}/turn", headers=HEADERS, json=body, timeout=20)

    def says(self, text: str, **more: Any) -> dict[str, Any]:
        """Deliver one touchpoint that has to be answered."""
        answer = self.send(text, **more)
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        return said

    def presses(self, choice: dict[str, Any], **more: Any) -> dict[str, Any]:
        """Press one of the buttons that a message offered."""
        return self.says(
            choice["title"], choice={"intent": choice["intent"], "entities": choice["entities"]}, **more
        )


@pytest.fixture
def resident(rasa: Rasa) -> Resident:
    """Gives somebody who has never written before."""
    return Resident(rasa.url)
