"""Every format becomes articles; every mistake names its file and line."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import docx
import pytest

from bot.knowledge import importers
from bot.knowledge.importers import ImportFailed

HTML = b"""<!doctype html><html lang="es"><head><title>Recogida de muebles</title></head><body>
<nav><a href="/">Inicio</a><a href="/tramites">Tramites</a></nav>
<main><h1>Recogida de muebles</h1>
<p>El ayuntamiento recoge muebles viejos y electrodomesticos grandes los jueves por la manana.
Llame antes al telefono municipal para reservar la fecha de recogida en su calle.</p>
<p>La recogida de hasta tres objetos es gratuita una vez al ano para cada hogar de la ciudad.</p></main>
<footer>Copyright</footer></body></html>"""


def pdf(*lines: str) -> bytes:
    """Write a one-page PDF by hand."""
    shown = "".join(f"({line}) Tj 0 -16 Td\n" for line in lines)
    stream = f"BT /F1 12 Tf 72 720 Td\n{shown}ET".encode("latin-1")
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R"
            b" /Resources << /Font << /F1 5 0 R >> >> >>"
        ),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    out, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, start)


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def problems(source: Path | str, **options: bool) -> list[str]:
    with pytest.raises(ImportFailed) as caught:
        importers.read(source, **options)
    return [str(problem) for problem in caught.value.problems]


def test_json_lines_become_articles(tmp_path: Path) -> None:
    lines = [
        {"id": "a#1", "title": "Bins", "text": "On Monday.", "url": "https://x.example/", "lang": "en"},
        {"id": 2, "title": "", "text": "Ein Text.", "lang": "de", "questions": ["Wann?"]},
    ]
    path = write(tmp_path / "articles.jsonl", "\n".join(map(json.dumps, lines)) + "\n\n")
    first, second = importers.read(path)
    assert (first.article, first.title, first.url, first.language) == (
        "a#1",
        "Bins",
        "https://x.example/",
        "en",
    )
    assert (second.article, second.title, second.questions) == ("2", "", ("Wann?",))


def test_each_wrong_line_is_named(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        '{"id": "1", "text": "x", "lang": "en"}\n{"id": "2"\n{"text": "x", "lang": "en"}\n'
        '{"id": "4", "text": " ", "lang": "en"}\n{"id": "5", "text": "x", "lang": "English"}\n',
    )
    said = problems(path)
    assert said[0].startswith("a.jsonl, line 2: this is no JSON")
    assert said[1] == 'a.jsonl, line 3: "id" is missing.'
    assert said[2] == "a.jsonl, line 4: \"text\" of article '4' is missing or empty."
    assert said[3] == 'a.jsonl, line 5: "lang" of article \'5\' must be a language code such as "en".'


def test_an_article_that_stands_twice_is_named_with_both_places(tmp_path: Path) -> None:
    line = '{"id": "1", "text": "x", "lang": "en"}\n'
    said = problems(write(tmp_path / "a.jsonl", line + "\n" + line))
    assert said == ["a.jsonl, line 3: article '1' in 'en' already stands in a.jsonl, line 1."]


def test_a_file_in_another_encoding_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes("# Title\n\nGr\xfc\xdfe".encode("latin-1"))
    assert problems(path) == ["a.md, line 3: the text is not in UTF-8; save it as UTF-8."]


def test_markdown_with_front_matter(tmp_path: Path) -> None:
    write(
        tmp_path / "waste" / "bins.de.md",
        "---\ntitle: Tonnen\nowner: Abfall\nsource: https://x.example/t\nreviewed: 2026-01-02\n"
        "valid_until: 2027-01-02\nquestions:\n  - Wann?\n  - Wo?\n---\n\nAm Montag.\n",
    )
    (article,) = importers.read(tmp_path)
    assert (article.article, article.language, article.title) == ("waste/bins", "de", "Tonnen")
    assert (article.url, article.owner, article.text) == ("https://x.example/t", "Abfall", "Am Montag.")
    assert (article.reviewed, article.valid_until) == (date(2026, 1, 2), date(2027, 1, 2))
    assert article.questions == ("Wann?", "Wo?")


def test_plain_markdown_takes_its_heading_as_title(tmp_path: Path) -> None:
    (article,) = importers.read(
        write(tmp_path / "street-lights.md", "# Street lights\n\nTell us which light is out.")
    )
    assert (article.article, article.title, article.language) == ("street-lights", "Street lights", "en")
    assert article.text == "Tell us which light is out."


@pytest.mark.parametrize(
    ("front", "said"),
    [
        ("title: A\n", "a.md, line 1: the front matter begins with '---' but never ends with '---'."),
        (
            "title: A\nvalid_until: soon\n---\nx",
            "a.md, line 3: valid_until must be a date such as 2026-09-14, not 'soon'.",
        ),
        ("titel: A\ntitle: B\n---\nx", "a.md, line 2: 'titel' is no known entry"),
        (
            "title: A\nquestions: What?\n---\nx",
            "a.md, line 3: the questions must be a list, one '- ...?' a line.",
        ),
        ("title: A\n---\n \n", "a.md, line 4: the article has no text."),
        ("title: [A\n---\nx", "a.md, line 3: the front matter cannot be read"),
        ("title: A\nreviewed: 2026-13-40\n---\nx", "a.md, line"),
    ],
)
def test_wrong_front_matter_is_explained(tmp_path: Path, front: str, said: str) -> None:
    assert problems(write(tmp_path / "a.md", "---\n" + front))[0].startswith(said)


def test_html_keeps_the_article_and_leaves_out_the_menu(tmp_path: Path) -> None:
    (tmp_path / "muebles.html").write_bytes(HTML)
    (article,) = importers.read(tmp_path / "muebles.html")
    assert (article.article, article.language, article.title) == ("muebles", "es", "Recogida de muebles")
    assert "los jueves" in article.text
    assert "Tramites" not in article.text
    assert "Copyright" not in article.text


def test_pdf_text_is_read_and_unwrapped(tmp_path: Path) -> None:
    (tmp_path / "permit.pdf").write_bytes(
        pdf("Parking permits", "A permit costs sixty euros a year and", "is valid in your own district.")
    )
    (article,) = importers.read(tmp_path / "permit.pdf")
    assert "sixty euros a year and is valid in your own district." in article.text
    assert article.language == "en"


def test_a_pdf_without_text_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "scan.pdf").write_bytes(pdf())
    assert problems(tmp_path / "scan.pdf") == [
        "scan.pdf: the PDF holds no text, only pictures of it; export it with its text."
    ]


@pytest.mark.parametrize("name", ["a.pdf", "a.docx"])
def test_a_file_that_is_not_what_it_says_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not at all")
    assert problems(tmp_path / name)[0].startswith(f"{name}: ")


def test_docx_headings_and_text_are_read(tmp_path: Path) -> None:
    document = docx.Document()
    document.add_heading("Allotments", 1)
    document.add_paragraph("The city rents out garden plots (about 200 m²) to residents.")
    document.add_heading("Waiting list", 2)
    document.add_paragraph("You can put your name on the list at any time.")
    document.save(str(tmp_path / "allotments.docx"))
    (article,) = importers.read(tmp_path / "allotments.docx")
    assert article.title == "Allotments"
    assert "(about 200 m²)" in article.text
    assert "## Waiting list" in article.text


def test_a_mixed_folder_is_read_whole_or_not_at_all(tmp_path: Path) -> None:
    write(tmp_path / "a" / "one.en.md", "---\ntitle: One\n---\nText.")
    write(tmp_path / "more.jsonl", '{"id": "2", "text": "x", "lang": "en"}\n')
    write(tmp_path / "README.md", "# Not an article")
    write(tmp_path / ".git" / "hidden.md", "# Not an article either")
    assert {article.article for article in importers.read(tmp_path)} == {"a/one", "2"}
    write(tmp_path / "broken.jsonl", "{")
    assert len(problems(tmp_path)) == 1


def test_what_is_not_there_or_not_known_is_said(tmp_path: Path) -> None:
    assert problems(tmp_path / "nowhere") == [f"{tmp_path}/nowhere: there is no such file or folder."]
    assert "files of this kind cannot be read" in problems(write(tmp_path / "a.xlsx", "x"))[0]
    assert "holds nothing to read" in problems(tmp_path)[0]


@pytest.fixture(scope="module")
def website() -> Iterator[str]:
    """Runs a small web site on this machine."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/moved":
                self.send_response(302)
                self.send_header("Location", "/muebles")
                self.end_headers()
                return
            kinds = {
                "/muebles": ("text/html", HTML),
                "/p": ("application/pdf", pdf("Some words in a document.")),
            }
            kind, body = kinds.get(self.path, ("image/png", b"\x89PNG"))
            self.send_response(404 if self.path == "/gone" else 200)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def test_a_url_becomes_an_article_with_its_address(website: str) -> None:
    (article,) = importers.read(f"{website}/moved", allow_private=True)
    assert article.url == f"{website}/muebles"
    assert article.title == "Recogida de muebles"
    (document,) = importers.read(f"{website}/p", allow_private=True)
    assert "Some words" in document.text


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "192.168.1.1"]
)
def test_a_private_address_is_refused(host: str) -> None:
    assert problems(f"http://{host}:9/")[0].endswith(
        "it leads to a private address; allow that explicitly if you mean it."
    )


def test_a_redirect_to_a_private_address_is_no_way_round(website: str) -> None:
    assert "private address" in problems(f"{website}/moved")[0]


@pytest.mark.parametrize(
    ("path", "said"),
    [("/gone", "the server answered 404"), ("/picture", "it is image/png; HTML, PDF and DOCX")],
)
def test_what_a_server_says_is_passed_on(website: str, path: str, said: str) -> None:
    assert said in problems(website + path, allow_private=True)[0]


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://example.org/x", "gopher://x/", "http://"])
def test_only_web_addresses_are_read(url: str) -> None:
    assert "only http and https addresses can be read" in problems(url)[0]
