"""Articles from documents: HTML pages, PDF and DOCX files become Markdown-like text."""

import io
import re
import zipfile
from html import unescape
from pathlib import Path

from bot import language
from bot.knowledge.articles import Article
from bot.knowledge.importers.problems import ImportFailed, Problem, is_language, read_bytes

MOST_PAGES = 2_000
# A DOCX is a zip file: a small one may unpack to more than the machine holds.
LARGEST_UNPACKED = 200 * 1024 * 1024

_SPACES = re.compile(r"[ \t\u00a0]+")
_HTML_LANGUAGE = re.compile(rb"<html[^>]*?\blang\s*=\s*[\"']?([A-Za-z-]{2,12})", re.IGNORECASE)
_HTML_TITLE = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!>|])")
_ANCHOR = re.compile(r"<a id=\"[^\"]*\"></a>")


def read_html(path: Path, name: str) -> list[Article]:
    """Return the main text of a saved web page as one article."""
    return [html_article(read_bytes(path, name), name, identity(name))]


def read_pdf(path: Path, name: str) -> list[Article]:
    """Return the text of a PDF file as one article; scanned pages hold no text and are refused."""
    return [pdf_article(read_bytes(path, name), name, identity(name))]


def read_docx(path: Path, name: str) -> list[Article]:
    """Return the text of a DOCX file as one article."""
    return [docx_article(read_bytes(path, name), name, identity(name))]


def html_article(raw: bytes, name: str, article: str, url: str = "") -> Article:
    """Return an article from the bytes of a web page; menus and footers are left out."""
    import trafilatura
    from trafilatura.metadata import extract_metadata

    decoded = trafilatura.utils.decode_file(raw)
    text = trafilatura.extract(
        decoded, output_format="markdown", include_comments=False, include_tables=True, favor_recall=True
    )
    if not text or not text.strip():
        _, text, _ = trafilatura.baseline(decoded)
    if not text or not text.strip():
        raise ImportFailed([Problem(name, None, "the page holds no text that could be an article")])
    metadata = extract_metadata(decoded)
    title = (metadata.title if metadata else None) or _title_tag(decoded) or ""
    declared = _HTML_LANGUAGE.search(raw[:4000])
    code = declared.group(1).decode().lower() if declared else ""
    lines = text.strip().split("\n")
    if title and lines and lines[0].lstrip("# ").strip() == title.strip():
        lines = lines[1:] or lines
    return _article(article, name, title, "\n".join(lines), code, url)


def pdf_article(raw: bytes, name: str, article: str, url: str = "") -> Article:
    """Return an article from the bytes of a PDF file."""
    from pypdf import PdfReader
    from pypdf.errors import PyPdfError

    try:
        reader = PdfReader(io.BytesIO(raw))
        if reader.is_encrypted and not reader.decrypt(""):
            raise ImportFailed([Problem(name, None, "the PDF is protected by a password")])
        if len(reader.pages) > MOST_PAGES:
            raise ImportFailed(
                [Problem(name, None, f"the PDF has {len(reader.pages)} pages; {MOST_PAGES} are allowed")]
            )
        pages = [page.extract_text() or "" for page in reader.pages]
        title = str((reader.metadata.title if reader.metadata else "") or "")
    except (PyPdfError, ValueError, KeyError, TypeError, RecursionError, AttributeError, IndexError) as error:
        raise ImportFailed([Problem(name, None, f"the PDF cannot be read ({error})")]) from error
    text = "\n\n".join(_unwrapped(page) for page in pages if page.strip())
    if not text.strip():
        raise ImportFailed(
            [Problem(name, None, "the PDF holds no text, only pictures of it; export it with its text")]
        )
    return _article(article, name, title, text, "", url)


def docx_article(raw: bytes, name: str, article: str, url: str = "") -> Article:
    """Return an article from the bytes of a DOCX file."""
    import mammoth

    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as parts:
            if sum(part.file_size for part in parts.infolist()) > LARGEST_UNPACKED:
                raise ImportFailed([Problem(name, None, "the document unpacks to more than 200 MB")])
        without_pictures = mammoth.images.img_element(lambda _: {})
        markdown = mammoth.convert_to_markdown(io.BytesIO(raw), convert_image=without_pictures).value
    except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
        raise ImportFailed([Problem(name, None, "this is no DOCX document, or it is damaged")]) from error
    text = _ANCHOR.sub("", _ESCAPED.sub(r"\1", markdown)).replace("__", "**")
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", "", text).strip()
    if not text:
        raise ImportFailed([Problem(name, None, "the document holds no text")])
    title = ""
    first, _, rest = text.partition("\n")
    if first.startswith("#") and rest.strip():
        title, text = first.lstrip("# ").strip(), rest.strip()
    return _article(article, name, title, text, "", url)


def identity(name: str) -> str:
    """Return the article's id from a file name: its path without the ending."""
    return Path(name).with_suffix("").as_posix()


def _article(article: str, name: str, title: str, text: str, declared: str, url: str) -> Article:
    code = declared.split("-")[0]
    if not is_language(code):
        code = language.read(text[:2000]).language
    tidy = "\n".join(_SPACES.sub(" ", line).strip() for line in text.replace("\0", "").split("\n"))
    return Article(
        article=article,
        language=code,
        title=_SPACES.sub(" ", title).strip()
        or Path(article).name.replace("-", " ").replace("_", " ").capitalize(),
        text=re.sub(r"\n{3,}", "\n\n", tidy).strip(),
        url=url,
        source=url or name,
        origin=name,
    )


def _title_tag(page: str) -> str:
    match = _HTML_TITLE.search(page)
    return unescape(match.group(1)).strip() if match else ""


def _unwrapped(page: str) -> str:
    """Join the lines that a PDF breaks in the middle of a sentence."""
    joined: list[str] = []
    for raw in page.split("\n"):
        line = raw.strip()
        if joined and joined[-1].endswith("-") and line[:1].islower():
            joined[-1] = joined[-1][:-1] + line
        elif joined and line[:1].islower() and not joined[-1].endswith((".", "!", "?", ":")):
            joined[-1] += " " + line
        else:
            joined.append(line)
    return "\n".join(joined)
