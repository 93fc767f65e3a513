"""Settings come from environment variables; a wrong one is told in one readable sentence.

Each secret may come from a file instead: `TWILIO_AUTH_TOKEN_FILE` names the file that holds
what `TWILIO_AUTH_TOKEN` would. A field's name is its variable's name in lower case, and a
variable that is set to nothing counts as unset.
"""

from __future__ import annotations

import difflib
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

ROOT = Path(__file__).resolve().parents[1]
SHORTEST_SECRET = 16


class SettingsError(SystemExit):
    """Stops the process with one sentence for each wrong setting.

    It is a SystemExit so that every process, however it was started, ends with these
    sentences on stderr and no traceback.
    """

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        super().__init__("\n".join(sentences))


@dataclass(frozen=True)
class MustBe:
    """Says in words what a setting must be, for the sentence that tells it is not."""

    words: str


def _url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or " " in value:
        raise ValueError
    _ = parts.port  # raises ValueError when the port is no number
    return value.rstrip("/")


def _database_url(value: SecretStr) -> SecretStr:
    """Turns the usual spellings of a PostgreSQL URL into the one that selects psycopg 3."""
    scheme, separator, rest = value.get_secret_value().partition("://")
    if not separator or scheme not in {"postgres", "postgresql", "postgresql+psycopg"}:
        raise ValueError
    return SecretStr(f"postgresql+psycopg://{rest}")


