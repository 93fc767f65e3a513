"""The brain's settings, read from environment variables once at start."""

import os
from dataclasses import dataclass, field
from pathlib import Path

DEFAULT_MODEL = "use*0.3+minilm:en*0.7+e5:-en*0.7"


class SettingsError(ValueError):
    """A setting is missing or cannot be read; the message is one readable sentence."""


@dataclass(frozen=True)
class BrainSettings:
    """What the brain needs to know before it starts."""

    secret: str = field(repr=False)
    data: Path
    host: str = "127.0.0.1"
    port: int = 8701
    hub_url: str = "http://127.0.0.1:8000"
    embedding_model: str = DEFAULT_MODEL
    poll_seconds: float = 2.0
    embedding_cache: Path | None = None
    languages: tuple[str, ...] = ()


def from_environment(environment: dict[str, str] | None = None) -> BrainSettings:
    """Return the brain's settings, or raise SettingsError with one readable sentence."""
    env = dict(os.environ if environment is None else environment)
    secret = _secret(env, "INTERNAL_SECRET")
    if not secret:
        raise SettingsError(
            "INTERNAL_SECRET is not set: the brain accepts calls only from processes that know it."
        )
    hub_port = _number(env, "PORT", 8000)
    return BrainSettings(
        secret=secret,
        data=Path(env.get("CIVICLINE_DATA") or "./var"),
        host=env.get("BRAIN_HOST") or "127.0.0.1",
        port=_number(env, "BRAIN_PORT", 8701),
        hub_url=(env.get("HUB_URL") or f"http://127.0.0.1:{hub_port}").rstrip("/"),
        embedding_model=env.get("EMBEDDING_MODEL") or DEFAULT_MODEL,
        embedding_cache=Path(env["EMBEDDING_CACHE"]) if env.get("EMBEDDING_CACHE") else None,
        poll_seconds=_seconds(env, "KNOWLEDGE_POLL_SECONDS", 2.0),
        languages=city_languages(city_folder(env)),
    )


def internal_secret() -> str:
    """Return the secret of internal calls, or an empty string where none is set."""
    return _secret(dict(os.environ), "INTERNAL_SECRET")


def city_folder(environment: dict[str, str] | None = None) -> Path:
    """Return the folder that holds the city's words."""
    env = os.environ if environment is None else environment
    named = env.get("CIVICLINE_CITY")
    return Path(named) if named else Path(__file__).resolve().parent.parent / "nlu_data"


def city_languages(folder: Path) -> tuple[str, ...]:
    """Return the languages that city.yml names, or an empty tuple where it does not exist yet."""
    import yaml

    path = folder / "city.yml"
    if not path.exists():
        return ()
    try:
        city = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} cannot be read as YAML: {str(error).splitlines()[0]}.") from error
    named = city.get("languages") or {}
    supported = named.get("supported") or [] if isinstance(named, dict) else named
    return tuple(str(code).lower() for code in supported)


def _secret(env: dict[str, str], name: str) -> str:
    path = env.get(f"{name}_FILE")
    if path:
        try:
            return Path(path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise SettingsError(
                f"{name}_FILE names {path}, which cannot be read: {error.strerror}."
            ) from error
    return env.get(name, "").strip()


def _number(env: dict[str, str], name: str, default: int) -> int:
    value = env.get(name)
    if not value:
        return default
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise SettingsError(f"{name} must be a port number from 1 to 65535, not {value!r}.")
    return int(value)


def _seconds(env: dict[str, str], name: str, default: float) -> float:
    value = env.get(name)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0.01 <= seconds <= 3600:
        raise SettingsError(f"{name} must be a number of seconds from 0.01 to 3600, not {value!r}.")
    return seconds
