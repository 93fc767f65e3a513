"""An identity provider that behaves as OpenID Connect says: discovery, keys, codes with PKCE, ID tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes import server

CLIENT = "civicline"
SECRET = "the client's secret at the provider"


@dataclass
class FakeProvider:
    """Whoever signs in there is `person`; the rest is what a test may bend."""

    url: str = ""
    person: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)  # put over what the token says
    algorithm: str = "RS256"
    signs_with: RSAKey | None = None
    key: RSAKey = field(default_factory=lambda: _key("first"))
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    away: bool = False

    def reset(self) -> None:
        """Behave again."""
        self.person = {"sub": "u-1", "name": "Maria Silva", "roles": ["agent"], "departments": ["waste"]}
        self.claims, self.algorithm, self.signs_with, self.away = {}, "RS256", None, False

    def new_key(self) -> None:
        """Sign with another key from now on."""
        self.key = _key(secrets.token_hex(4))

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/keys", self._keys),
                Route("/authorize", self._authorize),
                Route("/token", self._token, methods=["POST"]),
            ]
        )

    async def _discovery(self, request: Request) -> Response:
        if self.away:
            return JSONResponse({"error": "temporarily_unavailable"}, 503)
        return JSONResponse(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                "id_token_signing_alg_values_supported": ["RS256"],
                "code_challenge_methods_supported": ["S256"],
            }
        )

    async def _keys(self, request: Request) -> Response:
        return JSONResponse({"keys": [self.key.as_dict(private=False, use="sig", alg="RS256")]})

    async def _authorize(self, request: Request) -> Response:
        asked = dict(request.query_params)
        wanted = {"client_id", "redirect_uri", "state", "nonce", "code_challenge"}
        if not wanted <= asked.keys() or asked["client_id"] != CLIENT or asked["response_type"] != "code":
            return JSONResponse({"error": "invalid_request"}, 400)
        if asked["code_challenge_method"] != "S256" or "openid" not in asked["scope"].split():
            return JSONResponse({"error": "invalid_request"}, 400)
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        return RedirectResponse(
            f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
        )

    async def _token(self, request: Request) -> Response:
        given = dict(parse_qsl((await request.body()).decode()))
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(given.get("code", ""), None)
        challenge = _s256(given.get("code_verifier", ""))
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or given["redirect_uri"] != asked["redirect_uri"]
        ):
            return JSONResponse({"error": "invalid_grant"}, 400)
        moment = int(time.time())
        access = secrets.token_urlsafe(16)
        claims = {
            "iss": self.url,
            "aud": CLIENT,
            "iat": moment,
            "exp": moment + 300,
            "nonce": asked["nonce"],
            "at_hash": base64.urlsafe_b64encode(hashlib.sha256(access.encode()).digest()[:16])
            .rstrip(b"=")
            .decode(),
            **self.person,
            **self.claims,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        signer = self.signs_with or self.key
        token = jwt.encode({"alg": self.algorithm, "kid": signer.kid}, claims, signer)
        return JSONResponse({"access_token": access, "token_type": "Bearer", "id_token": token})


def _key(kid: str) -> RSAKey:
    return RSAKey.generate_key(2048, {"kid": kid})


def _s256(verifier: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


@contextmanager
def running() -> Iterator[FakeProvider]:
    """Serve until the block ends."""
    provider = FakeProvider()
    provider.reset()
    with server.running(provider.app()) as provider.url:
        yield provider