def _like(pattern: str) -> AfterValidator:
    def check(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text is not None and not re.fullmatch(pattern, text):
            raise ValueError
        return value

    return AfterValidator(check)


_ROLES = "(agent|supervisor|manager|records|admin)"
Url = Annotated[str, AfterValidator(_url), MustBe("a web address such as https://example.org")]
DatabaseUrl = Annotated[
    SecretStr,
    AfterValidator(_database_url),
    MustBe("a PostgreSQL address such as postgresql://user:password@host/name"),
]
Secret = Annotated[
    SecretStr,
    _like(rf"(?s).{{{SHORTEST_SECRET},}}"),
    MustBe(f"a secret of at least {SHORTEST_SECRET} characters"),
]


_ROLE = r"\s*(agent|supervisor|manager|records|admin)\s*"


class Settings(BaseSettings):
    """Holds one process's settings; nothing changes them after the start."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )

    civicline_env: Annotated[Literal["development", "production"], MustBe("development or production")] = (
        "development"
    )
    civicline_data: Annotated[Path, MustBe("a folder")] = Path("var")
    civicline_city: Annotated[Path, MustBe("a folder with a city.yml in it")] = Path("nlu_data")
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], MustBe("debug, info, warning or error")
    ] = "info"

    database_url: DatabaseUrl | None = None
    database_listen_url: DatabaseUrl | None = None

    host: Annotated[str, _like(r"[\w.:\-]+"), MustBe("a host name or an IP address")] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65535), MustBe("a number between 1 and 65535")] = 8000
    worker_port: Annotated[int | None, Field(ge=1, le=65535), MustBe("a number between 1 and 65535")] = None
    public_url: Url | None = None
    chat_origins: Annotated[
        str | None,
        _like(r"\s*https?://[^\s,/]+(\s*,\s*https?://[^\s,/]+)*\s*"),
        MustBe("web addresses without a path, with commas between them"),
    ] = None
    trusted_proxies: Annotated[
        str | None, _like(r"[\d.:a-fA-F/,\s]+"), MustBe("IP addresses or networks, with commas between them")
    ] = None
    second_factor_required: Annotated[
        str | None,
        _like(rf"\s*(all|{_ROLES}(\s*,\s*{_ROLES})*)\s*"),
        MustBe("all, or roles such as admin,records"),
    ] = None
    hub_url: Url | None = None
    brain_url: Url = "http://127.0.0.1:8701"
    rasa_url: Url = "http://127.0.0.1:8702"
    embedding_model: str | None = None
    embedding_cache: Annotated[Path | None, MustBe("a folder")] = None

    secret_key: Secret | None = None
    secret_key_previous: Annotated[
        SecretStr | None,
        _like(rf"\s*\S{{{SHORTEST_SECRET},}}(\s+\S{{{SHORTEST_SECRET},}})*\s*"),
        MustBe("the former secrets, the newest first, with spaces between them"),
    ] = None
    internal_secret: Secret | None = None

    oidc_issuer: Url | None = None
    oidc_client_id: str | None = None
    oidc_client_secret: Annotated[SecretStr | None, MustBe("the client's secret")] = None
    oidc_role_claim: str = "roles"
    oidc_roles: Annotated[
        str | None,
        _like(rf"[^=,]+={_ROLE}(,[^=,]+={_ROLE})*"),
        MustBe("pairs such as city-admins=admin,city-agents=agent"),
    ] = None
    oidc_departments_claim: str = "departments"
    oidc_name_claim: str = "name"

    telegram_bot_token: Annotated[
        SecretStr | None,
        _like(r"\d+:[\w\-]+"),
        MustBe("the token that BotFather gave, such as 123456:ABC-DEF"),
    ] = None
    telegram_webhook_secret: Annotated[
        SecretStr | None,
        _like(r"[A-Za-z0-9_\-]{1,256}"),
        MustBe("1 to 256 letters, digits, underscores and hyphens"),
    ] = None
    telegram_api_url: Url = "https://api.telegram.org"

    twilio_account_sid: Annotated[
        str | None, _like(r"AC\w+"), MustBe("an account SID, which begins with AC")
    ] = None
    twilio_auth_token: Annotated[SecretStr | None, MustBe("the account's auth token")] = None
    twilio_from: Annotated[
        str | None,
        _like(r"\+[1-9]\d{6,14}|\d{3,8}|MG\w+"),
        MustBe("a number such as +15550100, a short code or a messaging service's SID"),
    ] = None
    twilio_api_url: Url = "https://api.twilio.com"

    webhook_networks: Annotated[
        str | None, _like(r"[\d.:a-fA-F/,\s]+"), MustBe("IP addresses or networks, with commas between them")
    ] = None

    sms_countries: Annotated[
        str | None,
        _like(r"(?i)[a-z]{2}([ ,]+[a-z]{2})*"),
        MustBe("country codes such as IE,GB"),
    ] = None
    sms_number_hour: Annotated[int, Field(ge=1), MustBe("a number of segments, at least 1")] = 60
    sms_number_day: Annotated[int, Field(ge=1), MustBe("a number of segments, at least 1")] = 200
    sms_prefix_hour: Annotated[int, Field(ge=1), MustBe("a number of segments, at least 1")] = 600
    sms_day: Annotated[int, Field(ge=1), MustBe("a number of segments, at least 1")] = 20_000

    @property
    def production(self) -> bool:
        """Tells whether this is a city's real line."""
        return self.civicline_env == "production"

    @property
    def former_keys(self) -> tuple[str, ...]:
        """Gives the values SECRET_KEY had before, which still open what they sealed."""
        former = self.secret_key_previous
        return () if former is None else tuple(former.get_secret_value().split())

    @property
    def city_folder(self) -> Path:
        """Gives the folder of the city's words; a relative one is looked for beside the packages too."""
        folder = self.civicline_city
        return folder if folder.is_absolute() or folder.exists() else ROOT / folder

    @property
    def own_url(self) -> str:
        """Gives where the web process is reached from this machine."""
        return self.hub_url or f"http://{'127.0.0.1' if self.host in ANYWHERE else self.host}:{self.port}"

    @property
    def site_url(self) -> str:
        """Gives the address that residents and providers use, without a closing slash."""
        return self.public_url or self.own_url

    @property
    def second_factor_roles(self) -> frozenset[str]:
        """Gives the roles whose accounts must have a second factor."""
        wanted = self.second_factor_required or ""
        return frozenset(re.findall(_ROLES, _ROLES if wanted.strip() == "all" else wanted))

    @property
    def telegram_on(self) -> bool:
        """Tells whether residents can write on Telegram."""
        return self.telegram_bot_token is not None

    @property
    def sms_on(self) -> bool:
        """Tells whether residents can write by SMS."""
        return self.twilio_account_sid is not None

    @property
    def listen_url(self) -> str | None:
        """Gives the address for LISTEN, which must not go through a pooler, in libpq's form."""
        url = self.database_listen_url or self.database_url
        return None if url is None else libpq_url(url.get_secret_value())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Reads what the caller gives, then the environment, then the files it names."""
        return init_settings, env_settings, _FileTwins(settings_cls)


ANYWHERE = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - compared, not bound
SECRETS = tuple(name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation))
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "Sign-in through an identity provider": ("oidc_issuer", "oidc_client_id", "oidc_client_secret"),
    "SMS": ("twilio_account_sid", "twilio_auth_token", "twilio_from"),
    "Telegram's webhook": ("telegram_bot_token", "telegram_webhook_secret"),
}
_PREFIXES = ("CIVICLINE_", "DATABASE_", "OIDC_", "TELEGRAM_", "TWILIO_", "SMS_", "WEBHOOK_")


class _FileTwins(PydanticBaseSettingsSource):
    """Reads each secret whose variable is unset from the file that its `_FILE` twin names."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{field_name.upper()}_FILE")
        if not path or os.environ.get(field_name.upper()):
            return None, field_name, False
        return Path(path).read_text(encoding="utf-8").strip() or None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            name: self.get_field_value(self.settings_cls.model_fields[name], name)[0] for name in SECRETS
        }
        return {name: value for name, value in found.items() if value is not None}


def libpq_url(url: str) -> str:
    """Gives a database address as libpq (and Rasa's SQLAlchemy 1.4) spell it."""
    return url.replace("postgresql+psycopg://", "postgresql://", 1)


