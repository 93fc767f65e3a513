"""The managers' pages in a real browser, over an invented week: charts, keyboard, phone, dark, and axe."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import DESKTOP, PHONE, axe_violations
from tests.browser.desk import Clerk, Sit, chatter, sit
from tests.whole import WholeLine

__all__ = ["sit"]

PAGES = ("/managers", "/managers?by=topic", "/managers/reviews", "/managers/questions", "/managers/bot")
REFUSED = ("the server responded with a status of 422",)  # which Chromium writes down of itself
SHOTS = os.environ.get("SCREENSHOTS")  # a folder, for whoever wants to look


@pytest.fixture(scope="module")
def told(line: WholeLine) -> Iterator[str]:
    """What is said of an invented week, which is gone afterwards."""
    made = line.civicline("demo", "--among-real", timeout=300)
    assert made.returncode == 0, made.stderr
    yield made.stdout
    line.civicline("demo", "--remove")


@pytest.fixture(scope="module")
def week(line: WholeLine, told: str) -> WholeLine:
    """A line with an invented week on it."""
    return line


def look(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS) / f"{name}.png", full_page=True)


def manager(sit: Sit, **more: Any) -> Clerk:
    return sit("Nora", role="manager", **more)


def test_a_link_of_the_demonstration_leads_its_manager_to_what_was_judged(
    told: str, week: WholeLine, browser: Browser
) -> None:
    people = {row[0]: row[1:] for line in told.splitlines() if len(row := re.split("  +", line)) == 3}
    assert [role for role, _ in people.values()] == ["ROLE", "agent", "agent", "supervisor", "manager"]
    page = browser.new_page()
    page.goto(people["Nuala Byrne"][1])
    page.get_by_label("Password").fill("correct horse battery")
    page.keyboard.press("Enter")
    expect(page).to_have_url(f"{week.base_url}/managers")
    page.goto(f"{week.base_url}/managers/reviews")
    for figure in ("precision", "should have been flagged", "recall"):
        expect(page.locator("#table-reviews tr", has_text=figure).locator("[data-value]")).to_have_count(4)
    page.close()


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (PHONE, "dark")],
    ids=["desktop-light", "phone-dark"],
)
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    week: WholeLine, sit: Sit, size: dict[str, int], scheme: str
) -> None:
    nora = manager(sit, viewport=size, color_scheme=scheme, bypass_csp=True)
    for path in PAGES:
        nora.page.goto(path)
        look(nora.page, f"{scheme}{re.sub('[^a-z]+', '-', path)}")
        assert axe_violations(nora.page) == [], path
        assert nora.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_charts_are_drawn_from_the_tables_and_the_tables_stay(week: WholeLine, sit: Sit) -> None:
    nora = manager(sit)
    today = time.strftime("%Y-%m-%d")
    nora.page.get_by_label("To", exact=True).fill(today)
    nora.page.get_by_label("By", exact=True).select_option("channel")
    nora.page.get_by_role("button", name="Show").click()
    expect(nora.page.get_by_role("heading", name="The bot by channel")).to_be_visible()
    chart = nora.page.locator("canvas[data-of=table-bot]")
    expect(chart).to_be_visible()
    drawn = nora.page.evaluate(
        "Chart.getChart(document.querySelector('canvas[data-of=table-bot]')).data.datasets[0].data"
    )
    cells = nora.page.locator("#table-bot tbody tr td:nth-child(3)")
    told = [cells.nth(at).get_attribute("data-value") for at in range(cells.count())]
    assert drawn == [None if value is None else float(value) for value in told]
    expect(nora.page.locator("#table-bot")).to_be_visible()
    with nora.page.expect_download() as taken:
        nora.page.get_by_role("link", name="The bot by channel as CSV").click()
    assert taken.value.suggested_filename.startswith("civicline-bot-")
    assert "Channel" in Path(taken.value.path()).read_text("utf-8-sig")


def test_the_contents_lead_to_every_table_by_keyboard_and_stay_in_sight(week: WholeLine, sit: Sit) -> None:
    nora = manager(sit)
    links = nora.page.get_by_role("navigation", name="On this page").get_by_role("link")
    titles = links.all_inner_texts()
    assert titles[0] == "Key figures"
    assert titles == nora.page.locator(".figure h2").all_inner_texts()
    links.get_by_text("Reports by kind").focus()
    nora.page.keyboard.press("Enter")
    heading = nora.page.get_by_role("heading", name="Reports by kind")
    expect(heading).to_be_in_viewport()
    expect(links.first).to_be_in_viewport()
    look(nora.page, "contents")
    nora.page.keyboard.press("Tab")
    expect(nora.page.get_by_role("region", name="Reports by kind")).to_be_focused()
    under = "h => document.elementFromPoint(h.getBoundingClientRect().x + 4, h.getBoundingClientRect().y + 4)"
    assert heading.evaluate(f"h => ({under})(h) === h"), "the contents do not lie over it"


def test_a_manager_judges_a_conversation_by_keyboard_and_then_sees_its_flag(
    week: WholeLine, sit: Sit
) -> None:
    nora = manager(sit)
    nora.page.goto("/managers/reviews")
    nora.page.get_by_role("button", name=re.compile("Draw about")).focus()
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_role("status")).to_be_visible()
    first = nora.page.locator(
        "section[aria-labelledby=chance] li a, section[aria-labelledby=dismissed] li a"
    ).first
    first.focus()
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_role("heading", name="What was said")).to_be_visible()
    assert nora.page.locator(".talk li").count() > 0
    look(nora.page, "review-before")
    nora.page.locator("input[name=unhappy]").first.focus()
    nora.page.keyboard.press("Space")
    nora.page.keyboard.press("Tab")
    expect(nora.page.get_by_label("Why")).to_be_focused()
    nora.page.keyboard.type("They asked three times.")
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_text(re.compile(f"says {nora.name}"))).to_be_visible()
    expect(nora.page.get_by_role("heading", name=re.compile("^(The flag|No flag)$"))).to_be_visible()
    look(nora.page, "review-after")
    nora.page.get_by_role("link", name="Judge the next conversation").focus()
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_role("heading", name="Your verdict")).to_be_visible()


def test_a_question_becomes_an_article_that_the_bot_answers_from(week: WholeLine, sit: Sit) -> None:
    resident = chatter(week)
    question = "When does the ice rink open?"
    resident.says(question)
    answer = resident.waits_for("Did this help?")  # it says when the pool is open
    resident.presses(answer["buttons"][1]["id"])
    resident.waits_for("Sorry that did not help")
    resident.says("use my messages")
    resident.waits_for("Thank you")
    nora, sam = manager(sit), manager(sit)
    nora.page.goto("/managers/questions")
    card = nora.page.locator(".cards > li", has_text="ice rink")
    card.get_by_role("button", name="Write an article").click()
    expect(nora.page.get_by_label("Title")).to_have_value(question)
    nora.page.get_by_label("Text, in Markdown").fill(
        "The ice rink is open **from November to March**, every day from 10:00 to 20:00."
    )
    nora.page.get_by_label("Topic").select_option("Sport and leisure")
    nora.page.get_by_role("button", name="Send to review").click()
    expect(nora.page.get_by_text("Somebody else has to read")).to_be_visible()
    sam.page.goto(nora.page.url.partition("?")[0])
    expect(sam.page.locator(".preview strong")).to_have_text("from November to March")
    look(sam.page, "draft")
    sam.page.get_by_role("button", name="Publish").click()
    expect(sam.page.get_by_role("status")).to_contain_text("Published")
    assert finds(week, question, "from November to March")


def finds(line: WholeLine, question: str, words: str) -> bool:
    """Whether the bot comes to answer with these words: brains follow a publication within seconds."""
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if words in str(line.ask(question)):
            return True
    return False


def test_the_switch_is_thrown_by_keyboard_and_thrown_back(week: WholeLine, sit: Sit) -> None:
    nora = manager(sit, allow=REFUSED)
    nora.page.goto("/managers/bot")
    nora.page.get_by_label("About").select_option("Pets")
    nora.page.get_by_label("Why").fill("The dog licence changes today.")
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_role("heading", name="Off about Pets")).to_be_visible()
    nora.page.get_by_label("About").select_option("Pets")
    nora.page.get_by_label("Why", exact=True).fill("Once more.")
    nora.page.keyboard.press("Enter")
    expect(nora.page.get_by_role("alert")).to_contain_text("off already")
    look(nora.page, "bot-off")
    nora.page.get_by_label("Why it may answer again").fill("It is in the articles.")
    nora.page.get_by_role("button", name="Turn it on about Pets").click()
    expect(nora.page.get_by_text("The bot answers about everything.")).to_be_visible()
