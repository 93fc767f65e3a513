"""One conversation at the desk in a real browser: live, by keyboard, on a phone, and never fooled."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import DESKTOP, PHONE, axe_violations
from tests.browser.desk import Clerk, Sit, chatter, handed_over, sit, unhappy
from tests.whole import WholeLine

__all__ = ["sit"]

REFUSED = ("the server responded with a status of 409",)  # which Chromium writes down of itself
PDF = b"%PDF-1.4\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n"
HOSTILE = (
    '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    "</textarea><svg onload=alert(3)><hx-partial hx-target='#main'>gone</hx-partial>\r\revent: over\r\r"
)


def writes(clerk: Clerk, words: str) -> None:
    """Write a reply and send it as whoever knows the keys does."""
    clerk.field.fill(words)
    clerk.field.press("Control+Enter")


def test_an_agent_takes_it_and_the_answer_reaches_the_web_chat_live(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    expect(ada.page.locator(".state")).to_have_text("waiting for a person")
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".state")).to_have_text("yours")
    resident.waits_for(ada.name)
    resident.says("Are you a real person?")
    expect(ada.lines.filter(has_text="Are you a real person?")).to_be_visible()
    expect(ada.page.locator("#said")).to_contain_text("Are you a real person?")
    writes(ada, "I am, and I have read everything.")
    expect(ada.page.locator(".held .left")).to_contain_text("leaves in")
    expect(ada.field).to_be_focused()
    expect(ada.field).to_have_value("")
    resident.waits_for("I am, and I have read everything.")
    line_of_it = ada.lines.filter(has_text="I am, and I have read everything.")
    expect(line_of_it).to_have_count(1)
    expect(line_of_it).to_contain_text("shown in their chat")
    expect(ada.page.locator(".held")).to_have_count(0)


def test_on_a_desktop_the_page_ends_where_the_desk_ends(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    for number in range(3):
        resident.says(f"This is message {number}:\n" + "I am still waiting.\n" * 20)
    ada = sit("Ada")
    ada.opens(talk)
    expect(ada.lines.filter(has_text="This is message 2")).to_be_visible()
    assert ada.page.evaluate("document.documentElement.scrollHeight <= innerHeight")


def test_what_is_typed_while_the_line_is_slow_is_kept(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    ada.page.get_by_role("tab", name="Private note").click()
    ada.page.locator("#note-words").fill("Ask Ben")
    ada.page.get_by_role("tab", name="Reply").click()
    slow: list[Route] = []
    ada.page.route(re.compile("/(reply|undo/.*)$"), lambda route: slow.append(route))  # noqa: PLW0108 - as playwright wants
    with ada.page.expect_request("**/reply"):
        writes(ada, "We come")
    ada.page.keyboard.type(" on Monday")
    slow.pop().continue_()
    expect(ada.page.locator(".held")).to_contain_text("We come")
    expect(ada.field).to_have_value("on Monday")
    expect(ada.page.locator("#note-words")).to_have_value("Ask Ben")
    with ada.page.expect_request("**/undo/*"):
        ada.page.keyboard.press("Escape")
    ada.page.keyboard.type(" at")
    slow.pop().continue_()
    expect(ada.page.locator(".held")).to_have_count(0)
    expect(ada.field).to_have_value("We come\n\non Monday at")
    ada.page.keyboard.type(" noon")
    expect(ada.field).to_have_value("We come\n\non Monday at noon")


def test_what_was_sent_is_taken_back_by_escape_and_never_arrives(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    writes(ada, "We do not care about your bin.")
    expect(ada.page.locator(".held")).to_be_visible()
    ada.page.keyboard.type("We will be there on Monday.")
    ada.page.keyboard.press("Escape")
    expect(ada.field).to_have_value("We do not care about your bin.\n\nWe will be there on Monday.")
    expect(ada.field).to_be_focused()
    expect(ada.page.locator(".held")).to_have_count(0)
    writes(ada, "We will be there on Monday.")
    resident.waits_for("We will be there on Monday.")
    assert all("do not care" not in message["text"] for message in resident.reads())


def test_what_was_sent_is_no_draft_any_more(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    slow: list[Route] = []
    drafts: list[str] = []
    ada.page.route(re.compile("/reply$"), lambda route: slow.append(route))  # noqa: PLW0108 - as playwright wants
    ada.page.on("request", lambda asked: drafts.append(asked.url) if asked.url.endswith("/draft") else None)
    with ada.page.expect_request("**/reply"):
        writes(ada, "We come on Monday.")
    ada.page.wait_for_timeout(700)  # the draft's timer runs out meanwhile
    assert drafts == []
    slow.pop().continue_()
    expect(ada.page.locator(".held")).to_contain_text("We come on Monday.")
    ada.page.reload()
    expect(ada.field).to_have_value("")


def test_enter_in_another_time_snoozes_until_then(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".state")).to_have_text("yours")
    ada.page.locator("#act-snooze > summary").click()
    wanted = datetime.now(UTC) + timedelta(days=30)
    ada.page.get_by_label("Another time").fill(f"{wanted:%Y-%m-%d}T09:30")
    ada.page.get_by_label("Another time").press("Enter")
    expect(ada.page.locator(".talk-head")).to_contain_text("snoozed until")
    expect(ada.page.locator(".talk-head")).to_contain_text("09:30")


def test_files_go_without_words_and_an_empty_reply_is_refused_in_words(line: WholeLine, sit: Sit) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada", allow=REFUSED)
    ada.opens(talk)
    ada.field.press("Control+Enter")
    expect(ada.page.locator("#told .wrong")).to_have_text("There is nothing to send: the reply is empty.")
    ada.page.locator("#files").set_input_files(
        {"name": "p.pdf", "mimeType": "application/pdf", "buffer": PDF}
    )
    ada.page.locator("#send").click()
    expect(ada.page.locator(".held")).to_contain_text("with 1 file")
    expect(ada.lines.filter(has_text="p.pdf")).to_be_visible()


def test_a_draft_is_there_after_a_reload_and_a_colleague_sees_that_somebody_writes(
    line: WholeLine, sit: Sit
) -> None:
    _, talk = unhappy(line)
    ada, ben = sit("Ada"), sit("Ben", allow=REFUSED)
    ada.opens(talk)
    ben.opens(talk)
    expect(ada.page.locator("#company")).to_contain_text(f"{ben.name} looks at this too")
    with ada.page.expect_response(lambda answer: "wri" in (answer.request.post_data or "")):
        ada.field.press_sequentially("I am just wri", delay=20)
    expect(ben.page.locator("#company")).to_contain_text(f"{ada.name} is writing here")
    ada.page.reload()
    expect(ada.field).to_have_value("I am just wri")
    ada.page.get_by_role("button", name="Take it").click()
    expect(ben.page.locator(".state")).to_have_text(f"with {ada.name}")
    ben.page.get_by_role("tab", name="Reply").click()
    writes(ben, "I was faster, was I not?")
    expect(ben.page.locator("#told")).to_contain_text(f"{ada.name} is already answering")
    expect(ben.field).to_have_value("I was faster, was I not?")


def test_a_note_names_a_colleague_by_keyboard(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada, ben = sit("Ada"), sit("Benedict")
    ada.opens(talk)
    ada.page.keyboard.press("n")
    note = ada.page.locator("#note-words")
    expect(note).to_be_focused()
    note.press_sequentially("Please look, @Bened", delay=20)
    expect(ada.page.locator(".mention-list [role=option]").first).to_be_visible()
    while ada.page.locator("[role=option][aria-selected=true]").inner_text() != ben.name:
        note.press("ArrowDown")
    note.press("Enter")
    expect(note).to_have_value(f"Please look, @{ben.name} ")
    note.press_sequentially("you know this street.")
    note.press("Control+Enter")
    expect(ada.lines.filter(has_text="Note, never sent")).to_contain_text("you know this street.")
    expect(note).to_have_value("")
    ben.page.reload()
    expect(ben.page.locator("[data-count=mentions]")).to_have_text("1")
    ben.opens(talk)
    ben.page.reload()
    expect(ben.page.locator("[data-count=mentions]")).to_be_hidden()
    assert all("you know this street" not in message["text"] for message in resident.reads())


def test_canned_replies_and_answers_with_their_source_are_put_in(line: WholeLine, sit: Sit) -> None:
    resident = chatter(line)
    resident.says("When is my recycling collected?")
    resident.waits_for("help")
    talk = handed_over(line, resident)
    ada = sit("Ada")
    ada.opens(talk)
    ada.page.keyboard.press("c")
    expect(ada.page.locator("#canned-find")).to_be_focused()
    ada.page.keyboard.type("sorry wait")
    expect(ada.page.locator("#canned-list li:visible")).to_have_count(1)
    ada.page.keyboard.press("Enter")
    expect(ada.field).to_have_value(re.compile("sorry that you had to wait"))
    expect(ada.field).to_be_focused()
    suggestion = ada.page.locator(".answers li").first
    expect(suggestion).to_contain_text("recycling", ignore_case=True)
    suggestion.get_by_role("button", name="Insert with source").click()
    expect(ada.field).to_have_value(re.compile(r"had to wait.*\n\n.*Source: .* https://www\.larkhaven", re.S))
    ada.page.get_by_label("Question").fill("Where do I pay a parking fine?")
    ada.page.get_by_role("button", name="Look").click()
    expect(ada.page.locator(".answers li").first).to_contain_text("parking", ignore_case=True)


def test_everything_by_keyboard_alone(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    ada.page.keyboard.press("t")
    expect(ada.page.locator(".state")).to_have_text("yours")
    ada.page.keyboard.press("r")
    ada.page.keyboard.type("It is done.")
    ada.page.keyboard.press("Control+Enter")
    resident.waits_for("It is done.")
    for _ in range(60):
        ada.page.keyboard.press("Shift+Tab")
        if ada.page.locator("#act-resolve > summary:focus").count():
            break
    ada.page.keyboard.press("Enter")
    ada.page.keyboard.press("Tab")
    expect(ada.page.locator("#resolution")).to_be_focused()
    ada.page.keyboard.press("ArrowDown")
    ada.page.keyboard.press("Tab")
    ada.page.keyboard.press("Enter")
    ada.page.wait_for_url("**/desk")
    resident.waits_for("closed")


def test_it_works_without_script(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada", java_script_enabled=False)
    ada.page.goto(f"/desk/c/{talk}")
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".done")).to_contain_text("It is yours.")
    ada.field.fill("Good morning.")
    ada.page.locator("#canned summary").click()
    ada.page.get_by_role("button", name="Anything else?").click()
    expect(ada.field).to_have_value("Good morning.\n\nIs there anything else I can do for you?")
    ada.page.get_by_role("button", name="Send").click()
    ada.page.locator(".held").get_by_role("button", name="Undo").click()
    expect(ada.field).to_have_value("Good morning.\n\nIs there anything else I can do for you?")
    ada.page.get_by_role("button", name="Send").click()
    resident.waits_for("Is there anything else I can do for you?")


def test_whoever_reads_above_is_not_carried_away(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada", viewport={"width": 1280, "height": 700})
    ada.opens(talk)
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".state")).to_have_text("yours")
    for number in range(3):
        resident.says("\n".join(f"And another thing, {number} {part}." for part in range(12)))
    expect(ada.lines.filter(has_text="thing, 2 11.")).to_be_in_viewport()
    scroll = ada.page.locator("#scroll")
    scroll.evaluate("box => { box.scrollTop = 0; }")
    resident.says("One more at the end.")
    expect(ada.page.locator("#newer")).to_be_visible()
    assert scroll.evaluate("box => box.scrollTop") == 0
    ada.page.locator("#newer").click()
    expect(ada.lines.filter(has_text="One more at the end.")).to_be_in_viewport()
    expect(ada.page.locator("#newer")).to_be_hidden()


def test_the_words_of_a_resident_never_become_markup_or_a_command(line: WholeLine, sit: Sit) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada")
    ada.opens(talk)
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".state")).to_have_text("yours")
    resident.says(HOSTILE)
    shown = ada.lines.filter(has_text="onerror=alert(1)").last
    expect(shown.locator(".words")).to_contain_text("<script>alert(2)</script>")
    expect(shown.locator("img, svg, script")).to_have_count(0)
    expect(ada.page.locator("#trouble")).to_be_hidden()  # the stream was not ended from within
    resident.says("Still live?")
    expect(ada.lines.filter(has_text="Still live?")).to_be_visible()
    ada.page.reload()
    expect(ada.lines.filter(has_text="onerror=alert(1)").locator("img, svg, script")).to_have_count(0)
    ada.page.get_by_label("Question").fill(HOSTILE)
    with ada.page.expect_response(re.compile("/suggestions")):
        ada.page.get_by_role("button", name="Look").click()
    expect(ada.page.locator("#suggestions")).to_be_visible()


def test_an_arabic_resident_is_read_from_right_to_left_and_answered_in_arabic(
    line: WholeLine, sit: Sit
) -> None:
    _, talk = unhappy(line, "أريد التحدث إلى موظف من فضلك", "ar")
    ada = sit("Ada")
    ada.opens(talk)
    words = ada.lines.filter(has_text="أريد التحدث").locator(".words").first
    expect(words).to_have_css("direction", "rtl")
    expect(ada.page.get_by_text("Reply by Web chat, in Arabic")).to_be_visible()
    with ada.page.expect_response(re.compile("/draft")):
        ada.field.fill("Good morning, what can I do for you today?")
    expect(ada.page.locator("#cost")).to_contain_text("reads like English; the resident writes Arabic")
    ada.page.keyboard.press("Escape")
    ada.page.locator("#canned summary").click()
    expect(ada.page.locator("#canned-find")).to_be_focused()
    ada.page.keyboard.type("تحية")
    ada.field.fill("")
    ada.page.locator("#canned-list li:visible button").first.click()
    expect(ada.field).to_have_value(re.compile("مرحبًا"))
    expect(ada.field).to_have_css("direction", "rtl")


@pytest.mark.parametrize("width", [1280, 800])
def test_no_window_cuts_off_what_unfolds_above_a_conversation(line: WholeLine, sit: Sit, width: int) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada", viewport={"width": width, "height": 800})
    ada.opens(talk)
    ada.page.get_by_role("button", name="Take it").click()
    resident.says("I want to die")
    expect(ada.page.locator(".talk-head .alarm")).to_be_visible()  # and the row of buttons is below it
    for name in ("resolve", "snooze", "back", "transfer"):
        ada.page.locator(f"#act-{name} > summary").click()
        box = ada.page.locator(f"#act-{name} > :is(form, .ways)").bounding_box()
        assert box is not None
        assert box["x"] >= 0 and box["x"] + box["width"] <= width


@pytest.mark.parametrize("touch", [False, True], ids=["pointer", "touch"])
def test_removing_a_message_is_out_of_the_way_and_within_reach(
    line: WholeLine, sit: Sit, touch: bool
) -> None:
    _, talk = unhappy(line)
    ada = sit("Ada", viewport=PHONE if touch else DESKTOP, has_touch=touch, is_mobile=touch)
    ada.opens(talk)
    said = ada.lines.filter(has_text="I want to talk to a person please").first
    more = said.locator(".remove > summary")
    button = said.get_by_role("button", name="Remove for good")
    expect(button).to_be_hidden()
    if touch:
        expect(more).to_have_css("opacity", "1")
        more.tap()
    else:
        expect(more).to_have_css("opacity", "0")
        said.hover()
        expect(more).to_have_css("opacity", "1")
        ada.page.locator("h1").hover()
        expect(more).to_have_css("opacity", "0")
        more.focus()
        expect(more).to_have_css("opacity", "1")
        ada.page.keyboard.press("Enter")
    expect(button).to_be_visible()


def every_state(page: Page) -> list[str]:
    """What axe says of the screen as it is taken, acted on, written in and refused."""
    found: list[str] = []

    def look(where: str) -> None:
        found.extend(f"{where}: {violation}" for violation in axe_violations(page))

    expect(page.locator(".answers li").first).to_be_visible()
    look("waiting")
    page.get_by_role("button", name="Take it").click()
    expect(page.locator(".state")).to_have_text("yours")
    for act in ("resolve", "snooze", "back", "transfer"):
        page.locator(f"#act-{act} > summary").click()
        look(act)
        page.locator(f"#act-{act} > summary").click()
    page.locator(".filter > summary").click()
    page.locator(".remove > summary").first.click()
    look("filter and remove")
    page.locator("#canned > summary").click()
    look("canned")
    page.locator("#canned > summary").click()
    page.locator("#words").fill("Your number is {reference}.")
    page.locator("#words").press("Control+Enter")
    expect(page.locator("#told .wrong")).to_be_visible()
    look("refused")
    page.locator("#words").fill("We are on our way.")
    page.locator("#words").press("Control+Enter")
    expect(page.locator(".held")).to_be_visible()
    look("about to leave")
    page.get_by_role("tab", name="Private note").click()
    page.locator("#note-words").press_sequentially("@", delay=10)
    look("note")
    page.locator("#note-words").fill("Remember this.")
    page.locator("#note-words").press("Control+Enter")
    expect(page.locator(".line.note")).to_be_visible()
    look("noted")
    return found


@pytest.mark.parametrize(
    ("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")], ids=["desktop-light", "phone-dark"]
)
def test_axe_finds_nothing_in_any_state(line: WholeLine, sit: Sit, size: dict[str, int], scheme: str) -> None:
    _, talk = unhappy(line)
    look = {"viewport": size, "color_scheme": scheme, "bypass_csp": True, "reduced_motion": "reduce"}
    ada = sit("Ada", allow=REFUSED, **look)
    ada.opens(talk)
    assert every_state(ada.page) == []
    ada.page.goto(f"/desk/c/{talk}/merge")
    assert axe_violations(ada.page) == []


@pytest.mark.parametrize(
    "size", [PHONE, {"width": 320, "height": 640}, {"width": 640, "height": 320}], ids=str
)
def test_a_small_screen_loses_nothing(line: WholeLine, sit: Sit, size: dict[str, int]) -> None:
    resident, talk = unhappy(line)
    ada = sit("Ada", viewport=size)
    ada.opens(talk)
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    ada.page.get_by_role("button", name="Take it").click()
    expect(ada.page.locator(".state")).to_have_text("yours")
    ada.page.locator("#act-transfer > summary").click()
    ada.page.locator("#canned > summary").click()
    assert ada.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for target in ada.page.locator("main :is(button, summary, select, input):visible").all():
        box = target.bounding_box()
        assert box is not None
        assert min(box["width"], box["height"]) >= 18, target.evaluate("part => part.outerHTML")
        assert box["x"] >= 0, target.evaluate("part => part.outerHTML")
        assert box["x"] + box["width"] <= size["width"], target.evaluate("part => part.outerHTML")
    writes(ada, "From my phone.")
    resident.waits_for("From my phone.")
