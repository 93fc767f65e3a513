"""The brain over real HTTP on a free port, following a hub that publishes real archives."""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from bot.knowledge.snapshots import Snapshot
from bot.settings import SettingsError, from_environment

SECRET = "a-secret-of-the-tests"


class Hub:
    """Publishes what it is given, as the hub does."""

    def __init__(self) -> None:
        self.published: tuple[int, bytes] | None = None
        hub = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                after = int(self.path.rpartition("=")[2])
                known = self.headers["X-Internal-Secret"] == SECRET
                if not known or hub.published is None or hub.published[0] <= after:
                    self.send_response(204 if known else 403)
                    self.end_headers()
                    return
                self.send_response(200)
                self.send_header("Content-Type", "application/zip")
                self.send_header("Content-Length", str(len(hub.published[1])))
                self.end_headers()
                self.wfile.write(hub.published[1])

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def publish(self, version: int, snapshot: Snapshot, fingerprint: str) -> None:
        out = io.BytesIO()
        vectors = np.stack([snapshot.vector(at) for at in range(len(snapshot.rows))])
        meta = {
            "version": version,
            "fingerprint": fingerprint,
            "dimensions": vectors.shape[1],
            "published_at": "now",
        }
        with zipfile.ZipFile(out, "w") as parts:
            parts.writestr("meta.json", json.dumps(meta))
            parts.writestr("passages.jsonl", "".join(json.dumps(asdict(row)) + "\n" for row in snapshot.rows))
            parts.writestr("vectors.f32", vectors.astype("<f4").tobytes())
        self.published = (version, out.getvalue())

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Brain:
    """A brain process of its own."""

    def __init__(self, hub: Hub, data: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        environment = os.environ | {
            "INTERNAL_SECRET": SECRET,
            "HUB_URL": hub.url,
            "BRAIN_PORT": str(port),
            "CIVICLINE_DATA": str(data),
            "KNOWLEDGE_POLL_SECONDS": "0.1",
        }
        environment.pop("EMBEDDING_MODEL", None)
        self.log = (data / "brain.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bot.service"], env=environment, stderr=self.log
        )
        self.http = httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            headers={"X-Internal-Secret": SECRET},
            timeout=30,
            trust_env=False,
        )

    def health(self) -> dict[str, Any]:
        try:
            response = self.http.get("/healthz")
        except httpx.HTTPError:
            return {}
        return dict(response.json()) | {"status": response.status_code}

    def wait(self, **wanted: Any) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            health = self.health()
            if health and all(health.get(name) == value for name, value in wanted.items()):
                return health
            assert self.process.poll() is None, "the brain ended"
            time.sleep(0.05)
        raise AssertionError(f"never {wanted}: {self.health()}")

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=20)
        self.http.close()
        self.log.close()
        return code


@pytest.fixture(scope="module")
def running(town: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Brain, Hub]]:
    """Starts one brain and publishes the small town's knowledge to it."""
    hub, data = Hub(), tmp_path_factory.mktemp("brain")
    brain = Brain(hub, data)
    empty = brain.wait(status=200)
    assert empty["ready"] is False
    hub.publish(1, town, town.meta.fingerprint)
    brain.wait(ready=True, kb_version=1)
    yield brain, hub
    assert brain.stop() in (0, -signal.SIGTERM)
    hub.close()


@pytest.mark.parametrize(
    "path", ["/read", "/embed", "/group", "/search", "/passages", "/webhook", "/metrics", "/unknown"]
)
def test_without_the_secret_nothing_is_said(running: tuple[Brain, Hub], path: str) -> None:
    response = running[0].http.post(path, headers={"X-Internal-Secret": "wrong"}, json={})
    assert (response.status_code, response.json()) == (
        403,
        {"error": "the internal secret is missing or wrong"},
    )


def test_health_needs_no_secret_and_tells_what_is_served(running: tuple[Brain, Hub], town: Snapshot) -> None:
    health = httpx.get(f"{running[0].http.base_url}/healthz", trust_env=False).json()
    assert health["ready"] is True
    assert health["fingerprint"] == town.meta.fingerprint
    assert health["passages"] == len(town.rows)
    assert health["pid"] == running[0].process.pid
    assert health["index_age_s"] >= 0


def test_a_language_is_read(running: tuple[Brain, Hub]) -> None:
    read = running[0].http.post("/read", json={"text": "Wann wird mein Müll abgeholt?", "hint": "en"}).json()
    assert read["language"] == "de"
    assert 0.5 < read["confidence"] <= 1
    assert running[0].http.post("/read", json={"text": "ok", "hint": "ar"}).json()["language"] == "ar"


