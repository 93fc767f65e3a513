"""Words that want to be more than words, through every channel and onto every page: none of them runs."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Go
from tests.browser.desk import Clerk, Sit, sit
from tests.journeys.residents import Books, BySms, OnTelegram, OnTheWeb, Resident, until
from tests.whole import WholeLine

__all__ = ["sit"]

# Every way into markup that these pages could leave open; `ran()` tells when one was taken.
HOSTILE = (
    "<script>ran(1)</script>",
    "</textarea><script>ran(2)</script>",
    "</title><script>ran(3)</script>",
    "<img src=x onerror=ran(4)>",
    '"><svg onload=ran(5)>',
    "' onmouseover=ran(6) x='",
    "<svg><animate onbegin=ran(7) attributeName=x dur=1s>",
    "<iframe srcdoc='<script>parent.ran(8)</script>'></iframe>",
    "<a href='javascript:ran(9)'>bins</a>",
    "[bins](javascript:ran(10))",
    '![x](x"onerror="ran(11))',
    "<details open ontoggle=ran(12)>",
    "<math><mi xlink:href='data:x,<script>ran(13)</script>'>",
    "<form action=javascript:ran(14)><button>Send</button></form>",
    "<style>@import 'javascript:ran(15)';</style><p style='background:url(javascript:ran(16))'>",
    "<base href='https://evil.example/'><link rel=stylesheet href=x>",
    "<meta http-equiv=refresh content='0;url=javascript:ran(17)'>",
    "{{ ''.__class__ }} {% raw %} ${ran(18)} #{ran(19)} <%= ran(20) %>",
    "<hx-partial hx-target='#main'>gone</hx-partial><p hx-on:load='ran(21)' hx-get='/desk' hx-trigger=load>",
    "\u202e<\u0000script>ran(22)</script> <scr\u200bipt>ran(23)</scr\u200bipt>",
    "data: x\n\nevent: over\ndata: <script>ran(24)</script>\n\n",
    '=HYPERLINK("https://evil.example","ran(25)") @SUM(1) +1 -1',
    "<button formaction=javascript:ran(26) autofocus onfocus=ran(27)>go</button>",
    "<input autofocus onfocus=ran(28)><body onload=ran(29)>",
)
WATCH = """
    window.taken = [];
    window.ran = way => window.taken.push(`ran ${way}`);
    window.alert = window.prompt = window.confirm = words =>
        window.taken.push(`dialog ${words}`);
    document.addEventListener("securitypolicyviolation", seen =>
        window.taken.push(`CSP ${seen.violatedDirective} ${seen.blockedURI} ${seen.sample}`));
"""
NAME = '"><img src=x onerror=ran(30)>.png'


@pytest.fixture(scope="module")
def books(line: WholeLine) -> Iterator[Books]:
    """The line's tables."""
    made = Books(line)
    yield made
    made.close()


def messages(longest: int = 1400) -> list[str]:
    """All of it in as few messages as a channel takes."""
    made = [""]
    for words in HOSTILE:
        if len(made[-1]) + len(words) > longest:
            made.append("")
        made[-1] += f"{words}\n"
    return made


def watched(context: BrowserContext) -> None:
    context.add_init_script(WATCH)


def harmless(page: Page) -> None:
    """Nothing on this page ran, asked, or was held back by the policy alone; hovering and focus included."""
    page.wait_for_load_state("load")
    for part in page.locator("main :is(.words, .last, q, .quote, td, a)").all()[:40]:
        part.dispatch_event("mouseover")
    assert page.evaluate("window.taken") == [], page.url


def waits(resident: Resident) -> str:
    """Ask for a person, then say everything hostile; gives the conversation's id."""
    resident.asks("I want to talk to a person please")
    for words in messages():
        resident.asks(words)
    return str(resident.last("c.id"))


def test_nothing_hostile_runs_on_any_page(
    line: WholeLine, books: Books, sit: Sit, go: Go, tmp_path: Path
) -> None:
    residents = [OnTheWeb(line, books), BySms(line, books), OnTelegram(line, books)]
    talks = [waits(resident) for resident in residents]
    web = residents[0]
    assert isinstance(web, OnTheWeb)
    web.http.post(
        "/channels/web_chat/messages",
        data={"client_id": "named", "text": "<img src=x onerror=ran(31)>"},
        files={"file": (NAME, b"\x89PNG\r\n\x1a\n" + b"\0" * 40, "image/png")},
    )
    books.rows(
        "UPDATE citizen SET name = %s WHERE id ="
        " (SELECT citizen_id FROM address WHERE channel = 'web_chat' AND value = %s) RETURNING id",
        "<img src=x onerror=ran(32)>",
        web.address,
    )
    ada, nuala = sit("Ada"), sit("Nuala", role="manager")
    for clerk in (ada, nuala):
        watched(clerk.context)
    at_the_desk(ada, talks)
    for path in ("/desk", "/desk/search?q=ran", "/desk/mentions", "/desk/people"):
        ada.page.goto(path)
        harmless(ada.page)
    citizen = books.one("SELECT citizen_id FROM address WHERE value = %s", web.address)
    ada.page.goto(f"/desk/citizens/{citizen}")
    harmless(ada.page)
    for_managers(nuala, books, talks)
    their_copy(line, ada, str(citizen), tmp_path)
    in_the_chat(line, books, ada, go)


