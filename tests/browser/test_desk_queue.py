"""The queue in a real browser: live, taken by keyboard, on a phone, by two at once, and never markup."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, Route, ViewportSize, expect

from tests.browser.conftest import DESKTOP, PHONE, axe_violations
from tests.browser.desk import Clerk, Sit, sit, unhappy
from tests.whole import WholeLine

__all__ = ["sit"]

REFUSED = ("the server responded with a status of 409",)  # which Chromium writes down of itself
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script> I want to talk to a person please"


def writes(clerk: Clerk, words: str) -> None:
    """Send a reply."""
    clerk.field.fill(words)
    clerk.field.press("Control+Enter")


def looks(clerk: Clerk, query: str = "") -> None:
    """Go to the queue and wait until it is live."""
    with clerk.page.expect_response(re.compile("/desk/events")):
        clerk.page.goto(f"/desk{query}")
    expect(clerk.page.locator("#link")).to_have_text("live")


def test_whoever_asks_for_a_person_appears_at_once_and_nobody_is_disturbed(line: WholeLine, sit: Sit) -> None:
    _, first = unhappy(line)
    ada = sit("Ada", reduced_motion="reduce")  # which brings what is focused into sight at once
    looks(ada)
    held = ada.page.locator(f"#t-{first} .open")
    held.focus()
    ada.page.evaluate("new Promise(drawn => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    ada.page.evaluate("window.moved = 0; addEventListener('scroll', () => { window.moved += 1; })")
    resident, second = unhappy(line)
    shown = ada.page.locator(f"#waiting #t-{second}")
    expect(shown).to_contain_text("asked for a person")
    expect(shown).to_contain_text("I want to talk to a person please")
    expect(shown.locator("time.ago")).to_have_text(re.compile(r"^\d+ min$"))
    expect(held).to_be_focused()
    assert ada.page.evaluate("window.moved") == 0
    expect(ada.page.locator("#said")).to_contain_text("wait")
    expect(ada.page).to_have_title(re.compile(r"\(\d+\) Queue"))
    resident.says("And my neighbour's bin as well")
    expect(shown).to_contain_text("And my neighbour's bin as well")


def test_a_conversation_is_found_claimed_and_opened_by_keyboard_alone(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada")
    looks(ada)
    keyboard = ada.page.keyboard
    row = ada.page.locator(f"#t-{talk}")
    for _ in range(60):
        keyboard.press("j")
        if row.locator(".open:focus").count():
            break
    keyboard.press("c")
    expect(ada.page.locator(f"#mine #t-{talk}")).to_be_visible()
    expect(ada.page.locator(f"#waiting #t-{talk}")).to_have_count(0)
    expect(row.locator(".open")).to_be_focused()
    expect(ada.page.locator("#said")).to_contain_text("You have taken")
    resident.waits_for(ada.name)
    keyboard.press("Enter")
    ada.page.wait_for_url(f"**/desk/c/{talk}")  # loaded, as is what listens to keys
    keyboard.press("g")
    keyboard.press("m")
    ada.page.wait_for_url("**/desk#mine-heading")
    keyboard.press("?")
    expect(ada.page.get_by_role("dialog", name="Keys")).to_be_visible()
    keyboard.press("Escape")
    expect(ada.page.get_by_role("dialog")).to_be_hidden()


def test_danger_in_a_conversation_that_somebody_holds_is_told_wherever_they_are(
    line: WholeLine, sit: Sit
) -> None:
    (resident, talk), (calm, other) = unhappy(line), unhappy(line)
    ada, ben = sit("Ada"), sit("Ben")
    for one in (other, talk):
        ada.opens(one)
        ada.page.get_by_role("button", name="Take it").click()
        expect(ada.page.locator(".state")).to_have_text("yours")
        writes(ada, "Here I am.")
    for who in (resident, calm):
        who.waits_for("Here I am.")
    looks(ada)
    calm.says("Thank you, and one more thing")
    expect(ada.page.locator(f"#mine #t-{other}")).to_contain_text("owed a word")
    resident.says("I want to kill myself")
    expect(ada.page.locator("#trouble")).to_contain_text("waits for your word: May hurt themselves")
    expect(ada.page.locator("#mine .talk").first).to_have_attribute("data-id", talk)
    expect(ada.page).to_have_title(re.compile(r"^Danger \(\d+\) Queue"))
    ada.opens(other)
    expect(ada.page.locator("#trouble")).to_contain_text("may be in danger and waits for your word")
    expect(ada.page).to_have_title(re.compile(r"^Danger \(\d+\) "))
    ada.opens(talk)
    expect(ada.page).to_have_title(re.compile(r"^Danger \(\d+\) "))
    expect(ada.page.locator("#trouble")).to_be_hidden()
    before = need(ada)
    writes(ada, "I am with you. Where are you?")
    resident.waits_for("Where are you?")
    ada.page.wait_for_function("before => Number(/\\d+/.exec(document.title)?.[0] ?? 0) < before", arg=before)
    ben.page.goto("/desk/people")
    expect(ben.page.locator("#trouble")).to_be_hidden()


def need(clerk: Clerk) -> int:
    """How many conversations need somebody, by the title of their page."""
    found = re.search(r"\((\d+)\)", clerk.page.title())
    return int(found[1]) if found else 0


def test_a_page_in_the_background_goes_on_counting(line: WholeLine, sit: Sit) -> None:
    ada = sit("Ada")
    ada.page.clock.install()
    ada.page.goto("/desk/people")
    expect(ada.page.locator("nav [data-count=waiting]")).to_have_text(re.compile(r"^\d*$"))
    ada.page.evaluate("Object.defineProperty(document, 'hidden', { value: true })")
    before = need(ada)
    unhappy(line)
    with ada.page.expect_response("**/desk/counts"):
        ada.page.clock.fast_forward(31_000)
    ada.page.wait_for_function("before => Number(/\\d+/.exec(document.title)?.[0] ?? 0) > before", arg=before)


def test_two_cannot_both_and_the_later_is_told_who_has_it(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada, ben = sit("Ada"), sit("Ben", allow=REFUSED)
    looks(ada)
    looks(ben)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)  # his press is on its way while hers is done

    ben.page.route(re.compile("/claim$"), hold)
    button = ben.page.locator(f"#t-{talk}").get_by_role("button")
    button.click()
    expect(button).to_contain_text("Taking")
    ada.page.locator(f"#t-{talk}").get_by_role("button").click()
    expect(ada.page.locator(f"#mine #t-{talk}")).to_be_visible()
    held[0].continue_()
    expect(ben.page.locator("#trouble")).to_contain_text(f"{ada.name} is already answering")
    expect(ben.page.locator(f"#waiting #t-{talk}")).to_have_count(0)
    ben.page.locator("#colleagues-fold summary").click()
    expect(ben.page.locator(f"#colleagues #t-{talk}")).to_contain_text(f"with {ada.name}")


def test_letters_are_keys_only_where_somebody_wants_them(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada")
    looks(ada)
    ada.page.keyboard.press("?")
    ada.page.get_by_label("Keys of one letter are on").uncheck()
    ada.page.get_by_role("button", name="Close").click()
    ada.page.locator(f"#t-{talk} .open").focus()
    ada.page.keyboard.press("c")
    ada.page.keyboard.press("?")
    expect(ada.page.get_by_role("dialog")).to_be_visible()
    ada.page.reload()
    expect(ada.page.locator("#link")).to_have_text("live")
    expect(ada.page.locator(f"#waiting #t-{talk}")).to_be_visible()


def test_a_filter_narrows_what_comes_later_too(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada")
    looks(ada, "?channel=telegram")
    expect(ada.page.locator("#waiting .talk")).to_have_count(0)
    expect(ada.page.locator("#found")).to_have_text(re.compile(r"^0 of \d+$"))
    with ada.page.expect_response(re.compile("/desk/events.*channel=web_chat")):
        ada.page.get_by_label("Channel").select_option("web_chat")
    expect(ada.page.locator(f"#waiting #t-{talk}")).to_be_visible()
    assert "channel=web_chat" in ada.page.url
    with ada.page.expect_response(re.compile("/desk/events.*channel=telegram")):
        ada.page.goto("/desk?channel=telegram")
    before = ada.page.locator("h2 [data-count=waiting]").inner_text()
    _, later = unhappy(line)
    expect(ada.page.locator("h2 [data-count=waiting]")).not_to_have_text(before)
    expect(ada.page.locator(f"#t-{later}")).to_have_count(0)
    ada.page.get_by_role("link", name="Queue").click()
    expect(ada.page.locator(f"#waiting #t-{later}")).to_be_visible()


def test_without_a_stream_the_page_looks_by_itself_and_says_so(line: WholeLine, sit: Sit) -> None:
    ada = sit("Ada", allow=("/desk/events", "net::ERR_FAILED"))
    ada.page.route(re.compile("/desk/events"), lambda route: route.abort())
    ada.page.goto("/desk")
    expect(ada.page.locator("#link")).to_contain_text("not live")
    _, talk = unhappy(line)
    expect(ada.page.locator(f"#waiting #t-{talk}")).to_be_visible()
    ada.page.unroute_all()
    expect(ada.page.locator("#link")).to_have_text("live")


def test_it_works_without_script(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada", java_script_enabled=False)
    ada.page.goto("/desk")
    ada.page.locator(f"#t-{talk}").get_by_role("button").click()
    expect(ada.page.get_by_role("status").filter(has_text="is yours")).to_be_visible()
    expect(ada.page.locator(f"#mine #t-{talk}")).to_be_visible()
    resident.waits_for(ada.name)
    ada.page.locator(f"#t-{talk} .open").click()
    expect(ada.page).to_have_url(re.compile(f"/desk/c/{talk}"))


def test_what_a_resident_writes_never_becomes_markup(line: WholeLine, sit: Sit) -> None:
    ada = sit("Ada")
    looks(ada)
    _, talk = unhappy(line, HOSTILE)
    expect(ada.page.locator(f"#waiting #t-{talk} q")).to_have_text(HOSTILE)
    assert ada.page.locator(".talk img, .talk script").count() == 0
    ada.page.goto("/desk/search?q=onerror")
    expect(ada.page.locator("mark").first).to_have_text(re.compile("onerror", re.IGNORECASE))
    assert ada.page.locator("main img, main script").count() == 0


def test_counts_are_told_on_the_other_pages(line: WholeLine, sit: Sit) -> None:
    unhappy(line)
    ada = sit("Ada")
    ada.page.goto("/desk/people")
    expect(ada.page.locator("nav [data-count=waiting]")).to_have_text(re.compile(r"^\d+$"))


def test_whoever_is_signed_out_is_led_to_the_door(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada", allow=("401",))
    looks(ada)
    ada.context.clear_cookies()
    ada.page.locator(f"#t-{talk}").get_by_role("button").click()
    expect(ada.page).to_have_url(re.compile("/staff/login"))


def settled(page: Page) -> None:
    """Wait until nothing moves: a colour on its way from one to another has a contrast of its own."""
    page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")


def fits(page: Page) -> bool:
    """Whether the page is no wider than the screen."""
    return bool(page.evaluate("document.documentElement.scrollWidth <= innerWidth"))


def folded_away(page: Page) -> None:
    """A phone shows the queue first; menu and filters unfold by keyboard."""
    waiting = page.locator("#waiting-heading").bounding_box()
    assert waiting is not None
    assert waiting["y"] < 200
    for words, inside in (
        ("Menu", page.get_by_role("link", name="Mentions")),
        ("Narrow the queue", page.get_by_label("Channel")),
    ):
        expect(inside).to_be_hidden()
        page.locator("summary").filter(has_text=words).focus()
        page.keyboard.press("Enter")
        expect(inside).to_be_visible()
        assert axe_violations(page) == []
        assert fits(page)


@pytest.mark.parametrize(
    ("size", "scheme"),
    [(DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark")],
    ids=["desktop-light", "desktop-dark", "phone-light", "phone-dark"],
)
def test_axe_finds_nothing_and_nothing_is_cut_off(
    line: WholeLine, sit: Sit, size: ViewportSize, scheme: str
) -> None:
    _, talk = unhappy(line)
    unhappy(line, "وصلت الفاتورة مرتين، أريد التحدث إلى شخص", "ar")
    allow = ("status of 422",)  # of a search for nothing
    ada = sit("Ada", viewport=size, color_scheme=scheme, bypass_csp=True, allow=allow)
    looks(ada)
    expect(ada.page.locator(f"#waiting #t-{talk}")).to_be_visible()
    settled(ada.page)
    assert axe_violations(ada.page) == []
    assert fits(ada.page)
    if size is PHONE:
        folded_away(ada.page)
    expect(ada.page.get_by_role("link", name="Mentions")).to_be_visible()
    expect(ada.page.get_by_label("Channel")).to_be_visible()
    ada.page.locator(f"#t-{talk}").get_by_role("button").click()
    expect(ada.page.locator(f"#mine #t-{talk}")).to_be_visible()
    settled(ada.page)
    assert axe_violations(ada.page) == []
    ada.page.keyboard.press("?")
    assert axe_violations(ada.page) == []
    ada.page.keyboard.press("Escape")
    for path in ("/desk/search?q=person", "/desk/search?q=-x", "/desk/people", "/desk/mentions"):
        ada.page.goto(path)
        assert axe_violations(ada.page) == [], path
        assert fits(ada.page), path
    ada.page.goto("/desk/search?q=person")
    ada.page.get_by_role("link", name=re.compile("whole history")).first.click()
    expect(ada.page.get_by_role("heading", level=1)).to_contain_text("History of")
    assert axe_violations(ada.page) == []
    assert fits(ada.page)
