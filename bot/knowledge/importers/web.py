"""One article from a URL.

Whoever may import could otherwise make the machine read its own network: the address is checked
after the name is resolved and at the moment of connecting, for each redirect again.
"""

import http.client
import ipaddress
import socket
import ssl
import time
from urllib.parse import urljoin, urlsplit

from bot.knowledge.articles import Article
from bot.knowledge.importers.documents import docx_article, html_article, pdf_article
from bot.knowledge.importers.problems import ImportFailed, Problem

LARGEST_PAGE = 20 * 1024 * 1024
SECONDS = 30.0
MOST_REDIRECTS = 5
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def read(url: str, allow_private: bool = False) -> list[Article]:
    """Return the article behind a URL; raise ImportFailed saying what stood in the way."""
    deadline = time.monotonic() + SECONDS
    current = url
    for _ in range(MOST_REDIRECTS + 1):
        status, headers, body = _get(current, allow_private, deadline)
        if status in (301, 302, 303, 307, 308) and headers.get("location"):
            current = urljoin(current, headers["location"])
            continue
        if status != 200:
            raise _failed(url, f"the server answered {status}")
        return [_article(current, headers.get("content-type", ""), body)]
    raise _failed(url, f"it redirects more than {MOST_REDIRECTS} times")


def _article(url: str, content_type: str, body: bytes) -> Article:
    kind = content_type.split(";")[0].strip().lower()
    parts = urlsplit(url)
    name = f"{parts.hostname}{parts.path}".rstrip("/")
    if kind == "application/pdf" or body.startswith(b"%PDF-"):
        return pdf_article(body, url, name, url)
    if kind == _DOCX:
        return docx_article(body, url, name, url)
    if kind in ("text/html", "application/xhtml+xml", ""):
        return html_article(body, url, name, url)
    raise _failed(url, f"it is {kind or 'of an unknown kind'}; HTML, PDF and DOCX can be read")


def _get(url: str, allow_private: bool, deadline: float) -> tuple[int, dict[str, str], bytes]:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise _failed(url, "only http and https addresses can be read")
    try:
        port = parts.port
    except ValueError as error:
        raise _failed(url, "its port is no number") from error
    connection = _Connection(parts.scheme == "https", parts.hostname, port, allow_private, deadline)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        connection.request(
            "GET", target, headers={"User-Agent": "Civicline-import/1", "Accept-Encoding": "identity"}
        )
        response = connection.getresponse()
        headers = {name.lower(): value for name, value in response.getheaders()}
        body = bytearray()
        while chunk := response.read(65_536):
            body += chunk
            if len(body) > LARGEST_PAGE:
                raise _failed(url, f"it is larger than {LARGEST_PAGE // 1024 // 1024} MB")
            if time.monotonic() > deadline:
                raise TimeoutError
    except TimeoutError as error:
        raise _failed(url, f"it took longer than {SECONDS:.0f} seconds") from error
    except _PrivateAddressError as error:
        raise _failed(url, "it leads to a private address; allow that explicitly if you mean it") from error
    except (OSError, http.client.HTTPException, UnicodeError) as error:
        raise _failed(url, f"it cannot be reached ({error or type(error).__name__})") from error
    finally:
        connection.close()
    return response.status, headers, bytes(body)


class _PrivateAddressError(Exception):
    """A name leads into a private network."""


class _Connection(http.client.HTTPConnection):
    """A connection that looks at the address it is about to reach."""

    def __init__(
        self, secure: bool, host: str, port: int | None, allow_private: bool, deadline: float
    ) -> None:
        super().__init__(host, port or (443 if secure else 80))
        self._secure = secure
        self._allow_private = allow_private
        self._deadline = deadline

    def connect(self) -> None:
        """Connect to a public address of the host."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        if not self._allow_private:
            for *_, address in found:
                if not ipaddress.ip_address(str(address[0]).split("%")[0]).is_global:
                    raise _PrivateAddressError(self.host)
        failure: OSError | None = None
        for family, kind, protocol, _, address in found:
            self.sock = socket.socket(family, kind, protocol)
            self.sock.settimeout(min(10.0, max(0.1, self._deadline - time.monotonic())))
            try:
                self.sock.connect(address)
                break
            except OSError as error:
                self.sock.close()
                failure = error
        else:
            raise failure or OSError("the name leads to no address")
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(self.sock, server_hostname=self.host)


def _failed(url: str, what: str) -> ImportFailed:
    return ImportFailed([Problem(url, None, what)])
