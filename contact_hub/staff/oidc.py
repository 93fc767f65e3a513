"""Sign-in through the city's own identity provider: OpenID Connect with PKCE, state and nonce."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx2
import structlog
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry
from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from contact_hub.audit import service as audit
from contact_hub.database import Database, now, sealer_of
from contact_hub.sealing import Unsealable
from contact_hub.settings import Settings
from contact_hub.staff import service
from contact_hub.staff.access import SYSTEM
from contact_hub.staff.models import OidcAttempt, Role, Staff

log = structlog.get_logger(__name__)

CALLBACK = "/staff/oidc/callback"
UNDER_WAY = timedelta(minutes=10)
# Signatures that only the provider can make: none that the client's own secret would make.
ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
_PURPOSE = "oidc verifier"
_TIMEOUT = 5.0  # seconds
_KEEP = 3600.0  # seconds the provider's description is believed


class NotSignedIn(Exception):
    """The provider did not vouch for anybody we know; the message says so in the person's words."""


@dataclass(frozen=True)
class Provider:
    """What the settings say of the city's identity provider."""

    issuer: str
    client_id: str
    client_secret: str
    site_url: str
    role_claim: str
    roles: Mapping[str, Role]
    departments_claim: str
    name_claim: str
    _known: dict[str, Any] = field(default_factory=dict, compare=False)

    @classmethod
    def of(cls, settings: Settings) -> Provider | None:
        """The provider, or None where sign-in is by password only."""
        if settings.oidc_issuer is None:
            return None
        assert settings.oidc_client_id is not None
        assert settings.oidc_client_secret is not None
        return cls(
            issuer=settings.oidc_issuer,
            client_id=settings.oidc_client_id,
            client_secret=settings.oidc_client_secret.get_secret_value(),
            site_url=settings.site_url,
            role_claim=settings.oidc_role_claim,
            roles=_roles(settings.oidc_roles),
            departments_claim=settings.oidc_departments_claim,
            name_claim=settings.oidc_name_claim,
        )

    async def description(self, *, anew: bool = False) -> dict[str, Any]:
        """The provider's own description with its keys, kept for an hour; raises NotSignedIn."""
        if self._known and not anew and self._known["at"] > time.monotonic() - _KEEP:
            return dict(self._known["metadata"])
        address = f"{self.issuer}/.well-known/openid-configuration"
        try:
            async with httpx2.AsyncClient(timeout=_TIMEOUT, follow_redirects=False) as client:
                metadata = (await client.get(address)).raise_for_status().json()
                # Whoever answers there must be who we were told to trust.
                if str(metadata["issuer"]).rstrip("/") != self.issuer:
                    raise NotSignedIn("The sign-in service calls itself by another name than it should.")
                metadata["keys"] = (await client.get(metadata["jwks_uri"])).raise_for_status().json()
        except (httpx2.HTTPError, ValueError, KeyError, TypeError) as error:
            log.warning("oidc.away", error=type(error).__name__)
            raise NotSignedIn("The sign-in service does not answer. Please try again in a moment.") from None
        self._known.update(metadata=metadata, at=time.monotonic())
        return dict(metadata)

    def client(self) -> AsyncOAuth2Client:
        """Authlib's client, which makes the address to go to and trades the code for a token."""
        return AsyncOAuth2Client(
            self.client_id,
            self.client_secret,
            scope="openid profile email",
            redirect_uri=f"{self.site_url}{CALLBACK}",
            code_challenge_method="S256",
            timeout=_TIMEOUT,
        )


def _roles(setting: str | None) -> dict[str, Role]:
    """`city-admins=admin, city-agents=agent`, or the roles' own names; the first that fits decides."""
    if setting is None:
        return {
            str(role): role for role in (Role.ADMIN, Role.RECORDS, Role.MANAGER, Role.SUPERVISOR, Role.AGENT)
        }
    pairs = (pair.partition("=") for pair in setting.split(","))
    return {value.strip(): Role(role.strip()) for value, _, role in pairs}


async def start(database: Database, provider: Provider) -> tuple[str, str]:
    """Begin a sign-in: the provider's address to go to, and the state for the browser's cookie."""
    metadata = await provider.description()
    state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
    async with provider.client() as client:
        address, _ = client.create_authorization_url(
            metadata["authorization_endpoint"], state=state, nonce=nonce, code_verifier=verifier
        )
    async with database.begin() as session:
        session.add(
            OidcAttempt(
                state_hash=_hash(state),
                nonce=nonce,
                verifier=sealer_of(session).seal(_PURPOSE, verifier.encode(), _hash(state)),
                expires_at=now() + UNDER_WAY,
            )
        )
    return str(address), state


