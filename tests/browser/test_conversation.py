"""What residents do in the chat on the city's page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Dialog, Page, Request, Route, WebSocketRoute, expect

from tests.browser.conftest import PHONE, Go, Visit

QUESTION = "When is my recycling collected?"
# What Chromium itself writes about a failed request cannot be kept out of its console.
OFFLINE = ("net::ERR_INTERNET_DISCONNECTED", "net::ERR_FAILED", "WebSocket connection to")


def test_a_resident_asks_and_gets_the_answer_with_its_source(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.said_by("citizen")).to_have_text(QUESTION)
    source = visit.part(".sources a").first
    expect(source).to_have_attribute("href", re.compile(r"^https://www\.larkhaven\.example/.*recycl"))
    expect(source).to_have_attribute("rel", "noopener noreferrer")
    expect(visit.part(".bot .text").last).not_to_be_empty()
    expect(visit.field).to_be_focused()


@pytest.mark.parametrize(
    ("language", "question"),
    [("de", "Wann wird mein Recycling abgeholt?"), ("ar", "متى تُجمع مواد إعادة التدوير؟")],
)
def test_a_question_in_another_language_gets_the_right_article(go: Go, language: str, question: str) -> None:
    visit = go(f"/?lang={language}")
    visit.open_chat()
    visit.say(question)
    expect(visit.part(".sources a").first).to_have_attribute("href", re.compile("recycl"))


def test_a_question_on_the_page_opens_the_chat_and_is_asked(go: Go) -> None:
    visit = go(viewport=PHONE)
    visit.page.get_by_role("button", name=QUESTION).click()
    expect(visit.said_by("citizen")).to_have_text(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()


def test_a_button_is_pressed_once_and_shows_what_was_chosen(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(QUESTION)
    group = visit.part(".choices").first
    yes = group.locator(".choice").first
    title = yes.inner_text()
    yes.focus()
    visit.page.keyboard.press("Enter")
    expect(yes).to_have_attribute("aria-pressed", "true")
    expect(yes).to_be_focused()
    visit.page.keyboard.press("Enter")
    expect(visit.said_by("citizen")).to_have_text([QUESTION, title])
    expect(group.locator("[aria-disabled=true]")).to_have_count(group.locator(".choice").count())


def test_choices_end_when_newer_ones_are_offered(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".choices")).to_have_count(1)
    visit.say(QUESTION)
    expect(visit.part(".choices")).to_have_count(2)
    old, new = visit.part(".choices").all()
    expect(old.locator(".choice:not([aria-disabled])")).to_have_count(0)
    expect(new.locator("[aria-disabled]")).to_have_count(0)


def test_the_conversation_is_there_after_a_reload_and_in_another_tab(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
    words = visit.said_by("bot").all_inner_texts()
    visit.page.reload()
    visit.part(".launch").click()
    expect(visit.said_by("citizen")).to_have_text(QUESTION)
    expect(visit.said_by("bot")).to_have_text(words)
    other = Visit(visit.context.new_page(), visit.context)
    other.page.goto("/?lang=en")
    other.open_chat()
    other.say("thank you")
    expect(other.said_by("citizen")).to_have_text([QUESTION, "thank you"])
    expect(visit.said_by("citizen")).to_have_text([QUESTION, "thank you"])


def test_pages_opened_before_the_first_question_share_one_conversation(go: Go) -> None:
    visit = go()
    other = Visit(visit.context.new_page(), visit.context)
    sessions: list[str] = []

    def counted(request: Request) -> None:
        if request.url.endswith("/sessions"):
            sessions.append(request.url)

    visit.context.on("request", counted)
    other.page.goto("/?lang=en")
    expect(other.part(".launch")).to_be_visible()
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
    other.open_chat()
    expect(other.said_by("citizen")).to_have_text(QUESTION)
    visit.page.reload()
    visit.open_chat()
    expect(visit.said_by("citizen")).to_have_text(QUESTION)
    other.say("thank you")
    for page in (visit, other):
        expect(page.said_by("citizen")).to_have_text([QUESTION, "thank you"])
    assert len(sessions) == 1
    visit.page.get_by_role("button", name="Start again").click()
    visit.part("[role=group] button").first.click()
    expect(other.said_by("citizen")).to_have_count(0)
    other.say("good morning")
    for page in (visit, other):
        expect(page.said_by("citizen")).to_have_text("good morning")
    assert len(sessions) == 2


def test_words_that_wait_on_one_page_survive_what_is_said_on_another(go: Go) -> None:
    visit = go(allow=OFFLINE)
    other = Visit(visit.context.new_page(), visit.context)
    other.page.goto("/?lang=en")
    expect(other.part(".launch")).to_be_visible()
    visit.page.route("**/channels/web_chat/sessions", lambda route: route.abort())
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".bar[role=status]")).to_contain_text("No connection")
    visit.page.route("**/channels/web_chat/messages", lambda route: route.abort())
    other.open_chat()
    other.say("hello")
    expect(other.said_by("citizen")).to_have_text("hello")
    visit.page.close()
    other.page.reload()
    other.open_chat()
    expect(other.said_by("citizen")).to_have_text(["hello", QUESTION])


def test_what_is_written_offline_leaves_when_the_network_is_back(go: Go) -> None:
    visit = go(allow=OFFLINE)
    visit.open_chat()
    visit.say("hello")
    expect(visit.said_by("citizen")).to_have_text("hello")
    visit.context.set_offline(True)
    expect(visit.part(".bar[role=status]")).to_contain_text("No connection")
    visit.say(QUESTION)
    visit.say("thank you")
    expect(visit.part(".message.citizen .text")).to_have_text(["hello", QUESTION, "thank you"])
    expect(visit.said_by("citizen")).to_have_count(1)
    visit.context.set_offline(False)
    expect(visit.said_by("citizen")).to_have_text(["hello", QUESTION, "thank you"])
    expect(visit.part(".bar[role=status]")).to_be_hidden()
    expect(visit.part(".message.citizen")).to_have_count(3)


def test_what_is_written_offline_survives_a_reload(go: Go) -> None:
    visit = go(allow=OFFLINE)
    visit.open_chat()
    visit.say("hello")
    expect(visit.said_by("citizen")).to_have_text("hello")
    blocked = True

    def block(route: Route) -> None:
        route.abort() if blocked and route.request.method == "POST" else route.fallback()

    visit.page.route("**/channels/web_chat/messages", block)
    visit.say(QUESTION)
    expect(visit.part(".message.citizen")).to_have_count(2)
    visit.page.reload()
    blocked = False
    visit.part(".launch").click()
    expect(visit.said_by("citizen")).to_have_text(["hello", QUESTION])


def test_a_message_whose_answer_was_lost_is_sent_again_and_stored_once(go: Go) -> None:
    visit = go(allow=OFFLINE)
    visit.open_chat()
    tries: list[Any] = []

    def lose_first_answer(route: Route) -> None:
        if route.request.method != "POST":
            route.fallback()
            return
        tries.append(route.request.post_data_json)
        if len(tries) == 1:
            route.fetch()
            route.abort()
        else:
            route.fallback()

    visit.page.route("**/channels/web_chat/messages", lose_first_answer)
    visit.say("hello")
    expect(visit.said_by("bot").first).to_be_visible()
    visit.page.wait_for_timeout(2500)
    assert len(tries) == 2
    assert tries[0]["client_id"] == tries[1]["client_id"]
    expect(visit.part(".message.citizen")).to_have_count(1)


@pytest.mark.parametrize("how", ["refused", "silent", "missing"])
def test_without_sockets_the_chat_polls(go: Go, how: str) -> None:
    polls: list[str] = []

    def counted(request: Request) -> None:
        if "wait=" in request.url:
            polls.append(request.url)

    def block(page: Page) -> None:
        def refuse(socket: WebSocketRoute) -> None:
            socket.close(code=1011)

        if how == "refused":
            page.route_web_socket("**/socket*", refuse)
        elif how == "missing":
            page.add_init_script("delete window.WebSocket")
        else:
            page.add_init_script("window.WebSocket = class { close() {} }")
        page.on("request", counted)

    visit = go(before=block)
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
    assert polls


def test_the_answer_comes_through_the_socket_without_polling(go: Go) -> None:
    polls: list[str] = []

    def counted(request: Request) -> None:
        if "wait=" in request.url:
            polls.append(request.url)

    def listen(page: Page) -> None:
        page.on("request", counted)

    visit = go(before=listen)
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
    assert polls == []


XSS = (
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    'javascript:alert(1) data:text/html,<b>x https://a.example/"onclick=alert(1)',
    "{{constructor.constructor('alert(1)')()}}",
)


def test_markup_stays_text_and_only_safe_links_become_links(go: Go) -> None:
    visit = go()
    alerts: list[str] = []

    def noticed(dialog: Dialog) -> None:
        alerts.append(dialog.message)
        dialog.dismiss()

    visit.page.on("dialog", noticed)
    visit.open_chat()
    for words in XSS:
        visit.say(words)
    expect(visit.said_by("citizen")).to_have_text(list(XSS))
    assert visit.part(".citizen .text *:not(a)").count() == 0
    links = visit.part(".message a")
    for index in range(links.count()):
        expect(links.nth(index)).to_have_attribute("href", re.compile(r"^(https?|tel|mailto):"))
        expect(links.nth(index)).to_have_attribute("rel", "noopener noreferrer")
    assert alerts == []


def test_addresses_in_a_message_are_links_that_end_where_they_should(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say("See (https://a.example/b_(c)?d=1). Or www.b.example, mail me@c.example; tel:+353155501!")
    links = visit.part(".citizen a")
    expect(links).to_have_count(4)
    assert [link.get_attribute("href") for link in links.all()] == [
        "https://a.example/b_(c)?d=1",
        "https://www.b.example/",
        "mailto:me@c.example",
        "tel:+353155501",
    ]


def test_words_for_somebody_in_danger_are_shown_however_the_number_is_written(go: Go) -> None:
    written = "+353 1 555 0116"
    number = ""

    def rewritten(socket: WebSocketRoute) -> None:
        city = socket.connect_to_server()
        city.on_message(lambda news: socket.send(str(news).replace(written, number)))

    visit = go(before=lambda page: page.route_web_socket("**/socket*", rewritten))
    visit.open_chat()
    for count, (number, links) in enumerate(
        (
            ("0800-111 222", ["tel:0800111222", "tel:112"]),
            ("116\u00a0123", ["tel:116123", "tel:112"]),
            ("1-800-HELP", ["tel:112"]),
        ),
        start=1,
    ):
        visit.say("I want to end my life")
        expect(visit.part(".alarm .text")).to_have_count(count)
        alarm = visit.part(".alarm .text").last
        expect(alarm).to_contain_text(number)
        assert [link.get_attribute("href") for link in alarm.locator("a").all()] == links


PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010806000000"
    "1f15c4890000000d49444154789c63606060f80f0001040100bf5d1d3c0000000049454e44ae426082"
)


def test_a_photo_is_previewed_sent_and_shown_after_a_reload(go: Go, tmp_path: Path) -> None:
    photo = tmp_path / "hole in the road.png"
    photo.write_bytes(PIXEL)
    visit = go()
    visit.open_chat()
    with visit.page.expect_file_chooser() as chooser:
        visit.page.get_by_role("button", name="Attach a file").click()
    chooser.value.set_files(photo)
    expect(visit.part(".chosen .file")).to_contain_text("hole in the road.png")
    visit.say("Look at this")
    expect(visit.said_by("citizen")).to_have_text("Look at this")
    expect(visit.part(".citizen img")).to_have_attribute("alt", "hole in the road.png")
    expect(visit.part(".chosen")).to_be_hidden()
    visit.page.reload()
    visit.part(".launch").click()
    expect(visit.part(".citizen img")).to_be_visible()
    with visit.page.expect_download() as download:
        visit.part(".citizen .file").click()
    assert download.value.path().read_bytes() == PIXEL
    assert download.value.suggested_filename == "hole in the road.png"


def test_a_file_nobody_can_open_is_told_so_and_a_large_one_never_leaves(go: Go, tmp_path: Path) -> None:
    fake, large = tmp_path / "fake.png", tmp_path / "large.png"
    fake.write_bytes(b"MZ this is a program")
    large.write_bytes(PIXEL + bytes(21_000_000))
    visit = go(allow=("415",))
    visit.open_chat()
    visit.part("input[type=file]").set_input_files(large)
    expect(visit.part(".under .problem")).to_contain_text("20 MB")
    expect(visit.part(".chosen")).to_be_hidden()
    visit.part("input[type=file]").set_input_files(fake)
    visit.field.press("Enter")
    expect(visit.part(".message.failed .problem")).to_contain_text("cannot open that kind of file")
    expect(
        visit.part(
            ".message.failed button",
        ).last
    ).to_have_text("Try again")
    visit.say("hello")
    expect(visit.said_by("citizen")).to_have_text("hello")


def test_files_beyond_the_most_are_told_of(go: Go, tmp_path: Path) -> None:
    photos = [tmp_path / f"{number}.png" for number in range(7)]
    for photo in photos:
        photo.write_bytes(PIXEL)
    visit = go()
    visit.open_chat()
    visit.part("input[type=file]").set_input_files(photos)
    expect(visit.part(".chosen .file")).to_have_count(5)
    expect(visit.part(".under").get_by_role("alert")).to_have_text("At most 5 files in one message, please.")
    visit.say("Look at these")
    expect(visit.said_by("citizen")).to_have_text("Look at these")
    expect(visit.part(".under")).to_be_hidden()


def test_a_long_message_is_counted_and_kept_until_it_is_short_enough(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.field.fill("a" * 1700)
    expect(visit.part(".under")).to_contain_text("1700 / 2000")
    visit.say("a" * 2001)
    expect(visit.part(".under .problem")).to_contain_text("2000")
    expect(visit.field).to_have_attribute("aria-invalid", "true")
    expect(visit.part(".message.citizen")).to_have_count(0)
    visit.say("😀" * 1999)  # counted as people count, not in bytes or in halves
    expect(visit.said_by("citizen")).to_have_count(1)


def test_shift_enter_makes_a_new_line(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.field.press_sequentially("one")
    visit.field.press("Shift+Enter")
    visit.field.press_sequentially("two")
    visit.field.press("Enter")
    expect(visit.said_by("citizen")).to_have_text("one\ntwo", use_inner_text=True)


def test_news_is_counted_while_the_chat_is_closed(go: Go) -> None:
    visit = go()
    visit.open_chat()
    slow: list[Route] = []
    visit.page.route("**/web_chat/messages", lambda route: slow.append(route))  # noqa: PLW0108 - as playwright wants
    with visit.page.expect_request("**/web_chat/messages"):
        visit.say(QUESTION)
    visit.field.press("Escape")
    slow.pop().continue_()
    expect(visit.part(".launch .count")).to_be_visible()
    expect(visit.part(".launch")).to_have_attribute(
        "aria-label", re.compile(r"Ask the city.*New messages: \d")
    )
    visit.open_chat()
    visit.field.press("Escape")
    expect(visit.part(".launch .count")).to_have_count(0)


def test_a_reader_of_older_messages_is_not_torn_away(go: Go) -> None:
    visit = go(viewport={"width": 1280, "height": 460})
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
    visit.page.wait_for_timeout(600)
    visit.field.fill("thank you")
    visit.log.evaluate("log => log.scrollTo({top: 0})")
    other = Visit(visit.context.new_page(), visit.context)
    other.page.goto("/?lang=en")
    other.open_chat()
    other.say("help")
    expect(visit.part(".jump")).to_be_visible()
    assert visit.log.evaluate("log => log.scrollTop") == 0
    visit.part(".jump").click()
    expect(visit.part(".jump")).to_be_hidden()


def test_starting_again_forgets_the_conversation(go: Go) -> None:
    visit = go()
    visit.open_chat()
    visit.say("hello")
    expect(visit.said_by("bot").first).to_be_visible()
    visit.page.get_by_role("button", name="Start again").click()
    visit.part("[role=group] button").first.click()
    expect(visit.said_by("citizen")).to_have_count(0)
    visit.say("good morning")
    expect(visit.said_by("citizen")).to_have_text("good morning")
    visit.page.reload()
    visit.part(".launch").click()
    expect(visit.said_by("citizen")).to_have_text("good morning")


def test_a_session_the_city_no_longer_knows_is_replaced_without_losing_words(go: Go) -> None:
    visit = go(allow=("401",))
    visit.open_chat()
    visit.say("hello")
    expect(visit.said_by("bot").first).to_be_visible()
    visit.page.evaluate(
        """() => { for (const key of Object.keys(localStorage))
            localStorage[key] = JSON.stringify({...JSON.parse(localStorage[key]), token: "gone"}) }"""
    )
    visit.page.reload()
    visit.open_chat()
    visit.say(QUESTION)
    expect(visit.said_by("citizen")).to_have_text(QUESTION)
    expect(visit.part(".sources a").first).to_be_visible()
