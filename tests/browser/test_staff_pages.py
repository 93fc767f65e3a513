"""An admin's first day, on a desk and on a phone: every page of staff accounts, by everybody's means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, PATIENCE, PHONE, axe_violations
from tests.whole import WholeLine

PASSWORD = "correct horse battery"
SIZES = pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop", "phone"]
)


@pytest.fixture
def opened(browser: Browser, line: WholeLine) -> Iterator[Callable[..., Page]]:
    """Opens a browser of one's own; at the end none of its pages may have complained."""
    contexts, complaints = [], list[str]()

    def start(size: dict[str, int], scheme: str) -> Page:
        context = browser.new_context(
            base_url=line.base_url,
            viewport=size,  # type: ignore[arg-type]  # a TypedDict of the same two numbers
            color_scheme=scheme,  # type: ignore[arg-type]
            bypass_csp=True,
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        return page

    yield start
    for context in contexts:
        context.close()
    assert complaints == []


def sound(page: Page, name: str, folder: Path) -> None:
    """The page that is open has nothing that keeps anybody out, and fits its width."""
    expect(page.get_by_role("heading", level=1)).to_have_text(name)
    page.screenshot(path=folder / f"{re.sub(r'[^a-z]+', '-', name.lower())}.png", full_page=True)
    assert axe_violations(page) == [], name
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} is too wide"


@SIZES
def test_every_page_of_staff_accounts_is_for_everybody(
    opened: Callable[..., Page], line: WholeLine, tmp_path: Path, size: dict[str, int], scheme: str
) -> None:
    page, name = opened(size, scheme), f"Rosa {scheme}"
    invited = line.civicline("staff", "add", name, "--role", "admin")
    (link,) = re.findall(r"http\S+", invited.stdout)
    page.goto(link)
    sound(page, "Welcome to Civicline", tmp_path)
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("People")
    page.get_by_role("button", name="Sign out").first.click()
    page.goto(link)
    expect(page.get_by_role("alert")).to_contain_text("used already or has run out")
    assert axe_violations(page) == [], "a link that was used"

    page.goto("/staff/login?next=/staff")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill("wrong horse battery")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("do not go together")
    sound(page, "Sign in", tmp_path)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    sound(page, "My account", tmp_path)

    page.goto("/staff/password")
    sound(page, "Change my password", tmp_path)
    page.goto("/staff/people")
    page.locator("details").first.locator("summary").click()
    sound(page, "People", tmp_path)
    page.get_by_label("Name").fill(f"Ana {scheme}")
    page.get_by_role("button", name="Make the link").click()
    expect(page.get_by_label("Shown this once")).to_have_value(re.compile("/staff/welcome"))
    assert axe_violations(page) == [], "the link"
    whole = "field => field.scrollHeight <= field.clientHeight && field.scrollWidth <= field.clientWidth"
    assert page.get_by_label("Shown this once").evaluate(whole), "it can be read and copied as a whole"
    page.goto("/staff/tokens")
    sound(page, "Tokens", tmp_path)

    page.goto("/staff/totp")
    sound(page, "Second factor", tmp_path)
    page.get_by_role("button", name="Begin").click()
    expect(page.get_by_role("img", name="QR code")).to_be_visible()
    assert axe_violations(page) == [], "the picture"
    secret = page.locator("p code").inner_text()
    page.get_by_label("Six digits").fill(pyotp.TOTP(secret).now())
    page.keyboard.press("Enter")
    sound(page, "Recovery codes", tmp_path)
    code = page.locator(".codes code").first.inner_text()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Code")).to_be_visible()
    assert axe_violations(page) == [], "the code"
    page.get_by_label("Code").fill(code)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Sign out").first).to_be_visible()