def test_a_turn_is_read_with_what_was_said_before_it(running: tuple[Brain, Hub]) -> None:
    history = [
        {"role": "citizen", "text": "When is the library open on Saturday?"},
        {"role": "bot", "text": "The swimming pool is open from 8 to 20."},
        {"role": "citizen", "text": "no"},
    ]
    asked = {"text": "Saturday opening hours of the library?", "hint": "en", "history": history}
    read = running[0].http.post("/read", json=asked).json()
    assert set(read) == {"language", "confidence", "unhappy", "repeats", "danger"}
    assert 0 <= read["unhappy"] < 0.5
    assert read["repeats"]["turn"] == 0
    assert 0.5 < read["repeats"]["similarity"] <= 1
    angry = {"text": "This is useless, you never help anybody!", "hint": "en", "history": history}
    read = running[0].http.post("/read", json=angry).json()
    assert read["unhappy"] > 0.5
    assert read["repeats"] is None


@pytest.mark.parametrize("text", ["", " ", "👍", "\0", "x" * 20_000])
def test_a_turn_of_any_kind_is_read(running: tuple[Brain, Hub], text: str) -> None:
    history = [{"role": "citizen", "text": ""}, {"role": "bot", "text": text}] * 25
    response = running[0].http.post("/read", json={"text": text, "hint": "de", "history": history})
    assert (response.status_code, response.json()["language"]) == (200, "de")


def test_vectors_come_as_little_endian_floats(running: tuple[Brain, Hub]) -> None:
    body = running[0].http.post("/embed", json={"texts": ["hello", "hola", "hello"]}).json()
    vectors = np.frombuffer(base64.b64decode(body["vectors"]), "<f4").reshape(3, body["dimensions"])
    assert (vectors[0] == vectors[2]).all()
    assert body["fingerprint"].split(":")[-2] == str(body["dimensions"])


def test_questions_of_several_languages_are_grouped_by_meaning(running: tuple[Brain, Hub]) -> None:
    questions = [
        "Do I need permission to fly my drone?",
        "Opening times of the ice rink this winter",
        "¿Necesito permiso para volar un dron?",
        "When does the ice rink open?",
        "How do I become a foster parent?",
    ]
    body = running[0].http.post("/group", json={"texts": questions}).json()
    assert body == {"groups": [[0, 2], [1, 3], [4]]}


def test_a_question_gets_its_article(running: tuple[Brain, Hub]) -> None:
    for text, language in (
        ("When is my recycling collected?", "en"),
        ("Wann wird mein Recycling abgeholt?", "de"),
        ("متى يتم جمع إعادة التدوير؟", "ar"),
    ):
        answer = (
            running[0]
            .http.post("/search", json={"text": text, "language": language, "history": [], "k": 2})
            .json()
        )
        first = answer["passages"][0]
        assert first["article"] == "waste/recycling-collection"
        assert (answer["kb_version"], answer["language"], first["language"]) == (1, language, "en")
        assert set(first) == {
            "passage",
            "article",
            "version",
            "language",
            "title",
            "url",
            "text",
            "quote",
            "score",
        }
        assert answer["took_ms"] >= 0


def test_the_residents_language_is_preferred(running: tuple[Brain, Hub]) -> None:
    asked = {"text": "¿Cuándo recogen el reciclaje?", "language": "es", "history": [], "k": 1}
    first = running[0].http.post("/search", json=asked).json()["passages"][0]
    assert (first["language"], first["title"]) == ("es", "Cuándo se recoge el reciclaje")


