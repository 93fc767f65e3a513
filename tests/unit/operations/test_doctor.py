"""`civicline doctor` says in plain words what is missing, and how to mend it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from contact_hub.operations import doctor
from contact_hub.operations.doctor import Finding

ROOT = Path(__file__).parents[3]


def examined(tmp_path: Path, **environment: str) -> tuple[int, dict[str, dict[str, Any]]]:
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("CIVICLINE_", "DATABASE_"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "contact_hub.cli", "doctor", "--json"],
        cwd=ROOT,
        env={**kept, "CIVICLINE_DATA": str(tmp_path / "data"), "PORT": "18999", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, {finding["subject"]: finding for finding in json.loads(done.stdout)}


def test_it_tries_what_a_start_needs(tmp_path: Path) -> None:
    _, found = examined(tmp_path)
    assert found["Python"]["well"]
    assert found["database"]["words"] == "the embedded PostgreSQL starts and stops here"
    assert found["city"]["words"].startswith("Larkhaven, in en, es")
    assert {"uv", "Node", "Rasa", "torch", "trained model", "disk", "memory", "Chromium"} <= found.keys()


def test_it_finds_a_port_that_is_taken_and_a_database_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        status, found = examined(tmp_path, PORT=port, DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert status == 1
    assert found[f"port {port}"]["mend"] == "Stop what uses it, or set PORT to another number."
    assert found["database"]["words"].startswith("it does not answer: ")


def test_wrong_settings_are_findings_and_no_end(tmp_path: Path) -> None:
    status, found = examined(tmp_path, PORT="abc")
    assert status == 1
    assert found["settings"]["words"] == "PORT must be a number between 1 and 65535, but it is 'abc'."


def test_a_city_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "city.yml").write_text("name: [")
    status, found = examined(tmp_path, CIVICLINE_CITY=str(tmp_path))
    assert status == 1
    assert "city.yml" in found["city"]["words"]


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        ([Finding("uv", True, "0.13")], "Everything that is needed is here."),
        (
            [Finding("Chromium", False, "none here.", "Install it.", needed=False)],
            "Everything that is needed is here.",
        ),
        ([Finding("uv", False, "missing.", "Run it.")], "1 thing keeps the line from running."),
    ],
)
def test_the_last_line_says_whether_the_line_can_run(findings: list[Finding], last: str) -> None:
    assert doctor.words(findings).splitlines()[-1] == last