def at_the_desk(ada: Clerk, talks: list[str]) -> None:
    """Each conversation is opened, taken, answered and noted in hostile words."""
    for talk in talks:
        ada.opens(talk)
        expect(ada.lines.filter(has_text="ran(1)").first).to_be_visible()
        ada.page.get_by_role("button", name="Take it").click()
        expect(ada.page.locator(".state")).to_have_text("yours")
        ada.page.keyboard.press("n")
        ada.page.locator("#note-words").fill("\n".join(HOSTILE))
        ada.page.locator("#note-words").press("Control+Enter")
        expect(ada.page.locator(".line.note").last).to_contain_text("ran(28)")
        ada.page.get_by_role("tab", name="Reply").click()
        ada.field.fill("".join(HOSTILE[:8]))
        ada.field.press("Control+Enter")
        expect(ada.page.locator(".held")).to_be_visible()
        harmless(ada.page)
        expect(ada.page.locator(".held")).to_have_count(0)
        harmless(ada.page)
        ada.page.reload()
        harmless(ada.page)


def for_managers(nuala: Clerk, books: Books, talks: list[str]) -> None:
    """Figures, reviews of these conversations, questions, a hostile draft, and what can be downloaded."""
    nuala.page.goto("/managers/reviews")
    nuala.page.get_by_role("button", name="Draw about").click()
    nuala.page.wait_for_load_state()
    drawn = books.rows("SELECT id FROM review WHERE conversation_id = ANY(%s::uuid[])", talks)
    paths = ["/managers", "/managers/reviews", "/managers/questions", "/managers/bot"]
    for path in paths + [f"/managers/reviews/{row['id']}?flag=shown" for row in drawn]:
        nuala.page.goto(path)
        harmless(nuala.page)
    nuala.page.goto("/managers")
    links = nuala.page.locator("a[href*='/managers/export/']").all()
    downloads = [link.get_attribute("href") or "" for link in links]
    for href in downloads[:6]:
        found = nuala.page.request.get(href)
        assert found.ok, href
        assert "attachment" in found.headers["content-disposition"], href
        if "csv" in href:
            cells = re.split(r'[,\r\n]"?', found.text().lstrip("\ufeff"))
            assert not [cell for cell in cells if re.match(r"[=@\t\r]|[+-](?![\d.])", cell)], href


def their_copy(line: WholeLine, ada: Clerk, citizen: str, folder: Path) -> None:
    """The copy of one's data is a page on the resident's own disk, where no policy of ours protects it."""
    made = line.civicline("export", citizen, "--output", str(folder / "copy.zip"))
    assert made.returncode == 0, made.stderr
    with zipfile.ZipFile(folder / "copy.zip") as archive:
        archive.extractall(folder)
    page = ada.context.new_page()
    page.goto((folder / "index.html").as_uri())
    expect(page.locator("body")).to_contain_text("ran(1)")
    assert page.evaluate("window.taken") == []
    page.close()


def in_the_chat(line: WholeLine, books: Books, ada: Clerk, go: Go) -> None:
    """What the resident wrote and what an agent answered, in the chat element on the city's page."""
    visit = go(before=lambda page: watched(page.context))
    visit.page.add_init_script(WATCH)
    visit.open_chat()
    visit.say("I want to talk to a person please")
    expect(visit.said_by("system").last).to_be_visible()
    visit.say("".join(HOSTILE[:10]))
    talk = until(
        lambda: books.one("SELECT id FROM conversation WHERE state = 'waiting' ORDER BY id DESC LIMIT 1"),
        "they wait",
    )
    ada.opens(str(talk))
    ada.field.fill("".join(HOSTILE[10:20]))
    ada.field.press("Control+Enter")
    expect(visit.said_by("agent").last).to_contain_text("ran(12)")
    expect(visit.part(".message script, .message img, .message svg.x, .message iframe")).to_have_count(0)
    assert visit.page.evaluate("window.taken") == []
    visit.page.reload()
    expect(visit.said_by("agent").last).to_contain_text("ran(12)")
    assert visit.page.evaluate("window.taken") == []
