"""A records officer's day at the command line."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
import uuid
import zipfile
from pathlib import Path
from typing import Any

import psycopg

from contact_hub.audit.service import WORDS_TAKEN
from contact_hub.settings import libpq_url
from tests.hub.line import SECRET_KEY

NUMBER = "+15551230042"


def test_a_request_is_handled_at_the_command_line(database_url: str, tmp_path: Path) -> None:
    given = {"DATABASE_URL": database_url, "CIVICLINE_DATA": str(tmp_path), "SECRET_KEY": SECRET_KEY}
    citizen = uuid.uuid4()
    with psycopg.connect(libpq_url(database_url)) as connection:
        connection.execute("INSERT INTO citizen (id, created_at, name) VALUES (%s, now(), 'Ada')", (citizen,))
        for channel, value in (("sms", NUMBER), ("desk", str(citizen))):
            connection.execute(
                "INSERT INTO address (id, citizen_id, channel, value, created_at, reachable)"
                " VALUES (%s, %s, %s, %s, now(), true)",
                (uuid.uuid4(), citizen, channel, value),
            )

    def civicline(*words: str, status: int = 0) -> Any:
        command = [sys.executable, "-m", "contact_hub.cli", *words]
        done = subprocess.run(
            command, env={**os.environ, **given}, capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stderr
        return json.loads(done.stdout) if "--json" in words else done.stderr

    for words in (("timeline", f"sms:{NUMBER}"), ("citizen", "show", str(citizen)), ("search", "Ada")):
        civicline(*words, "--json")
    copy = tmp_path / "copy.zip"
    civicline("export", f"sms:{NUMBER}", "--output", str(copy), "--json")
    assert copy.stat().st_mode & 0o077 == 0
    assert json.loads(zipfile.ZipFile(copy).read("data.json"))["citizen"]["name"] == "Ada"
    assert "is there already" in civicline("export", str(citizen), "--output", str(copy), status=1)
    civicline("hold", "add", str(citizen), "--reason", "a claim", "--until", "2190-12-31", "--json")
    assert [one["reason"] for one in civicline("hold", "list", "--json")] == ["a claim"]
    assert "a legal hold" in civicline("erase", str(citizen), "--reason", "a letter", "--yes", status=1)
    assert civicline("hold", "lift", str(citizen), "--json")["lifted"] == 1
    would = civicline("erase", str(citizen), "--reason", "a letter", "--dry-run", "--json")
    assert would["erasure"] is None and would["dry_run"]
    looked = civicline("retention", "--dry-run", "--json")
    assert {line["records"] for line in looked["records"]} >= {"messages", "files", "people"}
    done = civicline("erase", str(citizen), "--reason", "a letter", "--yes", "--json")
    assert done["erasure"] is not None
    assert "no such citizen" in civicline("export", str(citizen), status=1)
    with psycopg.connect(libpq_url(database_url)) as connection:
        entries = connection.execute(
            "SELECT action, viewer_kind, viewer_name FROM audit"
            " WHERE citizen_id = %s OR action = 'search' ORDER BY number",
            (citizen,),
        ).fetchall()
    actions = [action for action, _, _ in entries]
    assert actions[:3] == ["timeline.read", "citizen.read", "search"]
    assert "citizen.export" in actions
    # An erasure takes the words of earlier entries by itself.
    assert {(kind, name) for action, kind, name in entries if action != WORDS_TAKEN} == {
        ("system", f"{getpass.getuser()} at the command line")
    }
