"""A draft as a page would show it: no HTML of its own, no pictures, only links that lead somewhere."""

from __future__ import annotations

from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markupsafe import Markup

_SCHEMES = frozenset({"http", "https", "mailto", "tel"})


def _leads_somewhere(url: str) -> bool:
    try:
        return urlsplit(url).scheme.lower() in _SCHEMES
    except ValueError:
        return False


_reader = (
    MarkdownIt("commonmark", {"html": False}).enable("table").disable(["image", "html_inline", "html_block"])
)
_reader.validateLink = _leads_somewhere  # type: ignore[method-assign]


def rendered(text: str) -> Markup:
    """Markdown as HTML that holds nothing but words, headings, lists, tables and safe links."""
    return Markup(_reader.render(text))  # noqa: S704 - its HTML is off and what is left is escaped
