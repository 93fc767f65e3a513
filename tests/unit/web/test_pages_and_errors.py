"""The front page, its policy, and what every wrong request is told."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date
from pathlib import Path

import httpx
import pytest
import yaml
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from channels.base.widget.labels import ENGLISH
from channels.base.widget.limits import networks, visitor_ip
from contact_hub.city import load_city
from contact_hub.web.languages import preferred
from contact_hub.web.pages import FrontPage
from contact_hub.web.security import SecurityHeaders, SharedWithSites, security_headers

ROOT = Path(__file__).parents[3]
PAGES = ROOT / "nlu_data" / "pages"


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de-AT,de;q=0.9,en;q=0.8", "de"),
        ("xx, ar;q=0.7, es;q=0.9", "es"),
        ("en;q=0, zh-Hant", "zh"),
        ("*", "en"),
        (";;;q=,,=" * 400, "en"),
        ("de;q=nonsense,fr;q=0.1", "fr"),
    ],
)
def test_the_front_page_speaks_the_browsers_language(
    client: httpx.Client, header: str, language: str
) -> None:
    page = client.get("/", headers={"Accept-Language": header})
    assert page.status_code == 200
    assert page.headers["content-language"] == language
    assert f'<html lang="{language}" dir="{"rtl" if language == "ar" else "ltr"}">' in page.text
    assert preferred(header, ["en", "de", "es", "fr", "zh", "ar"], "en") == language


def test_the_address_decides_before_the_browser_and_nonsense_does_not(client: httpx.Client) -> None:
    assert client.get("/?lang=ar", headers={"Accept-Language": "de"}).headers["content-language"] == "ar"
    assert client.get("/?lang=../../x", headers={"Accept-Language": "de"}).headers["content-language"] == "de"


def test_every_language_of_the_front_page_has_every_word(client: httpx.Client) -> None:
    city = yaml.safe_load((ROOT / "nlu_data" / "city.yml").read_text(encoding="utf-8"))
    english = yaml.safe_load((PAGES / "en.yml").read_text(encoding="utf-8"))
    for language in city["languages"]["supported"]:
        words = yaml.safe_load((PAGES / f"{language}.yml").read_text(encoding="utf-8"))
        assert words.keys() == english.keys(), language
        assert [topic["icon"] for topic in words["topics"]] == [topic["icon"] for topic in english["topics"]]
        assert client.get(f"/?lang={language}").status_code == 200


def test_hours_until_the_end_of_the_day_are_shown_in_every_language() -> None:
    city = load_city(ROOT / "nlu_data")
    hours = city.settings["opening_hours"] | {"sat": ["00:00-24:00"], "sun": ["14:00 - 16:00", "09:00-12:00"]}
    page = FrontPage(replace(city, settings={**city.settings, "opening_hours": hours}))
    for language in city.languages:
        rows = page.values(language)["hours"]
        assert [shown.endswith("–24:00") for _, shown in rows[:3]] == [False, True, False], language
    assert page.hours("de", {}, date(2026, 12, 1))[1:] == [
        ("Sa.", "00:00–24:00"),
        ("So.", "09:00–12:00, 14:00–16:00"),
    ]


def test_the_holidays_of_the_next_two_weeks_stand_below_the_hours() -> None:
    page = FrontPage(load_city(ROOT / "nlu_data"))
    usual = page.hours("en", page.words["en"], date(2026, 10, 25))  # 1 November is a Sunday
    assert [days for days, _ in usual] == ["Mon – Fri", "Sat", "Sun"]
    assert page.hours("en", page.words["en"], date(2026, 12, 12)) == [
        *usual,
        ("Fri, Dec 25", "closed"),
    ]
    assert page.hours("de", page.words["de"], date(2026, 12, 13))[-1] == ("Sa., 26. Dez.", "geschlossen")


def test_the_policy_allows_nothing_inline_and_nothing_foreign(client: httpx.Client) -> None:
    page = client.get("/")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert page.headers["x-content-type-options"] == "nosniff"
    assert page.headers["x-frame-options"] == "DENY"
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\bsrc=)", page.text)
    sources = re.findall(r'(?:src|href)="(https?:[^"]+)"', page.text)
    assert [url for url in sources if ".larkhaven.example" not in url] == []


def test_the_element_is_served_once_and_then_confirmed(client: httpx.Client) -> None:
    script = client.get("/city-chat.js")
    assert script.status_code == 200
    assert script.headers["content-type"].startswith("text/javascript")
    assert script.headers["cross-origin-resource-policy"] == "cross-origin"
    again = client.get("/city-chat.js", headers={"If-None-Match": script.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert int(script.headers["content-length"]) < 15_000  # a phone on a slow network fetches this
    assert again.headers["etag"] == script.headers["etag"]


def test_the_element_has_words_of_its_own_for_when_it_cannot_ask(client: httpx.Client) -> None:
    script = client.get("/city-chat.js").text
    assert [text for text in ENGLISH.values() if text not in script] == []


def test_static_files_are_kept_by_their_version(client: httpx.Client) -> None:
    page = client.get("/").text
    address = re.search(r'href="(/static/city\.css\?v=\w+)"', page)
    assert address is not None
    assert "immutable" in client.get(address[1]).headers["cache-control"]
    assert client.get("/static/../pages.py").status_code == 404
    assert client.get("/static/%2e%2e/pages.py").status_code == 404
    assert client.get("/static/nothing.css").status_code == 404


def test_the_reference_is_drawn_from_our_own_files(client: httpx.Client) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
        assert address.startswith("/")
        assert client.get(address).status_code == 200
    paths = client.get("/openapi.json").json()["paths"]
    assert {"/channels/web_chat/sessions", "/channels/web_chat/messages"} <= paths.keys()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/nowhere", 404), ("DELETE", "/channels/web_chat/messages", 405), ("POST", "/", 405)],
)
def test_a_wrong_address_is_told_in_one_shape(
    client: httpx.Client, method: str, path: str, status: int
) -> None:
    answer = client.request(method, path, headers={"Sec-Fetch-Site": "same-origin"})
    assert answer.status_code == status
    assert answer.json().keys() == {"error", "reason"}
    assert answer.json()["reason"].endswith(".")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")


def test_a_person_with_a_browser_gets_a_page_instead(client: httpx.Client) -> None:
    page = client.get("/nowhere", headers={"Accept": "text/html,application/xhtml+xml"})
    assert page.status_code == 404
    assert "<h1>Not Found</h1>" in page.text


@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_a_large_body_is_refused_with_a_reason_and_not_cut_off(client: httpx.Client, chunked: bool) -> None:
    body = b" " * 5_000_000
    content = (body[start : start + 65_536] for start in range(0, len(body), 65_536)) if chunked else body
    answer = client.post("/channels/web_chat/sessions", content=content)
    assert answer.status_code == 413
    assert answer.json()["error"] == "too_large"


def test_another_site_may_talk_to_the_chat_only_when_the_city_says_so(client: httpx.Client) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answer = client.options("/channels/web_chat/messages", headers=asked)
    assert "access-control-allow-origin" not in answer.headers


async def test_an_allowed_site_reaches_the_chat_and_nothing_else() -> None:
    async def hello(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("hello")(scope, receive, send)

    app = SecurityHeaders(
        SharedWithSites(hello, ["https://www.city.example/"]), security_headers("https://x")
    )
    site = {"Origin": "https://www.city.example"}
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://x") as client:
        preflight = await client.options("/channels/web_chat/messages", headers=site | asked)
        assert preflight.status_code == 200
        assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
        shared = await client.get("/channels/web_chat/labels", headers=site)
        assert shared.headers["access-control-allow-origin"] == "https://www.city.example"
        assert shared.headers["cross-origin-resource-policy"] == "cross-origin"
        assert "access-control-allow-credentials" not in shared.headers
        private = await client.get("/api/v1/citizens", headers=site)
        assert "access-control-allow-origin" not in private.headers
        assert private.headers["cross-origin-resource-policy"] == "same-origin"
        assert private.headers["strict-transport-security"] == "max-age=31536000"


def test_only_trusted_proxies_are_believed() -> None:
    trusted = networks(["10.0.0.0/8", "::1"])
    assert visitor_ip("203.0.113.9", "198.51.100.1", trusted) == "203.0.113.9"
    assert visitor_ip("10.1.1.1", "1.2.3.4, 198.51.100.1, 10.2.2.2", trusted) == "198.51.100.1"
    assert visitor_ip("10.1.1.1", "", trusted) == "10.1.1.1"
    assert visitor_ip("10.1.1.1", "nonsense", trusted) == "10.1.1.1"
    assert visitor_ip("unknown", "198.51.100.1", trusted) == "unknown"
