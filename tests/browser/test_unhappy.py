"""Whoever is unhappy reaches a person, on the web and by SMS, and a manager judges whether that was right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import ViewportSize, expect

from contact_hub.city import City, load_city
from tests.browser.conftest import PHONE, axe_violations
from tests.browser.desk import Sit, sit
from tests.journeys.residents import Books, BySms, OnTheWeb, Resident, until
from tests.whole import ROOT, WholeLine

__all__ = ["sit"]

CROSS = "This is useless! I already told you twice and nobody ever helps me."
QUESTION = "When is my recycling collected?"


@pytest.fixture(scope="module")
def books(line: WholeLine) -> Iterator[Books]:
    """The line's tables."""
    made = Books(line)
    yield made
    made.close()


@pytest.fixture(scope="module")
def city() -> City:
    """The city's own words."""
    return load_city(ROOT / "nlu_data")


@pytest.mark.parametrize("kind", [OnTheWeb, BySms], ids=lambda kind: kind.channel)
def test_an_unhappy_resident_is_seen_heard_given_back_and_judged(
    line: WholeLine, books: Books, city: City, sit: Sit, kind: type[Resident]
) -> None:
    ada, nuala = sit("Ada"), sit("Nuala", role="manager")
    with ada.page.expect_response("**/desk/events**"):
        ada.page.goto("/desk")
    resident = kind(line, books)
    assert "every second week" in resident.asks(QUESTION)

    # They are cross: the queue shows them with the reasons, though nobody loaded the page again.
    resident.asks(CROSS)
    conversation = str(resident.last("c.id"))
    row = ada.page.locator(f"#waiting #t-{conversation}")
    expect(row.locator(".level")).to_have_text("Unhappy")
    expect(row).to_contain_text("Their words sound dissatisfied")
    expect(row).to_contain_text(CROSS)

    # From here on the bot is silent.
    assert "every second week" not in resident.asks(QUESTION)
    row.get_by_role("button", name="Claim").click()
    expect(ada.page.locator(f"#mine #t-{conversation}")).to_be_visible()
    ada.page.locator(f"#mine #t-{conversation} a.open").click()
    expect(ada.lines.filter(has_text=CROSS)).to_be_visible()
    expect(ada.page.locator("#panel")).to_contain_text("Their words sound dissatisfied")
    assert axe_violations(ada.page) == []
    ada.field.fill("I am sorry. What has happened?")
    ada.field.press("Control+Enter")
    until(lambda: "What has happened?" in "\n".join(h.words for h in resident.inbox()), "her words arrive")
    resident.asks("Nobody emptied my bin, three weeks in a row")
    assert (
        books.rows(
            "SELECT 1 FROM touchpoint WHERE conversation_id = %s AND actor = 'bot' AND in_reply_to >"
            " (SELECT min(touchpoint_id::text)::uuid FROM flag WHERE conversation_id = %s)",
            conversation,
            conversation,
        )
        == []
    )
    expect(ada.lines.filter(has_text="three weeks in a row")).to_be_visible()

    # She was told the whole story, takes the flag away with a reason, and gives the talk back to the bot.
    first = ada.page.locator("#panel details[id^=dismiss-]").last
    first.locator("summary").click()
    first.get_by_label("Why is it wrong?").fill("Cross about the bin, not about us.")
    first.get_by_role("button", name="Take it away").click()
    ada.page.get_by_text("Back to the assistant").click()
    ada.page.locator("#act-back button").click()
    until(lambda: resident.state() == "bot", "the bot has it again")
    resident.settles()
    resident.hears()
    assert "every second week" in resident.asks(QUESTION)  # and the old words raise nothing any more
    assert resident.state() == "bot"
    dismissed = (
        "SELECT level, dismissed_why FROM flag WHERE conversation_id = %s AND dismissed_at IS NOT NULL"
    )
    assert books.rows(dismissed, conversation) == [
        {"level": "unhappy", "dismissed_why": "Cross about the bin, not about us."}
    ]
    later = (
        "SELECT 1 FROM flag f JOIN conversation c ON c.id = f.conversation_id"
        " WHERE c.id = %s AND f.touchpoint_id > c.read_from"
    )
    assert books.rows(later, conversation) == []

    # The manager finds the flag with its evidence, and judges it.
    nuala.page.goto("/managers/reviews")
    nuala.page.get_by_role("button", name="Draw about").click()
    review = str(
        until(
            lambda: books.one(
                "SELECT r.id FROM review r JOIN flag f ON f.id = r.flag_id"
                " WHERE r.conversation_id = %s AND f.dismissed_at IS NOT NULL",
                conversation,
            ),
            "the dismissed flag is to be judged",
        )
    )
    nuala.page.goto(f"/managers/reviews/{review}?flag=shown")
    expect(nuala.page.locator("li.evidence")).to_contain_text(CROSS)
    expect(nuala.page.locator("main")).to_contain_text("Their words sound dissatisfied")
    assert axe_violations(nuala.page) == []
    nuala.page.set_viewport_size(ViewportSize(width=PHONE["width"], height=PHONE["height"]))
    assert nuala.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    nuala.page.get_by_role("radio", name="Yes").check()
    nuala.page.get_by_label("Why").fill("They had asked three times.")
    nuala.page.get_by_role("button", name="Keep the verdict").click()
    judged = books.rows("SELECT verdict, judged_by FROM review WHERE id = %s", review)
    assert judged == [{"verdict": "right", "judged_by": nuala.name}]