def read_settings(**given: Any) -> Settings:
    """Reads the settings anew, with `given` before the environment; raises SettingsError."""
    wrong = [*_unreadable_files(), *_misspelt()]
    settings: Settings | None = None
    if not any("cannot be read" in sentence for sentence in wrong):
        try:
            settings = Settings(**given)
        except ValidationError as error:
            wrong += [_sentence(item["loc"][0], given) for item in error.errors()]
    if settings is not None:
        wrong += [*_half_configured(settings), *_unfit_for_production(settings)]
    if wrong or settings is None:
        raise SettingsError(list(dict.fromkeys(wrong)))
    kept = {name: _kept_secret(settings, name) for name in ("secret_key", "internal_secret")}
    former = settings.secret_key_previous or _former_secret(settings)
    return settings.model_copy(update={**kept, "secret_key_previous": former})


@lru_cache(maxsize=1)
def load_settings() -> Settings:
    """Gives this process's settings, read once; raises SettingsError."""
    return read_settings()


def _sentence(location: int | str, given: Mapping[str, Any]) -> str:
    field = str(location)
    name = field.upper()
    words = next(
        (item.words for item in _metadata(Settings.model_fields[field]) if isinstance(item, MustBe)),
        "something else",
    )
    if field in SECRETS:  # what was set may be most of a secret
        return f"{name} must be {words}, but what it is set to is not."
    value = given.get(field, next((v for k, v in os.environ.items() if k.upper() == name), ""))
    return f"{name} must be {words}, but it is {str(value)[:80]!r}."


def _metadata(field: FieldInfo) -> list[Any]:
    """Collects a field's annotations, also those inside `X | None`."""
    found = list(field.metadata)
    for inner in getattr(field.annotation, "__args__", ()):
        found += getattr(inner, "__metadata__", ())
    return found


def _unreadable_files() -> list[str]:
    wrong = []
    for name in SECRETS:
        path = os.environ.get(f"{name.upper()}_FILE")
        if not path:
            continue
        if os.environ.get(name.upper()):
            wrong.append(f"{name.upper()} and {name.upper()}_FILE are both set: set one of them.")
            continue
        try:
            Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            wrong.append(f"{name.upper()}_FILE names {path!r}, which cannot be read: {reason}.")
    return wrong


def _misspelt() -> list[str]:
    """Finds variables that look like a setting with a slip of the pen."""
    known = {name.upper() for name in Settings.model_fields} | {f"{name.upper()}_FILE" for name in SECRETS}
    wrong = []
    for name in os.environ:
        if name in known or not name.startswith(_PREFIXES):
            continue
        close = [k for k in difflib.get_close_matches(name, known, n=1, cutoff=0.9) if k not in os.environ]
        wrong += [f"{name} is not a setting: {meant} is." for meant in close]
    return wrong


def _half_configured(settings: Settings) -> list[str]:
    wrong = []
    for channel, names in TOGETHER.items():
        missing = [name.upper() for name in names if getattr(settings, name) is None]
        if not missing or len(missing) == len(names) or missing == ["TELEGRAM_WEBHOOK_SECRET"]:
            continue  # a bot without a webhook's secret uses long polling
        upper = [name.upper() for name in names]
        needs = f"{channel} needs {', '.join(upper[:-1])} and {upper[-1]}."
        wrong += [f"{name} is missing: {needs}" for name in missing]
    if settings.database_listen_url is not None and settings.database_url is None:
        wrong.append("DATABASE_URL is missing: DATABASE_LISTEN_URL only goes beside it.")
    return wrong


def _unfit_for_production(settings: Settings) -> list[str]:
    if not settings.production:
        return []
    wrong = [
        f"{name.upper()} is missing: in production it must be set to {'the same' if shared else 'a'} "
        f"secret{' for every process' if shared else ''}."
        for name, shared in (("secret_key", True), ("internal_secret", True))
        if getattr(settings, name) is None
    ]
    if settings.public_url is None or not settings.public_url.startswith("https://"):
        wrong.append("PUBLIC_URL must be the https address that residents use: production needs it.")
    return wrong


def _former_secret(settings: Settings) -> SecretStr | None:
    """Gives the keys that CIVICLINE_DATA/secret_key held before they were moved aside for a new one."""
    path = settings.civicline_data / "secret_key_previous"
    try:
        return SecretStr(path.read_text(encoding="utf-8").strip()) if path.exists() else None
    except OSError as error:
        raise SettingsError([f"{path} cannot be read: {error.strerror}."]) from None


def _kept_secret(settings: Settings, name: str) -> SecretStr:
    """Gives a secret, making it once into CIVICLINE_DATA where the environment has none."""
    value: SecretStr | None = getattr(settings, name)
    if value is not None:
        return value
    path = settings.civicline_data / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            # Written aside and linked, so that two processes starting at once agree on one secret.
            aside = path.with_name(f".{name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(aside, path)
            except FileExistsError:
                pass
            finally:
                aside.unlink()
        return SecretStr(path.read_text(encoding="utf-8").strip())
    except OSError as error:
        where = f"CIVICLINE_DATA is {str(settings.civicline_data)!r}"
        raise SettingsError([f"{where}, which cannot be written to: {error.strerror}."]) from None
