"""Who may open the managers' pages, and what an account that may not is told."""

from __future__ import annotations

import httpx
import pytest

from contact_hub.staff.models import Role
from tests.hub.line import Line
from tests.hub.test_staff import Browsers, browser, browsers, hire, sign_in

__all__ = ["browser", "browsers"]

BOTH = {Role.MANAGER, Role.SUPERVISOR}
PAGES = {
    "/managers": BOTH,
    "/managers/export/overview.csv": BOTH,
    "/managers/export/reviews.csv": BOTH,
    "/managers/reviews": BOTH,
    "/managers/questions": BOTH,
    "/managers/bot": {Role.MANAGER},
}
FORMS = {
    "/managers/drafts": BOTH,
    "/managers/reviews/draw": BOTH,
    "/managers/bot/off": {Role.MANAGER},
    "/managers/bot/on": {Role.MANAGER},
}


async def test_nobody_sees_them_without_signing_in(browser: httpx.AsyncClient) -> None:
    for path in PAGES:
        answer = await browser.get(path)
        assert (answer.status_code, answer.headers["location"]) == (303, f"/staff/login?next={path}")
    for path in FORMS:
        assert (await browser.post(path, data={})).status_code == 303


@pytest.mark.parametrize("role", list(Role))
async def test_every_role_sees_what_is_its_own_and_nothing_else(
    line: Line, browser: httpx.AsyncClient, role: Role
) -> None:
    await hire(line, "Ana Reis", role, "waste")
    await sign_in(browser, "Ana Reis")
    for path, roles in PAGES.items():
        shown = await browser.get(path, headers={"Accept": "text/html"})
        assert shown.status_code == (200 if role in roles else 403), path
        assert ("Back to my account" in shown.text) == (role not in roles), path
    for path, roles in FORMS.items():
        refused = (await browser.post(path, data={})).status_code == 403
        assert refused == (role not in roles), path


async def test_no_other_site_can_turn_the_bot_off(line: Line, browsers: Browsers) -> None:
    mine = browsers()
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(mine, "Nora Ek")
    form = {"topic": "", "reason": "hacked"}
    evil = await mine.post("/managers/bot/off", data=form, headers={"Origin": "https://evil.example"})
    assert evil.status_code == 403
    assert await line.count("bot_switch") == 0


async def test_a_manager_turns_the_bot_off_and_on_with_a_reason(
    line: Line, browser: httpx.AsyncClient
) -> None:
    await hire(line, "Nora Ek", Role.MANAGER)
    await sign_in(browser, "Nora Ek")
    empty = await browser.post("/managers/bot/off", data={"topic": "waste", "reason": " "})
    assert empty.status_code == 422
    assert "Please say why" in empty.text
    reason = "<b>Blue bins</b> are wrong"
    off = await browser.post("/managers/bot/off", data={"topic": "waste", "reason": reason})
    shown = (await browser.get(off.headers["location"])).text
    assert "no answer about that" in shown and "The bot is off" not in shown
    assert "Off about Waste" in shown
    assert "&lt;b&gt;Blue bins&lt;/b&gt;" in shown
    assert "<b>" not in shown
    await browser.post("/managers/bot/on", data={"topic": "waste", "reason": "Mended."})
    assert "The bot answers about everything" in (await browser.get("/managers/bot")).text
    (row,) = await line.sql("SELECT off_by, on_by, why FROM bot_switch")
    assert tuple(row) == ("Nora Ek", "Nora Ek", reason)
    doings = await line.sql("SELECT action, viewer_name FROM audit WHERE action LIKE 'bot.%' ORDER BY number")
    assert [tuple(doing) for doing in doings] == [("bot.off", "Nora Ek"), ("bot.on", "Nora Ek")]
