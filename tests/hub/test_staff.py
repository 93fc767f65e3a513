"""Staff are invited, sign in, prove themselves twice where they wish, and are signed out for good."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal

import httpx
import pyotp
import pytest
from argon2 import PasswordHasher

from contact_hub.audit.checking import verify
from contact_hub.staff import passwords, service, sessions, throttle
from contact_hub.staff.models import Role
from tests.hub.conftest import PUBLIC_URL
from tests.hub.line import Line

PASSWORD = "correct horse battery"
Browsers = Callable[[], httpx.AsyncClient]


@pytest.fixture
async def browsers(web: httpx.AsyncClient) -> AsyncIterator[Browsers]:
    """Makes browsers that ask the same web process, each with its own cookies."""
    made: list[httpx.AsyncClient] = []

    def make() -> httpx.AsyncClient:
        made.append(
            httpx.AsyncClient(
                transport=web._transport,
                base_url=PUBLIC_URL,
                headers={"Origin": PUBLIC_URL, "User-Agent": "Lark Browser"},
            )
        )
        return made[-1]

    yield make
    for browser in made:
        await browser.aclose()


@pytest.fixture
def browser(browsers: Browsers) -> httpx.AsyncClient:
    """One browser."""
    return browsers()


def code_in(link: str) -> str:
    return link.partition("code=")[2]


async def hire(line: Line, name: str, role: Role = Role.AGENT, *departments: str) -> None:
    """Make an account with the usual password."""
    async with line.database.begin() as session:
        link = await service.add_staff(session, name, role, PUBLIC_URL, departments=departments)
    await service.accept_invitation(line.database, code_in(link), name, PASSWORD)


async def sign_in(browser: httpx.AsyncClient, name: str, password: str = PASSWORD) -> httpx.Response:
    return await browser.post("/staff/login", data={"name": name, "password": password})


async def is_in(browser: httpx.AsyncClient) -> bool:
    return (await browser.get("/staff")).status_code == 200


# Invitations -----------------------------------------------------------------------------------------


async def test_an_invitation_knows_whom_it_is_for_until_it_is_used(
    line: Line, browser: httpx.AsyncClient
) -> None:
    async with line.database.begin() as session:
        link = await service.add_staff(session, "Ada Byron", Role.AGENT, "https://line.example")
    code = code_in(link)
    assert 'value="Ada Byron"' in (await browser.get(f"/staff/welcome?code={code}")).text
    await browser.post("/staff/welcome", data={"code": code, "name": "Ada Byron", "password": PASSWORD})
    for wrong in (code, "nonsense", ""):
        shut = await browser.get(f"/staff/welcome?code={wrong}")
        assert shut.status_code == 410
        assert "used already or has run out" in shut.text
        assert "Ada Byron" not in shut.text
        assert "<form" not in shut.text.partition("<main")[2], "nobody thinks of a password in vain"


async def test_an_invitation_works_once(line: Line, browser: httpx.AsyncClient) -> None:
    link = await service.first_admin_link(line.database, "https://line.example")
    assert link is not None
    code = code_in(link)
    page = await browser.get(f"/staff/welcome?code={code}")
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    form = {"code": code, "name": "Maria  Silva", "password": PASSWORD}
    assert (await browser.post("/staff/welcome", data={**form, "password": "short"})).status_code == 422
    assert (await browser.post("/staff/welcome", data={**form, "name": "x"})).status_code == 422
    joined = await browser.post("/staff/welcome", data=form)
    assert (joined.status_code, joined.headers["location"]) == (303, "/staff/people")
    assert await is_in(browser), "who has just chosen a password is not asked for it again"
    assert await line.one("SELECT action FROM audit ORDER BY number DESC LIMIT 1") == "staff.signed_in"
    again = await browser.post("/staff/welcome", data={**form, "name": "Somebody else"})
    assert again.status_code == 422
    assert "used already" in again.text
    (row,) = await line.sql("SELECT name, role, password_hash FROM staff")
    assert (row.name, row.role) == ("Maria Silva", "admin")
    assert row.password_hash.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert await service.first_admin_link(line.database, "https://line.example") is None
    assert await line.count("invitation", "encode(code_hash, 'escape') LIKE :c", c=f"%{code}%") == 0


async def test_a_new_link_ends_the_one_before(line: Line, browser: httpx.AsyncClient) -> None:
    links = [await service.first_admin_link(line.database, "https://line.example") for _ in range(2)]
    old, new = (code_in(link or "") for link in links)
    form = {"name": "Maria Silva", "password": PASSWORD}
    assert (await browser.post("/staff/welcome", data={**form, "code": old})).status_code == 422
    assert (await browser.post("/staff/welcome", data={**form, "code": new})).status_code == 303


async def test_a_password_is_chosen_by_the_newest_link_alone(line: Line, browser: httpx.AsyncClient) -> None:
    async with line.database.begin() as session:
        maria = await service.make(session, "Maria", Role.AGENT, [])
        links = [await service.reset(session, maria, "https://x.example") for _ in range(2)]
    leaked, new = (code_in(link) for link in links)
    form = {"name": "Maria", "password": PASSWORD}
    assert (await browser.post("/staff/welcome", data={**form, "code": leaked})).status_code == 422
    assert (await browser.post("/staff/welcome", data={**form, "code": new})).status_code == 303


async def test_an_old_link_and_a_taken_name_are_refused(line: Line, browser: httpx.AsyncClient) -> None:
    codes = []
    for _ in range(3):
        async with line.database.begin() as session:
            codes.append(code_in(await service.add_staff(session, "Maria", Role.AGENT, "https://x.example")))
    form = {"name": "Maria", "password": PASSWORD}
    assert (await browser.post("/staff/welcome", data={**form, "code": codes[0]})).status_code == 303
    for name in ("Maria", "MARIA"):
        taken = await browser.post("/staff/welcome", data={**form, "name": name, "code": codes[1]})
        assert (taken.status_code, "this name" in taken.text) == (422, True)
    later = await browser.post("/staff/welcome", data={**form, "code": codes[1], "name": "Maria B"})
    assert later.status_code == 303, "a refused name does not use the link up"
    await line.sql("UPDATE invitation SET expires_at = now() - interval '1 minute'")
    late = await browser.post("/staff/welcome", data={**form, "code": codes[2], "name": "Ahmed"})
    assert late.status_code == 422


async def test_two_who_take_the_same_name_at_once_are_one_and_a_reason(
    line: Line, browsers: Browsers
) -> None:
    codes = []
    for _ in range(4):
        async with line.database.begin() as session:
            codes.append(code_in(await service.add_staff(session, "Ana", Role.AGENT, "https://x.example")))
    answers = await asyncio.gather(
        *(
            browsers().post("/staff/welcome", data={"code": code, "name": "Ana", "password": PASSWORD})
            for code in codes
        )
    )
    assert sorted(answer.status_code for answer in answers) == [303, 422, 422, 422]
    assert await line.count("staff") == 1


@pytest.mark.parametrize("name", ["Ma\x00ria", "\x00\x00\x00", "<script>alert(1)</script>", "x" * 81])
async def test_odd_names_are_no_fault(line: Line, browser: httpx.AsyncClient, name: str) -> None:
    async with line.database.begin() as session:
        code = code_in(await service.add_staff(session, "x", Role.AGENT, "https://x.example"))
    answer = await browser.post("/staff/welcome", data={"code": code, "name": name, "password": PASSWORD})
    assert answer.status_code in {303, 422}
    assert "<script>" not in answer.text + (await browser.get("/staff")).text
    assert (await sign_in(browser, name, "wrong")).status_code == 422


# Signing in ------------------------------------------------------------------------------------------


async def test_a_session_begins_with_a_cookie_no_script_and_no_other_site_can_touch(
    line: Line, browser: httpx.AsyncClient
) -> None:
    await hire(line, "Maria Silva")
    assert not await is_in(browser)
    answer = await sign_in(browser, "maria silva")
    assert (answer.status_code, answer.headers["location"]) == (303, "/desk")
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-staff=")
    assert {"HttpOnly", "Secure", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    secret = cookie.partition("=")[2].partition(";")[0]
    assert await line.count("staff_session", "encode(secret_hash, 'escape') LIKE :s", s=f"%{secret}%") == 0
    page = await browser.get("/staff")
    assert "Maria Silva" in page.text
    assert "Lark Browser" in page.text
    assert page.headers["cache-control"] == "no-store"


async def test_without_https_the_cookie_has_a_name_browsers_take(line: Line) -> None:
    from contact_hub.staff.guard import Cookie

    assert Cookie.called("staff", "http://localhost:8000") == Cookie("civicline_staff", secure=False)
    assert Cookie.called("staff", "https://line.example") == Cookie("__Host-staff", secure=True)


async def test_an_unknown_name_a_wrong_password_and_a_disabled_account_are_answered_alike(
    line: Line, browsers: Browsers
) -> None:
    await hire(line, "Maria")
    await hire(line, "Gone")
    await line.sql("UPDATE staff SET disabled_at = now() WHERE name = 'Gone'")
    wrong = {"Maria": "wrong wrong wrong", "Nobody": PASSWORD, "Gone": PASSWORD}
    pages: dict[str, tuple[int, str]] = {}
    taken: dict[str, list[float]] = {name: [] for name in wrong}
    hashes = []
    for _ in range(5):  # in turn, and the quickest counts: what else the machine does falls on all alike
        for name, password in wrong.items():
            start = time.perf_counter()
            answer = await sign_in(browsers(), name, password)
            taken[name].append(time.perf_counter() - start)
            pages[name] = answer.status_code, answer.text.replace(name, "...")
        start = time.perf_counter()
        await passwords.matches(None, "x")
        hashes.append(time.perf_counter() - start)
    assert pages["Maria"] == pages["Nobody"] == pages["Gone"]
    assert pages["Maria"][0] == 422
    times = [min(each) for each in taken.values()]
    assert min(times) > min(hashes) / 3, "an unknown name is not answered without computing a hash"
    assert max(times) < 4 * min(times), times


async def test_guessing_is_slowed_down_over_all_processes_for_known_and_unknown_names_alike(
    line: Line, browsers: Browsers
) -> None:
    await hire(line, "Maria")
    for name in ("Maria", "Nobody"):
        for _ in range(throttle.SIGN_IN_NAME.most):
            assert (await sign_in(browsers(), name, "wrong wrong wrong")).status_code == 422
        stopped = await sign_in(browsers(), name, PASSWORD)
        assert stopped.status_code == 429, "not even with the right password"
        assert 0 < int(stopped.headers["retry-after"]) <= throttle.SIGN_IN_NAME.seconds
    await line.sql("UPDATE throttle SET until = now() - interval '1 second'")
    assert (await sign_in(browsers(), "Maria")).status_code == 303
    assert (await sign_in(browsers(), "Maria")).status_code == 303


async def test_one_network_cannot_go_through_many_names(line: Line, browsers: Browsers) -> None:
    await line.sql("SELECT 1")
    limit = throttle.Limit(throttle.SIGN_IN_NETWORK.what, 3, 60)
    for _ in range(3):
        await throttle.hit(line.database, limit, "10.0.0.1")
    with pytest.raises(throttle.TooOften):
        await throttle.hit(line.database, limit, "10.0.0.1")
    await throttle.hit(line.database, limit, "10.0.0.2")
    assert throttle.network_of("2001:db8:1:2:3:4:5:6") == throttle.network_of("2001:db8:1:2::9")
    assert throttle.network_of("2001:db8:1:3::9") != throttle.network_of("2001:db8:1:2::9")
    assert throttle.network_of("::ffff:10.0.0.1") == "10.0.0.1"


@pytest.mark.parametrize(
    ("wanted", "given"),
    [
        ("/staff/people", "/staff/people"),
        ("/desk?open=1", "/desk?open=1"),
        ("https://evil.example/staff", "/staff"),
        ("//evil.example/staff", "/staff"),
        ("/staff\r\nSet-Cookie: a=b", "/staff"),
        ("/\\evil.example", "/staff"),
        ("/staffroom", "/staff"),
        ("javascript:alert(1)", "/staff"),
    ],
)
async def test_signing_in_leads_on_to_a_page_of_ours_only(
    line: Line, browser: httpx.AsyncClient, wanted: str, given: str
) -> None:
    await hire(line, "Maria")
    answer = await browser.post("/staff/login", data={"name": "Maria", "password": PASSWORD, "next": wanted})
    assert answer.headers["location"] == given


@pytest.mark.parametrize(
    ("role", "place"),
    [
        (Role.AGENT, "/desk"),
        (Role.SUPERVISOR, "/desk"),
        (Role.MANAGER, "/managers"),
        (Role.RECORDS, "/desk/seals"),
        (Role.ADMIN, "/staff/people"),
    ],
)
async def test_whoever_wishes_nothing_else_goes_to_where_their_work_is(
    line: Line, browser: httpx.AsyncClient, role: Role, place: str
) -> None:
    await hire(line, "Maria", role)
    assert (await sign_in(browser, "Maria")).headers["location"] == place
    assert (await browser.get("/staff/login")).headers["location"] == place
    assert (await browser.get(place)).status_code == 200
    home = (await browser.get("/staff")).text
    assert ('href="/desk"' in home) == (role in {Role.AGENT, Role.SUPERVISOR})
    assert ('href="/managers"' in home) == (role in {Role.SUPERVISOR, Role.MANAGER})


async def test_passwords_are_not_computed_on_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads = []

    class Watched(PasswordHasher):
        def hash(self, *given: Any, **more: Any) -> str:
            threads.append(threading.get_ident())
            return super().hash(*given, **more)

        def verify(self, *given: Any, **more: Any) -> Literal[True]:
            threads.append(threading.get_ident())
            return super().verify(*given, **more)

    monkeypatch.setattr(passwords, "_hasher", Watched(time_cost=1, memory_cost=8, parallelism=1))
    kept = await asyncio.gather(*(passwords.hashed(PASSWORD) for _ in range(8)))
    assert all(await asyncio.gather(*(passwords.matches(each, PASSWORD) for each in kept)))
    assert len(threads) == 16
    assert threading.get_ident() not in threads


# Sessions end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE staff_session SET last_seen_at = now() - interval '30 minutes'",
        "UPDATE staff_session SET created_at = now() - interval '12 hours'",
        "UPDATE staff SET disabled_at = now()",
        "DELETE FROM staff_session",
    ],
)
async def test_a_session_ends(line: Line, browser: httpx.AsyncClient, change: str) -> None:
    await hire(line, "Maria")
    await sign_in(browser, "Maria")
    await line.sql("UPDATE staff_session SET last_seen_at = now() - interval '29 minutes'")
    assert await is_in(browser), "and using it keeps it alive"
    assert await line.count("staff_session", "last_seen_at > now() - interval '1 minute'") == 1
    await line.sql(change)
    answer = await browser.get("/staff/password")
    assert (answer.status_code, answer.headers["location"]) == (303, "/staff/login?next=/staff/password")


async def test_a_new_password_signs_out_everywhere_else(line: Line, browsers: Browsers) -> None:
    await hire(line, "Maria")
    here, there, copied = browsers(), browsers(), browsers()
    await sign_in(here, "Maria")
    await sign_in(there, "Maria")
    copied.cookies.update(here.cookies)
    wrong = await here.post(
        "/staff/password", data={"old": "not mine at all", "new": "another long password"}
    )
    assert wrong.status_code == 422
    assert await is_in(there)
    assert await is_in(copied)
    done = await here.post("/staff/password", data={"old": PASSWORD, "new": "another long password"})
    assert "Your password is changed" in (await here.get(done.headers["location"])).text
    assert [await is_in(browser) for browser in (here, there, copied)] == [True, False, False]
    assert (await sign_in(here, "Maria")).status_code == 422
    assert (await sign_in(here, "Maria", "another long password")).status_code == 303


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0 Safari/537.36", "Chrome on Linux"),
        (
            "Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150",
            "Edge on Windows",
        ),
        ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) Version/18.0 Safari/605.1.15", "Safari on Mac"),
        ("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0", "Firefox on Android"),
        ("Lark Browser", "Lark Browser"),
        ("", "unknown"),
    ],
)
def test_a_browser_is_called_what_people_call_it(said: str, name: str) -> None:
    assert sessions.called(said) == name


async def test_sessions_are_listed_and_ended_one_by_one(line: Line, browsers: Browsers) -> None:
    await hire(line, "Maria")
    await hire(line, "Ana")
    here, there, anas = browsers(), browsers(), browsers()
    await sign_in(here, "Maria")
    await sign_in(there, "Maria")
    await sign_in(anas, "Ana")
    (other,) = re.findall(r"/staff/sessions/([0-9a-f-]{36})/end", (await here.get("/staff")).text)
    assert (await anas.post(f"/staff/sessions/{other}/end")).status_code == 303
    assert await is_in(there), "nobody ends a colleague's session"
    assert (await here.post(f"/staff/sessions/{other}/end")).status_code == 303
    assert [await is_in(browser) for browser in (here, there, anas)] == [True, False, True]
    await here.post("/staff/logout")
    assert not await is_in(here)


# The second factor -----------------------------------------------------------------------------------


async def with_a_second_factor(
    line: Line, browser: httpx.AsyncClient, name: str
) -> tuple[str, str, list[str]]:
    """Turn the second factor on; returns the secret, the code that was shown and the recovery codes."""
    await sign_in(browser, name)
    await browser.post("/staff/totp/begin")
    page = (await browser.get("/staff/totp")).text
    (secret,) = re.findall(r"Secret: <code>([A-Z2-7]{32})</code>", page)
    assert "<svg" in page
    assert "style=" not in page, "the content policy allows no inline style"
    now = pyotp.TOTP(secret).at(time.time())
    wrong = await browser.post("/staff/totp/confirm", data={"code": f"{(int(now) + 1) % 1_000_000:06}"})
    assert wrong.status_code == 422
    on = await browser.post("/staff/totp/confirm", data={"code": now})
    codes = re.findall(r"<li><code>([a-z0-9-]{14})</code></li>", on.text)
    assert len(codes) == 10
    return secret, now, codes


async def test_the_second_factor_is_asked_for_and_no_code_serves_twice(
    line: Line, browsers: Browsers
) -> None:
    await hire(line, "Maria")
    first = browsers()
    secret, shown, codes = await with_a_second_factor(line, first, "Maria")
    (kept,) = await line.sql("SELECT totp_secret FROM staff")
    assert secret.encode() not in kept.totp_secret

    second = browsers()
    answer = await sign_in(second, "Maria")
    assert answer.headers["location"].startswith("/staff/login/code")
    assert not await is_in(second), "the password alone opens nothing"
    assert (await second.get("/api/v1/conversations/waiting")).status_code == 401
    replayed = await second.post("/staff/login/code", data={"code": shown})
    assert replayed.status_code == 422, "it was shown when the factor was turned on"
    await line.sql("UPDATE staff SET totp_step = totp_step - 5")
    code = pyotp.TOTP(secret).now()
    half = second.cookies["__Host-staff"]
    assert (await second.post("/staff/login/code", data={"code": code})).status_code == 303
    assert await is_in(second)
    assert second.cookies["__Host-staff"] != half, "the secret is another one after the second step"

    new = "another long password"
    changed = await second.post("/staff/password", data={"old": PASSWORD, "new": new})
    assert changed.headers["location"].startswith("/staff/login/code"), "only the code is asked for"
    assert not await is_in(second)
    done = await second.post("/staff/login/code", data={"code": codes[3], "next": "/staff?done=password"})
    assert "Your password is changed" in (await second.get(done.headers["location"])).text

    third = browsers()
    await sign_in(third, "Maria", new)
    assert (await third.post("/staff/login/code", data={"code": code})).status_code == 422
    assert (await third.post("/staff/login/code", data={"code": codes[0].upper()})).status_code == 303
    await third.post("/staff/logout")
    await sign_in(third, "Maria", new)
    assert (await third.post("/staff/login/code", data={"code": codes[0]})).status_code == 422
    assert (await third.post("/staff/login/code", data={"code": codes[1]})).status_code == 303
    assert (await third.post("/staff/totp/remove", data={"code": "123"})).status_code == 422
    assert (await third.post("/staff/totp/remove", data={"code": codes[2]})).status_code == 303
    await third.post("/staff/logout")
    assert (await sign_in(third, "Maria", new)).headers["location"] == "/desk"


async def test_one_code_shown_by_two_at_once_lets_one_in(line: Line, browsers: Browsers) -> None:
    await hire(line, "Maria")
    secret, _, _ = await with_a_second_factor(line, browsers(), "Maria")
    await line.sql("UPDATE staff SET totp_step = totp_step - 5")
    both = [browsers(), browsers(), browsers()]
    for browser in both:
        await sign_in(browser, "Maria")
    code = pyotp.TOTP(secret).now()
    answers = await asyncio.gather(
        *(browser.post("/staff/login/code", data={"code": code}) for browser in both)
    )
    assert sorted(answer.status_code for answer in answers) == [303, 422, 422]


async def test_codes_cannot_be_guessed(line: Line, browsers: Browsers) -> None:
    await hire(line, "Maria")
    _, _, codes = await with_a_second_factor(line, browsers(), "Maria")
    browser = browsers()
    await sign_in(browser, "Maria")
    for _ in range(throttle.SECOND_STEP.most):
        assert (await browser.post("/staff/login/code", data={"code": "000000x"})).status_code == 422
    assert (await browser.post("/staff/login/code", data={"code": codes[0]})).status_code == 429
    await line.sql("UPDATE staff_session SET created_at = now() - interval '5 minutes' WHERE second_step")
    assert (await browser.get("/staff/login/code")).status_code == 303, "the code is due within minutes"


# Other sites -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("head", "may"),
    [
        ({"Origin": PUBLIC_URL}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, True),
        ({}, False),
        ({"Origin": "https://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({"Origin": "https://line.larkhaven.example.evil.example"}, False),
        ({"Origin": "https://[broken"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": PUBLIC_URL}, False),
    ],
)
async def test_another_site_changes_nothing(
    line: Line, web: httpx.AsyncClient, head: dict[str, str], may: bool
) -> None:
    await hire(line, "Maria")
    form = {"name": "Maria", "password": PASSWORD}
    answer = await web.post("/staff/login", data=form, headers=head)
    assert answer.status_code == (303 if may else 403)
    assert await line.count("staff_session") == int(may)
    if may:
        for method, path in (("POST", "/staff/logout"), ("DELETE", "/staff"), ("POST", "/api/v1/nothing")):
            answer = await web.request(method, path, headers={"Sec-Fetch-Site": "cross-site"})
            assert answer.status_code == 403
        assert (await web.get("/staff", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 200


# Admins ----------------------------------------------------------------------------------------------


async def test_an_agent_says_in_which_languages_they_answer(line: Line, browser: httpx.AsyncClient) -> None:
    await hire(line, "Maria", Role.AGENT, "waste")
    await sign_in(browser, "Maria")
    assert "Languages I answer in" in (await browser.get("/staff")).text
    done = await browser.post("/staff/languages", data={"languages": ["tr", "es", "klingon"]})
    assert done.headers["location"] == "/staff?done=languages"
    assert await line.one("SELECT languages FROM staff WHERE name = 'Maria'") == ["es", "tr"]
    page = (await browser.get("/staff")).text
    assert page.count('name="languages"') == len(line.city.languages)
    assert page.count(" checked") == 2
    await browser.post("/staff/languages")
    assert await line.one("SELECT languages FROM staff WHERE name = 'Maria'") == []


async def test_an_admin_looks_after_people(line: Line, browsers: Browsers) -> None:
    await hire(line, "Ada", Role.ADMIN)
    admin, other = browsers(), browsers()
    await sign_in(admin, "Ada")
    wanted = {"name": "Maria", "role": "agent", "departments": ["waste", "roads"], "languages": ["tr", "en"]}
    invited = await admin.post("/staff/people", data=wanted)
    (code,) = re.findall(r"code=([\w-]+)", invited.text)
    await other.post("/staff/welcome", data={"code": code, "name": "Maria", "password": PASSWORD})
    (row,) = await line.sql("SELECT id, role, departments, languages FROM staff WHERE name = 'Maria'")
    assert (row.role, row.departments, row.languages) == ("agent", ["roads", "waste"], ["en", "tr"])
    listed = (await admin.get("/staff/people")).text
    assert "agent; Roads and Transport, Waste and Recycling; second factor off" in listed
    assert '<option value="records">records: exports, erasures' in listed
    changed = await admin.post(
        f"/staff/people/{row.id}/change",
        data={"role": "supervisor", "departments": ["waste"], "languages": ["es"]},
    )
    assert changed.status_code == 303
    assert await line.one("SELECT languages FROM staff WHERE name = 'Maria'") == ["es"]
    assert "supervisor" in (await other.get("/staff")).text, "from the next click on"
    link = (await admin.post(f"/staff/people/{row.id}/reset")).text
    assert not await is_in(other)
    assert (await sign_in(other, "Maria")).status_code == 422
    (code,) = re.findall(r"code=([\w-]+)", link)
    form = {"code": code, "name": "Ignored name", "password": "a brand new password"}
    assert (await other.post("/staff/welcome", data=form)).status_code == 303
    assert await is_in(other)
    assert (await admin.post(f"/staff/people/{row.id}/disable")).status_code == 303
    assert not await is_in(other)
    assert (await sign_in(other, "Maria", "a brand new password")).status_code == 422
    assert (await admin.post(f"/staff/people/{row.id}/enable")).status_code == 303
    (ada,) = await line.sql("SELECT id FROM staff WHERE name = 'Ada'")
    alone = await admin.post(f"/staff/people/{ada.id}/disable")
    assert (alone.status_code, "only admin" in alone.text) == (422, True)
    for wrong in (
        {"role": "king"},
        {"role": "agent", "departments": "magic"},
        {"role": "agent", "languages": "xx"},
    ):
        assert (await admin.post("/staff/people", data={"name": "Eve", **wrong})).status_code == 422
    actions = [row.action for row in await line.sql("SELECT action FROM audit ORDER BY number")]
    for action in ("staff.invited", "staff.joined", "staff.changed", "staff.reset", "staff.disabled"):
        assert action in actions
    assert not (await verify(line.database)).faults


async def test_only_admins_look_after_people_and_tokens(line: Line, browsers: Browsers) -> None:
    for role in Role:
        await hire(line, f"A {role}", role)
        browser = browsers()
        await sign_in(browser, f"A {role}")
        status = 200 if role is Role.ADMIN else 403
        for path in ("/staff/people", "/staff/tokens"):
            assert (await browser.get(path)).status_code == status
            answer = await browser.post(path, data={})
            assert answer.status_code == (422 if role is Role.ADMIN else 403)
    stranger = browsers()
    for path in ("/staff", "/staff/people", "/staff/tokens", "/staff/password", "/staff/totp"):
        assert (await stranger.get(path)).status_code == 303
        assert (await stranger.post(path, data={})).status_code in {303, 405}
    assert await line.count("invitation", "used_at IS NULL") == 0


async def test_a_token_is_made_listed_and_revoked(line: Line, browser: httpx.AsyncClient) -> None:
    await hire(line, "Ada", Role.ADMIN)
    await sign_in(browser, "Ada")
    form: dict[str, Any] = {"label": "Call centre", "scopes": ["queue:read"], "days": "30"}
    mistakes: list[dict[str, Any]] = [
        {"days": "0"},
        {"days": "x"},
        {"scopes": []},
        {"scopes": ["all"]},
        {"label": " "},
    ]
    for wrong in mistakes:
        assert (await browser.post("/staff/tokens", data={**form, **wrong})).status_code == 422
    made = (await browser.post("/staff/tokens", data=form)).text
    (token,) = re.findall(r"cvl_[\w-]+", made)
    head = {"Authorization": f"Bearer {token}"}
    assert (await browser.get("/api/v1/conversations/waiting", headers=head)).status_code == 200
    listed = (await browser.get("/staff/tokens")).text
    assert "Call centre" in listed
    assert token not in listed
    (which,) = re.findall(r"/staff/tokens/([0-9a-f-]{36})/revoke", listed)
    assert (await browser.post(f"/staff/tokens/{which}/revoke")).status_code == 303
    assert (await browser.get("/api/v1/conversations/waiting", headers=head)).status_code == 401, (
        "a token is judged alone, also in the browser of somebody who is signed in"
    )


async def test_pages_carry_no_inline_script_and_their_forms_have_labels(
    line: Line, browser: httpx.AsyncClient
) -> None:
    await hire(line, "Ada", Role.ADMIN, "waste")
    pages = [(await browser.get(path)).text for path in ("/staff/login", "/staff/welcome?code=x")]
    await sign_in(browser, "Ada")
    await browser.post("/staff/totp/begin")
    places = ("/staff", "/staff/password", "/staff/totp", "/staff/people", "/staff/tokens")
    pages += [(await browser.get(path)).text for path in places]
    for page in pages:
        assert "<script" not in page
        assert not re.search(r"\s(style|on\w+)=", page)
        assert '<html lang="en">' in page
        assert page.count("<h1") == 1
        for field in re.findall(r"<(?:input|select)[^>]*>", page):
            if 'type="hidden"' in field or " hidden" in field or 'type="checkbox"' in field:
                continue
            (name,) = re.findall(r'id="([^"]+)"', field)
            assert f'<label for="{name}"' in page, field


# A second factor that must be ------------------------------------------------------------------------


@pytest.fixture
def strict(monkeypatch: pytest.MonkeyPatch) -> None:
    """A city that wants a second factor of its records officers and admins."""
    monkeypatch.setenv("SECOND_FACTOR_REQUIRED", "records, admin")


@pytest.mark.usefixtures("strict")
async def test_whoever_must_have_a_second_factor_sets_it_up_before_anything_else(
    line: Line, browsers: Browsers
) -> None:
    await hire(line, "Rosa", Role.RECORDS)
    await hire(line, "Ana", Role.AGENT, "waste")
    agent, officer = browsers(), browsers()
    assert (await sign_in(agent, "Ana")).headers["location"] == "/desk"
    assert await is_in(agent), "her role asks for none"

    arrived = await sign_in(officer, "Rosa")
    assert (arrived.status_code, arrived.headers["location"]) == (303, "/staff/totp")
    for path in ("/staff", "/staff/password", "/staff/people", "/desk", "/managers"):
        led = await officer.get(path)
        assert led.status_code in {303, 404}, path
        assert "Rosa" not in led.text
    assert (await officer.get("/staff/login")).headers["location"] == "/staff/totp"
    assert (
        await officer.get("/api/v1/citizens", params={"channel": "sms", "address": "+1"})
    ).status_code == 401
    assert (await officer.post("/staff/sessions/others/end")).status_code == 303
    assert not await line.count("audit", "action = 'staff.sessions_ended'")

    await officer.post("/staff/totp/begin")
    page = (await officer.get("/staff/totp")).text
    assert "Accounts like yours need a second factor" in page
    secret = re.search(r"<code>([A-Z2-7]{32})</code>", page)
    assert secret is not None
    codes = await officer.post("/staff/totp/confirm", data={"code": pyotp.TOTP(secret[1]).now()})
    assert "Recovery codes" in codes.text
    assert await is_in(officer)
    assert (await officer.get("/staff/login")).headers["location"] == "/desk/seals"
    await officer.post("/staff/logout")
    assert (await sign_in(officer, "Rosa")).headers["location"].startswith("/staff/login/code")

    async with line.database.begin() as session:
        link = await service.add_staff(session, "Ada", Role.ADMIN, PUBLIC_URL)
    welcome = {"code": code_in(link), "name": "Ada", "password": PASSWORD}
    invited = await browsers().post("/staff/welcome", data=welcome)
    assert invited.headers["location"] == "/staff/totp", "a link opens no way around it"


@pytest.mark.usefixtures("strict")
async def test_signing_out_is_open_to_whoever_has_no_second_factor_yet(
    line: Line, browser: httpx.AsyncClient
) -> None:
    await hire(line, "Maria", Role.ADMIN)
    await sign_in(browser, "Maria")
    await browser.post("/staff/logout")
    assert not await line.count("staff_session")
