"""A real browser in front of the whole running line."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

ROOT = Path(__file__).parents[2]
AXE = ROOT / "channels/base/widget/node_modules/axe-core/axe.min.js"
MISSING = "The browser tests need Chromium: install it (on Debian: apt-get install chromium)."
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}
LONGEST_STORY = 300  # seconds
PATIENCE = 20_000  # milliseconds: a cold line on a busy machine

expect.set_options(timeout=PATIENCE)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what lies here, so that `-m "not browser"` leaves it out, and gives it time on a busy machine."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.timeout(LONGEST_STORY))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Gives one Chromium for the stories of a file.

    Playwright's event loop runs in this thread until the browser closes, and no other test's can meanwhile.
    """
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        if os.environ.get("CI") == "true":
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Visit:
    """A resident's browser on the city's page."""

    page: Page
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def part(self, selector: str) -> Locator:
        """Something inside the chat."""
        return self.page.locator(f"city-chat {selector}")

    @property
    def field(self) -> Locator:
        """Where one writes."""
        return self.part("textarea")

    @property
    def log(self) -> Locator:
        """The conversation."""
        return self.page.get_by_role("log")

    def said_by(self, author: str) -> Locator:
        """The messages of citizen, bot, agent or system that the city knows of."""
        return self.part(f".message.{author}:has(time) .text")

    def open_chat(self) -> None:
        """Clicks the button at the corner."""
        self.part(".launch").click()
        expect(self.field).to_be_focused()

    def say(self, words: str) -> None:
        """Writes and sends."""
        self.field.fill(words)
        self.field.press("Enter")


Go = Callable[..., Visit]


@pytest.fixture
def go(browser: Browser, line: Any) -> Iterator[Go]:
    """Gives a function that visits the front page; at the end no page may have complained."""
    visits: list[Visit] = []

    def visit(
        path: str = "/?lang=en",
        *,
        allow: tuple[str, ...] = (),
        before: Callable[[Page], None] | None = None,
        **more: Any,
    ) -> Visit:
        context = browser.new_context(base_url=line.base_url, **({"viewport": DESKTOP} | more))
        context.set_default_timeout(PATIENCE)
        page = context.new_page()
        found = Visit(page, context)

        def complain(words: str) -> None:
            if not any(known in words for known in allow):
                found.complaints.append(words)

        page.on("console", lambda note: complain(note.text) if note.type in {"error", "warning"} else None)
        page.on("pageerror", lambda error: complain(str(error)))
        if before:
            before(page)
        page.goto(path)
        visits.append(found)
        expect(found.part(".launch, .panel").first).to_be_attached()
        return found

    yield visit
    for found in visits:
        found.context.close()
    assert [complaint for found in visits for complaint in found.complaints] == []


def axe_violations(page: Page) -> list[str]:
    """Runs axe over the page, once it is all there, and tells each violation with what it is about."""
    page.wait_for_load_state()  # a heading may stand there before the colours do
    page.evaluate(AXE.read_text(encoding="utf-8"))
    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
    found = page.evaluate("tags => axe.run(document, {runOnly: {type: 'tag', values: tags}})", tags)
    return [
        f"{rule['id']}: {rule['help']}: {[node['target'] for node in rule['nodes']]}"
        for rule in found["violations"]
    ]