def test_articles_become_passages_with_vectors(running: tuple[Brain, Hub]) -> None:
    article = {
        "article": "a/b",
        "language": "en",
        "title": "T",
        "text": "One.\n\n## H\nTwo.",
        "questions": ["Q?"],
    }
    body = running[0].http.post("/passages", json={"articles": [article]}).json()
    (made,) = body["articles"]
    assert [(p["ordinal"], p["kind"], p["text"]) for p in made["passages"]] == [
        (0, "title", "T"),
        (1, "question", "Q?"),
        (2, "body", "One."),
        (3, "body", "Two."),
    ]
    assert all(len(base64.b64decode(p["vector"])) == 4 * body["dimensions"] for p in made["passages"])


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/read", b'{"text": 3}'),
        ("/read", b'{"text": "x", "history": ["x"]}'),
        ("/read", b"{"),
        ("/embed", b'{"texts": "one"}'),
        ("/group", b'{"texts": [3]}'),
        ("/search", b'{"text": "x", "k": 0}'),
        ("/search", json.dumps({"text": "x" * 100_000}).encode()),
        ("/passages", b'{"articles": [{"article": ""}]}'),
        ("/webhook", b"not json"),
    ],
)
def test_a_malformed_call_is_explained_and_not_repeated(
    running: tuple[Brain, Hub], path: str, content: bytes
) -> None:
    response = running[0].http.post(path, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert response.json()["error"]
    assert "xxx" not in response.text


@pytest.mark.parametrize(
    "text", ["", " ", "\0", "👍👍👍", "/restart", "x" * 20_000, "ÿ\ud7ff", "SELECT 1; --"]
)
def test_odd_questions_get_an_answer_of_some_kind(running: tuple[Brain, Hub], text: str) -> None:
    response = running[0].http.post("/search", json={"text": text, "language": "en"})
    assert response.status_code == 200
    assert response.json()["outcome"] in ("answered", "clarified", "refused")


def test_too_large_a_call_is_refused(running: tuple[Brain, Hub]) -> None:
    response = running[0].http.post("/embed", content=b"x" * (33 * 1024 * 1024))
    assert response.status_code == 413
    assert response.json() == {"error": "a call may hold 32 MB"}


def test_metrics_count_calls_and_outcomes(running: tuple[Brain, Hub]) -> None:
    running[0].http.post("/search", json={"text": "passport", "language": "en"})
    page = running[0].http.get("/metrics").text
    assert 'civicline_brain_call_seconds_count{route="/search",status="200"}' in page
    assert "civicline_brain_answers_total{outcome=" in page
    assert "civicline_brain_kb_version 1.0" in page


def test_a_question_that_is_declined_is_passed_on_as_one_without_an_answer(
    running: tuple[Brain, Hub],
) -> None:
    asked = {"text": "Who wins the chess cup of Saturn?", "metadata": {"language": "en"}}
    call = {
        "next_action": "action_out_of_scope",
        "tracker": {"sender_id": "x", "latest_message": asked, "slots": {}, "events": []},
        "domain": {},
    }
    (message,) = running[0].http.post("/webhook", json=call).json()["responses"]
    assert message["custom"]["say"] == "out_of_scope"
    assert message["custom"]["unanswered"]["outcome"] != "answered"


def test_an_unknown_action_is_not_found(running: tuple[Brain, Hub]) -> None:
    call = {"next_action": "action_nobody_wrote", "tracker": {"sender_id": "x"}, "domain": {}}
    response = running[0].http.post("/webhook", json=call)
    assert (response.status_code, response.json()["action_name"]) == (404, "action_nobody_wrote")


def test_other_models_vectors_are_refused_and_the_old_version_serves_on(
    running: tuple[Brain, Hub], town: Snapshot
) -> None:
    brain, hub = running
    hub.publish(2, town, "other:8:0")
    deadline = time.monotonic() + 20
    while "problem" not in (health := brain.health()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert "version 2 was made with other:8:0" in health["problem"]
    assert (health["ready"], health["kb_version"]) == (True, 1)
    hub.publish(3, town, town.meta.fingerprint)
    assert "problem" not in brain.wait(kb_version=3)


def test_a_restart_serves_from_the_cache_without_the_hub(
    running: tuple[Brain, Hub], tmp_path: Path, town: Snapshot
) -> None:
    hub = Hub()
    hub.publish(7, town, town.meta.fingerprint)
    first = Brain(hub, tmp_path)
    first.wait(ready=True, kb_version=7)
    first.process.kill()
    first.process.wait()
    hub.close()
    second = Brain(hub, tmp_path)
    second.wait(ready=True, kb_version=7)
    second.stop()
    logged = (tmp_path / "brain.log").read_text(encoding="utf-8")
    assert "the hub cannot be asked for knowledge" in logged
    assert "recycling" not in logged


def test_no_log_line_holds_a_text(running: tuple[Brain, Hub]) -> None:
    brain = running[0]
    brain.http.post("/search", json={"text": "my very private question", "language": "en"})
    brain.http.post("/read", json={"text": "my very private question"})
    assert "private" not in Path(brain.log.name).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "INTERNAL_SECRET is not set"),
        (
            {"INTERNAL_SECRET": "s", "BRAIN_PORT": "many"},
            "BRAIN_PORT must be a port number from 1 to 65535, not 'many'.",
        ),
        (
            {"INTERNAL_SECRET_FILE": "/nowhere/x"},
            "INTERNAL_SECRET_FILE names /nowhere/x, which cannot be read",
        ),
        (
            {"INTERNAL_SECRET": "s", "KNOWLEDGE_POLL_SECONDS": "-1"},
            "KNOWLEDGE_POLL_SECONDS must be a number of seconds",
        ),
    ],
)
def test_a_wrong_setting_is_one_readable_sentence(environment: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        from_environment(environment)
