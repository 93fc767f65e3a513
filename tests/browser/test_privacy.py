"""Before a card number leaves the browser its writer is asked, and decides."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import DESKTOP, PHONE, Go, Visit, axe_violations

CARD = "4111 1111 1111 1111"
PRIVATE = [
    f"my card is {CARD}",
    "4111-1111-1111-1111",
    "بطاقتي ٤١١١ ١١١١ ١١١١ ١١١١",
    "卡号４１１１１１１１１１１１１１１１",
    "at number 12 4111111111111111",
    "IBAN DE89 3704 0044 0532 0130 00.",
    "ie29aibk93115212345678 please",
]
EVERYDAY = [
    "How is R26-00001-8 going?",
    "at 12 Mill Lane there is a pothole in the road",
    "4111 1111 1111 1112",
    "On 22.11.2026 at 08:00, call 087 123 4567",
]


def _asked(visit: Visit) -> None:
    expect(visit.part(".doubt")).to_be_visible()
    expect(visit.part(".doubt [role=alert]")).to_have_text(
        "This looks like a card or account number. Send anyway?"
    )


def test_a_card_number_is_asked_about_and_can_be_changed_by_keyboard(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(f"Can I pay with {CARD}?")
    _asked(visit)
    expect(visit.said_by("citizen")).to_have_count(0)
    expect(visit.part(".doubt button").first).to_be_focused()
    visit.page.keyboard.press("Escape")  # closes the question, not the chat
    expect(visit.part(".doubt")).to_be_hidden()
    expect(visit.field).to_be_focused()
    expect(visit.field).to_have_value(f"Can I pay with {CARD}?")
    visit.field.press("Enter")
    visit.page.keyboard.press("Enter")  # "Change it" has the focus: a second Enter sends nothing
    expect(visit.field).to_be_focused()
    visit.say("Can I pay by card?")
    expect(visit.said_by("citizen")).to_have_text(["Can I pay by card?"])


def test_whoever_sends_it_anyway_sends_it_and_may_have_it_removed(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(CARD)
    _asked(visit)
    visit.part(".doubt button").last.click()
    expect(visit.said_by("citizen")).to_have_text([CARD])
    expect(visit.part(".doubt")).to_be_hidden()
    expect(visit.field).to_be_focused()
    expect(visit.field).to_have_value("")
    visit.page.get_by_role("button", name="Remove it").click()
    expect(visit.said_by("system").last).to_contain_text("It is removed.")
    visit.page.reload()
    visit.part(".launch").click()
    expect(visit.said_by("citizen").first).to_have_text("[card]")


def test_only_what_looks_like_a_number_of_that_kind_is_asked_about(go: Go) -> None:
    visit = go()
    visit.open_chat()
    for words in PRIVATE:
        visit.say(words)
        _asked(visit)
        visit.page.keyboard.press("Escape")
    for words in EVERYDAY:
        visit.say(words)
        expect(visit.field).to_have_value("")
    expect(visit.said_by("citizen")).to_have_text(EVERYDAY)


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(DESKTOP, "light", "en"), (PHONE, "dark", "ar")],
    ids=["desktop", "phone"],
)
def test_the_question_is_for_everybody(go: Go, size: dict[str, int], scheme: str, language: str) -> None:
    visit = go(
        f"/?lang={language}", viewport=size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    visit.open_chat()
    visit.say(CARD)
    expect(visit.part(".doubt")).to_be_visible()
    assert axe_violations(visit.page) == []
