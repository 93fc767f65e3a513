"""The readable page of a copy: one file without script, in the resident's language, good to print.

Everything a resident or anybody else wrote enters it escaped and apart from the text around it in
its direction; a page out of an archive has nobody to protect it, so it carries a policy that lets
nothing run and nothing load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from babel import Locale

from contact_hub.city import City
from contact_hub.database import now

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2rem; border-bottom: 1px solid; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; } dd { margin: 0; }
dt { font-weight: 600; } ol { list-style: none; padding: 0; }
li { border-inline-start: .25rem solid #8888; padding-inline-start: .75rem; margin: 0 0 .75rem; }
li.citizen { border-color: #2563eb; } li.agent { border-color: #15803d; }
.when { color: #666; font-size: .85rem; } ol:empty::after { content: attr(data-none); }
p { margin: .15rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
@media (prefers-color-scheme: dark) { .when { color: #aaa; } }
@media print { body { max-width: none; margin: 0; font-size: 10pt; } li { break-inside: avoid; }
  h2 { break-after: avoid; } }
"""
_AUTHORS = {"citizen": "chat_you", "bot": "chat_assistant", "agent": "chat_agent", "system": "chat_system"}


@dataclass(frozen=True, slots=True)
class Page:
    """Writes the page piece by piece, so that no more than a piece of it is in memory."""

    city: City
    language: str

    def head(
        self,
        citizen: dict[str, Any],
        addresses: Sequence[dict[str, Any]],
        terms: Sequence[dict[str, Any]],
    ) -> str:
        """From the first line to what the data may be used for."""
        direction = Locale.parse(self.language).text_direction
        title = self._words("copy_title", city=self.city.name)
        made = self._words("copy_made", date=self.city.moment(now(), self.language))
        about = [
            ("copy_since", self._moment(citizen["known_since"])),
            ("copy_name", _said(citizen["name"])),
            ("copy_language", _said(self._named(citizen["language"]))),
        ]
        return (
            f'<!doctype html>\n<html lang="{self.language}" dir="{direction}">\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f"<title>{title}</title>\n<style>{_STYLE}</style>\n<h1>{title}</h1>\n<p>{made}</p>\n<dl>"
            + "".join(f"<dt>{self._words(key)}</dt><dd>{value}</dd>" for key, value in about if value)
            + "</dl>\n"
            + self.begin("copy_addresses")
            + "".join(self._address(address) for address in addresses)
            + self.end()
            + self.begin("copy_terms")
            + "".join(self._term(term) for term in terms)
            + self.end()
        )

    def begin(self, heading: str) -> str:
        """The beginning of a list."""
        return f'<h2>{self._words(heading)}</h2>\n<ol data-none="{self._words("copy_none")}">'

    def end(self) -> str:
        """The end of a list; an empty one says so by its style alone."""
        return "</ol>\n"

    def foot(self) -> str:
        """The end of the page."""
        return "</html>\n"

    def report(self, report: dict[str, Any]) -> str:
        """One report."""
        kind = self.city.category(report["category"], self.language)
        state = f"state_{report['state']}"
        how = self.city.say(state, self.language) if self.city.has(state) else report["state"]
        parts = (report["reference"], kind, report["place"], report["district"], how)
        title = " · ".join(filter(None, parts))
        return _item("", [self._when(report["made_at"]), _line(title), _line(report["description"])])

    def answer(self, answer: dict[str, Any]) -> str:
        """One question, and what it was answered from."""
        sources = "; ".join(str(source["title"] or source["article"] or "") for source in answer["sources"])
        known = f"{self.city.say('chat_sources', self.language)}: {sources}" if sources else ""
        when = self._when(answer["at"], answer["outcome"])
        return _item("citizen", [when, _line(answer["question"]), _line(known)])

    def flag(self, flag: dict[str, Any]) -> str:
        """One moment at which they seemed unhappy or in danger, with the reasons."""
        reasons = [str(signal.get("words") or signal.get("signal") or "") for signal in flag["signals"]]
        when = self._when(flag["raised_at"], str(flag["level"]), str(flag["verdict"] or ""))
        lines = [when, *(_line(reason) for reason in reasons)]
        if flag["dismissed_at"] is not None:
            lines += [self._when(flag["dismissed_at"]), _line(flag["dismissed_why"])]
        return _item("", lines)

    def rating(self, rating: dict[str, Any]) -> str:
        """One conversation that could be rated, and what they gave it."""
        given = "" if rating["score"] is None else f"{rating['score']} / 5"
        return _item("", [self._when(rating["closed_at"], rating["channel"], rating["state"]), _line(given)])

    def wait(self, wait: dict[str, Any]) -> str:
        """One stretch of waiting, from its beginning to its end."""
        lines = [self._when(wait["since"], wait["channel"], str(wait["reason"]))]
        if wait["ended_at"] is not None:
            lines.append(self._when(wait["ended_at"], str(wait["ended"] or "")))
        return _item("", lines)

    def merge(self, merge: dict[str, Any]) -> str:
        """One merge, and its undoing."""
        lines = [self._when(merge["made_at"], merge["method"]), _line(merge["reason"])]
        if merge["undone_at"] is not None:
            lines += [self._when(merge["undone_at"]), _line(merge["undo_reason"])]
        return _item("", lines)

    def touchpoint(self, touchpoint: dict[str, Any], files: Sequence[tuple[str, str]]) -> str:
        """One event."""
        author = self.city.say(_AUTHORS[touchpoint["by"]], self.language)
        kind = "" if touchpoint["kind"] == "text" else touchpoint["kind"]
        lines = [self._when(touchpoint["at"], touchpoint["channel"], author, kind)]
        lines.append(_line(touchpoint["text"]))
        sources = touchpoint["details"].get("sources")
        sources = sources if isinstance(sources, list) else []
        lines += [_line(f"{source.get('title', '')} {source.get('url', '')}") for source in sources]
        lines += [f'<p><a href="{escape(path)}"><bdi>{escape(name)}</bdi></a></p>' for name, path in files]
        return _item(touchpoint["by"], lines)

    def _address(self, address: dict[str, Any]) -> str:
        when = self._when(address["known_since"], address["channel"], address["proof"] or "")
        return _item("", [when, _line(address["value"])])

    def _term(self, term: dict[str, Any]) -> str:
        answer = self.city.say("button_yes" if term["in_force"] else "button_no", self.language)
        holds = f"{self.city.say('copy_in_force', self.language)}: {answer}"
        when = self._when(term["decided_at"], term["channel"], str(term["purpose"]), str(term["decision"]))
        return _item("", [when, _line(holds), _line(term["text"])])

    def _words(self, key: str, **values: object) -> str:
        return escape(self.city.say(key, self.language, **values))

    def _named(self, language: str | None) -> str | None:
        key = f"language_{language}"
        return self.city.say(key, self.language) if self.city.has(key) else language

    def _moment(self, at: datetime) -> str:
        return f'<time datetime="{at.isoformat()}">{escape(self.city.moment(at, self.language))}</time>'

    def _when(self, at: datetime, *more: str) -> str:
        rest = "".join(f" · <bdi>{escape(part)}</bdi>" for part in more if part)
        return f'<div class="when">{self._moment(at)}{rest}</div>'


def _item(kind: str, lines: Sequence[str]) -> str:
    return f'<li class="{escape(kind)}">{"".join(filter(None, lines))}</li>\n'


def _line(words: str | None) -> str:
    return f'<p dir="auto">{escape(words)}</p>' if words else ""


def _said(words: str | None) -> str:
    return f"<bdi>{escape(words)}</bdi>" if words else ""