async def finish(database: Database, provider: Provider, *, state: str, held: str, code: str) -> Staff:
    """The person the provider vouches for, made known here where they are new; raises NotSignedIn.

    `held` is the state in the browser's cookie: a sign-in that somebody else began is not finished here.
    """
    if not state or not secrets.compare_digest(state.encode(), held.encode()):
        raise NotSignedIn("This sign-in was not begun in this browser, or too long ago. Please begin again.")
    async with database.begin() as session:
        nonce, verifier = await _take(session, state)
    claims = await _claims(provider, code, nonce, verifier)
    async with database.begin() as session:
        return await _person(session, provider, claims)


async def _take(session: AsyncSession, state: str) -> tuple[str, str]:
    """What was kept for a state; each serves once."""
    row = (
        await session.execute(
            delete(OidcAttempt)
            .where(OidcAttempt.state_hash == _hash(state))
            .returning(OidcAttempt.nonce, OidcAttempt.verifier, OidcAttempt.expires_at)
        )
    ).first()
    if row is None or row.expires_at < now():
        raise NotSignedIn("This sign-in was begun too long ago. Please begin again.")
    try:
        return row.nonce, sealer_of(session).unseal(_PURPOSE, row.verifier, _hash(state)).decode()
    except Unsealable:
        raise NotSignedIn("This sign-in was begun too long ago. Please begin again.") from None


async def _claims(provider: Provider, code: str, nonce: str, verifier: str) -> Mapping[str, Any]:
    """What the provider's signed token says, checked: signature, issuer, audience, times, nonce."""
    metadata = await provider.description()
    try:
        async with provider.client() as client:
            token = await client.fetch_token(metadata["token_endpoint"], code=code, code_verifier=verifier)
        signed = _decode(token["id_token"], metadata["keys"])
        if signed is None:  # the provider may have changed its keys
            signed = _decode(token["id_token"], (await provider.description(anew=True))["keys"])
        if signed is None:
            raise NotSignedIn("The sign-in service's signature cannot be checked.")
        claims = CodeIDToken(
            signed.claims,
            signed.header,
            {
                "iss": {"essential": True, "value": metadata["issuer"]},
                "aud": {"essential": True, "value": provider.client_id},
            },
            {"nonce": nonce, "client_id": provider.client_id, "access_token": token.get("access_token")},
        )
        claims.validate(leeway=60)
    except (OAuthError, JoseError, httpx2.HTTPError, ValueError, KeyError) as error:
        log.warning("oidc.refused", error=type(error).__name__)
        raise NotSignedIn("The sign-in service did not vouch for you. Please begin again.") from None
    return dict(claims)


def _decode(token: str, keys: Any) -> jwt.Token | None:
    # Providers put headers of their own beside the registered ones.
    registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
    try:
        return jwt.decode(token, KeySet.import_key_set(keys), registry=registry)
    except JoseError:
        return None


async def _person(session: AsyncSession, provider: Provider, claims: Mapping[str, Any]) -> Staff:
    """The account behind the provider's subject. Never one found by its name or mail address."""
    role = _role(provider, claims)
    departments = _texts(claims.get(provider.departments_claim))
    staff = await session.scalar(
        select(Staff)
        .where(Staff.oidc_issuer == claims["iss"], Staff.oidc_subject == str(claims["sub"]))
        .with_for_update()
    )
    if role is None:
        log.warning("oidc.no_role")
        raise NotSignedIn("Your account has no role here. Ask whoever looks after accounts in your office.")
    if staff is None:
        return await _newcomer(session, provider, claims, role, departments)
    if staff.disabled_at is not None:
        raise NotSignedIn("Your account here is disabled.")
    wanted = departments if provider.departments_claim in claims else list(staff.departments)
    if (staff.role, list(staff.departments)) != (role, sorted(set(wanted))):
        staff.role, staff.departments = role, sorted(set(wanted))
        await audit.record(
            session, SYSTEM, "staff.changed", subject=staff.name, role=role, departments=staff.departments
        )
    return staff


async def _newcomer(
    session: AsyncSession, provider: Provider, claims: Mapping[str, Any], role: Role, departments: list[str]
) -> Staff:
    for claim in (provider.name_claim, "preferred_username", "email"):
        if not claims.get(claim):
            continue
        try:
            name = service.proper_name(str(claims[claim]))
            made = await service.make(
                session,
                name,
                role,
                sorted(set(departments)),
                oidc=(str(claims["iss"]), str(claims["sub"])),
            )
        except service.Refused:
            continue
        await audit.record(
            session, SYSTEM, "staff.joined", subject=made.name, role=role, departments=made.departments
        )
        return made
    raise NotSignedIn("Somebody here has your name already. Ask an admin to look into it.")


def _role(provider: Provider, claims: Mapping[str, Any]) -> Role | None:
    held = _texts(claims.get(provider.role_claim))
    return next((role for value, role in provider.roles.items() if value in held), None)


def _texts(claim: Any) -> list[str]:
    """A claim as a list of texts: providers send one or several."""
    if isinstance(claim, str):
        return [claim]
    return [item for item in claim if isinstance(item, str)] if isinstance(claim, list) else []


def _hash(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "replace")).digest()
