"""The words beside the code keep up with it: settings, commands, metrics, links and decisions."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from prometheus_client import REGISTRY

from bot import metrics as brain_metrics
from contact_hub.cli import app
from contact_hub.operations import metrics
from contact_hub.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def _first_column(path: str, pattern: str) -> set[str]:
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    return {m[1] for line in lines if (m := re.match(rf"\| `({pattern})` \|", line))}


def _commands(command: Any, prefix: str) -> Iterator[str]:
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from _commands(inner, f"{prefix} {name}")
    else:
        yield prefix


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    documented = _first_column("docs/settings.md", "[A-Z_]+")
    assert documented == {name.upper() for name in Settings.model_fields}


def test_every_command_is_documented_and_every_documented_command_exists() -> None:
    documented = _first_column("docs/operating.md", "civicline [a-z ]+")
    assert documented == set(_commands(typer.main.get_command(app), "civicline"))


def test_every_metric_is_documented_and_every_documented_metric_exists() -> None:
    assert metrics.turns
    assert brain_metrics.ANSWERS  # importing them filled the registry
    counted = {
        f"{family.name}_total"
        if family.type == "counter" and not family.name.startswith("civicline_brain")
        else family.name
        for family in REGISTRY.collect()
        if family.name.startswith("civicline")
    }
    assert _first_column("docs/operating.md", "civicline_[a-z_]+") == counted


@pytest.mark.parametrize(
    "page", [*sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/**/*.md")), "README.md"]
)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    folder = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / page).read_text(encoding="utf-8")):
        if "://" not in target:
            assert (folder / target).exists(), f"{page} links to {target}"


def test_every_decision_says_context_decision_and_consequences() -> None:
    for record in sorted((ROOT / "docs/decisions").glob("*.md")):
        text = record.read_text(encoding="utf-8")
        for word in ("Context", "Decision", "Consequences"):
            assert word in text, f"{record.name} does not say its {word.lower()}"
