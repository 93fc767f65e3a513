"""The compose file and its images say what the programs understand, and open nothing but the web's port."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from contact_hub.settings import SECRETS, Settings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = ("brain", "prepare", "rasa", "worker", "web")
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def known_variables() -> set[str]:
    """Gives every variable that one of the three programs reads."""
    known = {name.upper() for name in Settings.model_fields}
    for source in ("bot/settings.py", "bot/assistant/components/settings.py"):
        known |= set(re.findall(r'"([A-Z][A-Z_]+)"', (ROOT / source).read_text(encoding="utf-8")))
    secret = {name.upper() for name in SECRETS} | {"INTERNAL_SECRET", "RASA_DATABASE_URL", "DATABASE_URL"}
    return known | {f"{name}_FILE" for name in secret}


def test_the_services_are_those_of_the_design() -> None:
    assert set(SERVICES) == {"postgres", "rasa", "brain", "worker", "web", "prepare"}


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "prepare"])
def test_every_service_that_stays_has_a_health_check(name: str) -> None:
    check = SERVICES[name]["healthcheck"]
    assert {"test", "interval", "timeout", "retries", "start_period"} <= check.keys()


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_the_programs_read(name: str) -> None:
    unknown = set(SERVICES[name]["environment"]) - known_variables()
    assert unknown == set()


def test_only_web_is_published_and_only_on_this_machine() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"web": ["127.0.0.1:8000:8000"]}
    assert COMPOSE["networks"]["inside"]["internal"] is True
    for name in ("postgres", "brain", "rasa"):
        assert SERVICES[name]["networks"] == ["inside"]


@pytest.mark.parametrize("name", OURS)
def test_no_container_of_ours_may_more_than_it_must(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_secrets_come_from_files_and_every_used_one_is_declared() -> None:
    for service in SERVICES.values():
        assert set(service.get("secrets", [])) <= COMPOSE["secrets"].keys()
        for name, value in service.get("environment", {}).items():
            if name.endswith("_FILE"):
                assert value.removeprefix("/run/secrets/") in service["secrets"]
            elif re.search(r"SECRET|PASSWORD|TOKEN", name):
                assert str(value).startswith("${")


def test_who_waits_for_whom_is_there_and_makes_no_circle() -> None:
    started: list[str] = []
    while len(started) < len(SERVICES):
        ready = [
            n
            for n, s in SERVICES.items()
            if n not in started and set(s.get("depends_on", ())) <= set(started)
        ]
        assert ready, f"these wait for one another: {set(SERVICES) - set(started)}"
        started += ready
    assert started.index("brain") < started.index("rasa")


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_an_image_is_made_in_stages_from_locks_and_does_not_run_as_root(path: Path) -> None:
    words = path.read_text(encoding="utf-8")
    images = re.findall(r"^FROM (\S+)", words, re.MULTILINE)
    assert len(images) >= 2
    assert all(re.fullmatch(r"(python|node):\d+(\.\d+)?-(slim-)?bookworm(-slim)?", image) for image in images)
    assert re.findall(r"^USER (\S+)", words, re.MULTILINE)[-1] == "civicline"
    assert "--require-hashes" in words
    assert f"docker/{path.name}" in {
        service["build"]["dockerfile"] for service in map(SERVICES.get, OURS) if service
    }


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_everything_that_an_image_copies_is_in_the_repository_and_not_ignored(path: Path) -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for arguments in re.findall(r"^COPY (?!--from)(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE):
        for source in arguments.split()[:-1]:
            assert (ROOT / source).exists(), source
            assert source.split("/")[0] in allowed, source


def test_the_secrets_are_made_once_and_for_their_owner_only(tmp_path: Path) -> None:
    (tmp_path / "docker").mkdir()
    script = tmp_path / "docker" / "make-secrets"
    script.write_bytes((ROOT / "docker" / "make-secrets").read_bytes())
    subprocess.run(["bash", script], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert set(made) == set(COMPOSE["secrets"])
    assert made["database_password"] in made["database_url"]
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    subprocess.run(["bash", script], check=True)
    assert made == {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
