"""The city's front page with the chat in it, the static files, and the API's reference."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cached_property
from typing import Any

import yaml
from babel import Locale
from babel.dates import format_skeleton, format_time, get_day_names
from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles

from contact_hub.city import DAYS, City
from contact_hub.web.languages import preferred
from contact_hub.web.security import content_policy
from contact_hub.web.templates import STATIC, render

AHEAD = 14  # days: a holiday is told of so long before it
FOREVER = "public, max-age=31536000, immutable"  # the address changes with the content


@dataclass(frozen=True)
class FrontPage:
    """The words of the front page, from `nlu_data/pages/<language>.yml`, and the city's own facts."""

    city: City

    @cached_property
    def words(self) -> Mapping[str, Mapping[str, Any]]:
        """The page's words by language; a language without a file is not offered."""
        found = {}
        for language in self.city.languages:
            path = self.city.folder / "pages" / f"{language}.yml"
            if path.exists():
                found[language] = yaml.safe_load(path.read_text(encoding="utf-8"))
        return found

    def language(self, wanted: str, header: str) -> str:
        """Picks the language: the one asked for in the address, else the browser's."""
        wanted = wanted.partition("-")[0].lower()
        if wanted in self.words:
            return wanted
        return preferred(header, list(self.words), self.city.default_language)

    def values(self, language: str) -> dict[str, Any]:
        """Everything the template needs, in one language."""
        words = self.words.get(language, {})
        settings = self.city.settings
        return {
            "language": language,
            "direction": Locale.parse(language).text_direction,
            "city": self.city.name,
            "words": words,
            "topics": words.get("topics", []),
            "languages": [
                (code, (Locale.parse(code).get_display_name(code) or code).capitalize())
                for code in self.words
            ],
            "hours": self.hours(language, words, datetime.now(self.city.zone).date()),
            "contact": settings.get("contact_centre", {}),
            "emergency": settings["emergency"]["number"],
            "notice": settings.get("privacy_notice", {}).get("url", ""),
        }

    def hours(self, language: str, words: Mapping[str, Any], today: date) -> list[tuple[str, str]]:
        """The opening hours, days with the same hours together, then the holidays of the next two weeks."""
        names = get_day_names("abbreviated", locale=language)
        spans: list[tuple[int, int, str]] = []
        closed = words.get("closed", "–")
        for index in range(len(DAYS)):
            opening = self.city.usual_opening(index)
            shown = ", ".join("–".join(_clock(end, language) for end in span) for span in opening) or closed
            if spans and spans[-1][2] == shown:
                spans[-1] = (spans[-1][0], index, shown)
            else:
                spans.append((index, index, shown))
        return [
            (names[first] if first == last else f"{names[first]} – {names[last]}", shown)
            for first, last, shown in spans
        ] + [
            (format_skeleton("MMMEd", day, locale=language), closed)
            for day in self.city.closed_days(today, AHEAD)
        ]


def _clock(at: time, language: str) -> str:
    """A time of day as that language writes it; the end of the day is no midnight before it."""
    return "24:00" if at == time.max else format_time(at, "short", locale=language)


def router(city: City, *, public_url: str) -> APIRouter:
    """Makes the routes of the pages everybody may see."""
    page = FrontPage(city)
    files = StaticFiles(directory=STATIC, check_dir=False)
    routes = APIRouter(include_in_schema=False)
    # Nothing of ours writes HTML from strings in the browser, and the policy keeps it so.
    strict = content_policy(public_url, require_trusted_types_for="'script'", trusted_types="'none'")

    @routes.get("/")
    async def front_page(request: Request, lang: str = "") -> Response:
        """Shows the city's page with the chat."""
        language = page.language(lang, request.headers.get("accept-language", ""))
        headers = {
            "Content-Language": language,
            "Vary": "Accept-Language",
            "Cache-Control": "no-cache",
            "Content-Security-Policy": strict,
        }
        return render("city.html", headers=headers, **page.values(language))

    @routes.get("/static/{path:path}")
    async def static_file(request: Request, path: str) -> Response:
        """Serves a file of ours; an address with a version may be kept for good."""
        response = await files.get_response(path, request.scope)
        response.headers["Cache-Control"] = FOREVER if "v" in request.query_params else "public, max-age=300"
        return response

    @routes.get("/favicon.ico")
    async def favicon(request: Request) -> Response:
        """Serves the crest to browsers that ask without reading the page."""
        return await files.get_response("crest.svg", request.scope)

    @routes.get("/docs")
    async def reference(request: Request) -> Response:
        """Shows the API's reference, drawn from /openapi.json by our own copy of Swagger UI."""
        return render("docs.html", city=city.name)

    return routes
