"""Files that residents send: what they are is read from their bytes, never from their name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from urllib.parse import quote

import filetype

from channels.base.contract import InboundKind, Media, Upload
from channels.base.errors import Malformed

IMAGES = frozenset({"image/jpeg", "image/png", "image/gif", "image/webp", "image/avif", "image/heic"})
SOUNDS = frozenset(
    {"audio/mpeg", "audio/ogg", "audio/x-wav", "audio/mp4", "audio/aac", "audio/amr", "audio/x-flac"}
)
PDF = "application/pdf"
# A browser records the voice into WebM or MP4, whose first bytes do not tell sound from film.
RECORDED = frozenset({"video/webm", "video/mp4"})
ALLOWED = IMAGES | SOUNDS | {PDF, "audio/webm"}
SHOWN = IMAGES - {"image/heic"}  # what a browser draws by itself; everything else is downloaded


def upload(name: str, declared: str, data: bytes) -> Upload:
    """Makes an upload of a file whose content we take; raises Malformed (415) for any other."""
    mime = _mime(declared, data)
    if mime not in ALLOWED:
        raise Malformed(
            "This kind of file cannot be taken. Send a photo, a PDF or a sound file.",
            status=415,
        )
    return Upload(name=safe_name(name), mime=mime, data=data)


def _mime(declared: str, data: bytes) -> str:
    kind = filetype.guess(data)
    if kind is None:
        return ""
    mime = str(kind.mime)
    if mime in RECORDED and declared.startswith("audio/"):
        return "audio/webm" if mime == "video/webm" else "audio/mp4"
    return mime


def kind_of(mime: str) -> InboundKind:
    """Tells which kind of touchpoint a file makes."""
    if mime in IMAGES:
        return InboundKind.PHOTO
    return InboundKind.VOICE if mime.startswith("audio/") else InboundKind.DOCUMENT


def safe_name(name: str) -> str:
    """Reduces a file's name to its last part, without control or direction characters, at most 120 long."""
    last = re.split(r"[\\/]", name)[-1]
    kept = "".join(c for c in last if unicodedata.category(c)[0] != "C").strip(" .")
    if len(kept) > 120:
        stem, dot, ending = kept.rpartition(".")
        kept = f"{stem[: 119 - len(ending)]}{dot}{ending}" if dot and len(ending) <= 8 else kept[:120]
    return kept or "file"


def download_headers(media: Media) -> Mapping[str, str]:
    """Gives the headers that keep a resident's file from ever acting as a page of ours."""
    disposition = "inline" if media.mime in SHOWN else "attachment"
    name = safe_name(media.name)
    plain, coded = re.sub(r"[^A-Za-z0-9._ -]", "_", name), quote(name, safe="")
    return {
        "Content-Disposition": f"{disposition}; filename=\"{plain}\"; filename*=UTF-8''{coded}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "default-src 'none'; sandbox",
        "Cache-Control": "private, max-age=3600",
    }
