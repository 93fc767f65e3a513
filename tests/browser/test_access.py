"""The chat and the page for everybody: keyboard, screen reader, zoom, right to left, colours, motion."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.browser.conftest import DESKTOP, PHONE, Go, axe_violations

QUESTIONS = {
    "en": "When is my recycling collected?",
    "ar": "متى تُجمع مواد إعادة التدوير؟",
}


@pytest.mark.parametrize(
    ("size", "scheme", "language"),
    [(DESKTOP, "light", "en"), (DESKTOP, "dark", "ar"), (PHONE, "light", "ar"), (PHONE, "dark", "en")],
    ids=["desktop-light", "desktop-dark-rtl", "phone-light-rtl", "phone-dark"],
)
def test_axe_finds_nothing(go: Go, size: dict[str, int], scheme: str, language: str) -> None:
    visit = go(
        f"/?lang={language}", viewport=size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    assert axe_violations(visit.page) == []
    visit.open_chat()
    visit.say(QUESTIONS[language])
    expect(visit.part(".choice").first).to_be_visible()
    assert axe_violations(visit.page) == []
    visit.part(".choice").first.click()
    expect(visit.part(".choice[aria-pressed=true]").first).to_be_visible()
    assert axe_violations(visit.page) == []


@pytest.mark.parametrize(
    ("size", "scheme", "language", "words", "numbers"),
    [
        (DESKTOP, "light", "en", "There is a gas leak", ["tel:112"]),
        (DESKTOP, "dark", "en", "I want to end my life", ["tel:+35315550116", "tel:112"]),
        (PHONE, "dark", "ar", "أريد أن أموت", ["tel:+35315550116", "tel:112"]),
        (PHONE, "light", "ar", "بيتي يحترق", ["tel:112"]),
    ],
    ids=["desktop-light", "desktop-dark-crisis", "phone-dark-rtl-crisis", "phone-light-rtl"],
)
def test_whom_to_call_in_danger_stands_out_and_is_dialled_by_a_tap(
    go: Go, size: dict[str, int], scheme: str, language: str, words: str, numbers: list[str]
) -> None:
    visit = go(
        f"/?lang={language}", viewport=size, color_scheme=scheme, bypass_csp=True, reduced_motion="reduce"
    )
    visit.open_chat()
    visit.say(words)
    alarm = visit.page.get_by_role("alert")
    expect(alarm).to_have_count(1)
    links = visit.part(".alarm a")
    assert [link.get_attribute("href") for link in links.all()] == numbers
    for link in links.all():
        expect(link).to_have_css("direction", "ltr")  # else its groups of digits change places
    assert alarm.locator(".bubble").evaluate("it => it.scrollWidth <= it.clientWidth")
    assert axe_violations(visit.page) == []
    visit.page.reload()
    visit.part(".launch").click()
    expect(links).to_have_count(len(numbers))
    expect(visit.page.get_by_role("alert")).to_have_count(0)  # history is shown and not announced


def test_escape_closes_and_the_focus_returns_to_where_it_came_from(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.page.keyboard.press("Escape")
    expect(visit.part(".panel")).to_be_hidden()
    expect(visit.part(".launch")).to_be_focused()
    question = visit.page.get_by_role("button", name=QUESTIONS["en"])
    question.focus()
    visit.page.keyboard.press("Enter")
    expect(visit.field).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(question).to_be_focused()


def test_the_chat_never_takes_the_focus_by_itself(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(QUESTIONS["en"])
    search = visit.page.get_by_label("Your question to the city")
    search.focus()
    expect(visit.part(".sources a").first).to_be_visible()
    expect(search).to_be_focused()
    visit.page.reload()
    visit.page.evaluate("document.querySelector('city-chat').open = true")
    expect(visit.said_by("citizen")).to_have_count(1)
    assert visit.page.evaluate("document.activeElement === document.body")


def test_everything_is_done_by_keyboard(go: Go) -> None:
    visit = go()
    for _ in range(40):
        visit.page.keyboard.press("Tab")
        if visit.part(".launch:focus").count():
            break
    visit.page.keyboard.press("Enter")
    visit.page.keyboard.type(QUESTIONS["en"])
    visit.page.keyboard.press("Enter")
    expect(visit.part(".choice").first).to_be_visible()
    for _ in range(10):
        visit.page.keyboard.press("Shift+Tab")
        if visit.part(".choice:focus").count():
            break
    visit.page.keyboard.press("Space")
    expect(visit.part(".choice[aria-pressed=true]")).to_be_focused()
    visit.page.keyboard.press("Escape")
    expect(visit.part(".launch")).to_be_focused()


def test_on_a_whole_screen_the_focus_stays_in_the_chat(go: Go) -> None:
    visit = go(viewport=PHONE)
    visit.open_chat()
    expect(visit.part(".panel")).to_have_attribute("aria-modal", "true")
    seen = set()
    for _ in range(9):
        visit.page.keyboard.press("Tab")
        seen.add(visit.page.evaluate("document.activeElement.localName"))
    assert seen == {"city-chat"}


def test_messages_and_typing_are_announced_apart_from_one_another(go: Go) -> None:
    visit = go()
    visit.open_chat()
    expect(visit.log).to_have_attribute("aria-label", "Ask the city")
    expect(visit.log).to_have_attribute("aria-live", "polite")
    expect(visit.part(".typing")).to_have_attribute("role", "status")
    visit.say(QUESTIONS["en"])
    expect(visit.part(".bot .hidden").first).to_have_text("Assistant: ")
    expect(visit.part(".citizen .hidden").first).to_have_text("You: ")
    expect(visit.part(".sources a").first).to_be_visible()
    slow: list[Route] = []
    visit.page.route("**/web_chat/ticket", lambda route: slow.append(route))  # noqa: PLW0108 - as playwright wants
    with visit.page.expect_request("**/web_chat/ticket"):
        visit.page.reload()
    visit.part(".launch").click()
    assert visit.log.get_attribute("aria-live") == "off"  # history is put back in silence
    slow.pop().continue_()
    expect(visit.log).to_have_attribute("aria-live", "polite")


@pytest.mark.parametrize(
    "size", [{"width": 320, "height": 256}, {"width": 320, "height": 640}, {"width": 640, "height": 320}]
)
def test_nothing_is_lost_at_400_percent(go: Go, size: dict[str, int]) -> None:
    visit = go(viewport=size)
    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    visit.open_chat()
    visit.say(QUESTIONS["en"])
    expect(visit.part(".choice").first).to_be_attached()
    for selector in (".log", "textarea", ".send", ".head button >> nth=1"):
        box = visit.part(selector).first.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["y"] >= 0
        assert box["x"] + box["width"] <= size["width"]
        assert box["y"] + box["height"] <= size["height"]
    assert visit.log.evaluate("log => log.clientHeight") >= 70
    assert visit.log.evaluate("log => log.scrollWidth <= log.clientWidth")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_every_target_is_large_enough(go: Go, size: dict[str, int]) -> None:
    visit = go(viewport=size)
    visit.open_chat()
    visit.say(QUESTIONS["en"])
    expect(visit.part(".choice").first).to_be_visible()
    targets = visit.part("button:visible, .sources a:visible, textarea:visible")
    for target in targets.all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 24, target.inner_text()


def test_arabic_reads_from_right_to_left(go: Go) -> None:
    visit = go("/?lang=ar")
    launch = visit.part(".launch").bounding_box()
    assert launch is not None
    assert launch["x"] < 200
    visit.open_chat()
    expect(visit.part(".all")).to_have_attribute("dir", "rtl")
    visit.say(QUESTIONS["ar"])
    visit.say("in English please")
    mine = visit.part(".citizen .text")
    expect(mine).to_have_count(2)
    expect(mine.nth(0)).to_have_css("direction", "rtl")
    expect(mine.nth(1)).to_have_css("direction", "ltr")


def test_an_english_quote_in_an_arabic_answer_reads_from_left_to_right(go: Go) -> None:
    visit = go("/?lang=ar")
    visit.open_chat()
    visit.say(QUESTIONS["ar"])
    answer = visit.part(".bot .text").filter(has_text="Recycling")
    where = """text => {
      const words = document.createTreeWalker(text, NodeFilter.SHOW_TEXT).nextNode();
      const left = place => {
        const range = document.createRange();
        range.setStart(words, place);
        range.setEnd(words, place + 1);
        return range.getBoundingClientRect().left;
      };
      const stop = words.data.indexOf(".\\n");
      return [left(stop - 1), left(stop)];
    }"""
    last_letter, full_stop = answer.evaluate(where)
    assert full_stop > last_letter


def test_who_asks_for_less_motion_gets_none(go: Go) -> None:
    visit = go(reduced_motion="reduce")
    visit.open_chat()
    visit.say("hello")
    # What has left the page meanwhile has no style at all.
    moving = """parts => parts.filter(
        part => part.isConnected && getComputedStyle(part).animationName !== 'none'
    ).length"""
    assert visit.part(".message, .dots i").evaluate_all(moving) == 0


def test_forced_colours_keep_every_border(go: Go) -> None:
    visit = go(forced_colors="active")
    visit.open_chat()
    visit.say("hello")
    for selector in (".citizen .bubble", ".send", ".head", "textarea"):
        border = visit.part(selector).first.evaluate("part => getComputedStyle(part).borderBottomWidth")
        assert border != "0px", selector
