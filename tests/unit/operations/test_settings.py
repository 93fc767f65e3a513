"""A wrong setting stops the start with one sentence that a person can act on."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from contact_hub.settings import SECRETS, Settings, SettingsError, read_settings

OURS = tuple(name.upper() for name in Settings.model_fields)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)
    monkeypatch.setenv("CIVICLINE_DATA", str(tmp_path / "data"))


def wrong(monkeypatch: pytest.MonkeyPatch, **environment: str) -> list[str]:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as told:
        read_settings()
    return told.value.sentences


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "abc", "PORT must be a number between 1 and 65535, but it is 'abc'."),
        ("PORT", "70000", "PORT must be a number between 1 and 65535, but it is '70000'."),
        ("CIVICLINE_ENV", "prod", "CIVICLINE_ENV must be development or production, but it is 'prod'."),
        (
            "SECOND_FACTOR_REQUIRED",
            "admin,clerk",
            "SECOND_FACTOR_REQUIRED must be all, or roles such as admin,records, but it is 'admin,clerk'.",
        ),
        (
            "PUBLIC_URL",
            "chat.example.org",
            "PUBLIC_URL must be a web address such as https://example.org, but it is 'chat.example.org'.",
        ),
        (
            "DATABASE_URL",
            "mysql://root:hunter2@db/line",
            "DATABASE_URL must be a PostgreSQL address such as postgresql://user:password@host/name, BUT",
        ),
        (
            "SECRET_KEY",
            "short",
            "SECRET_KEY must be a secret of at least 16 characters, but what it is set to is not.",
        ),
        (
            "TELEGRAM_BOT_TOKEN",
            "hello",
            "TELEGRAM_BOT_TOKEN must be the token that BotFather gave, such as 123456:ABC-DEF, BUT",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str
) -> None:
    sentence = sentence.replace("BUT", "but what it is set to is not.")
    assert wrong(monkeypatch, **{name: value}) == [sentence]


def test_each_wrong_setting_gets_its_own_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    sentences = wrong(monkeypatch, PORT="0", LOG_LEVEL="loud", BRAIN_URL="brain")
    assert [sentence.split()[0] for sentence in sentences] == ["LOG_LEVEL", "PORT", "BRAIN_URL"]


def test_half_an_sms_channel_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert wrong(monkeypatch, TWILIO_ACCOUNT_SID="AC1", TWILIO_FROM="+15550100") == [
        "TWILIO_AUTH_TOKEN is missing: SMS needs TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN and TWILIO_FROM."
    ]


def test_a_webhook_secret_without_a_bot_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = wrong(monkeypatch, TELEGRAM_WEBHOOK_SECRET="x")
    assert sentence.startswith("TELEGRAM_BOT_TOKEN is missing: Telegram's webhook needs")


def test_a_slip_of_the_pen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    (sentence,) = wrong(monkeypatch, TELEGRAM_BOT_TOKN="1:a")
    assert sentence == "TELEGRAM_BOT_TOKN is not a setting: TELEGRAM_BOT_TOKEN is."


def test_production_needs_its_secrets_and_an_https_address(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [sentence.split()[0] for sentence in wrong(monkeypatch, CIVICLINE_ENV="production")]
    assert names == ["SECRET_KEY", "INTERNAL_SECRET", "PUBLIC_URL"]


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    secret = {"database_url": "postgresql://u:p@h/d", "database_listen_url": "postgresql://u:p@h/d"}.get(
        name, "123456:abcdefghijklmnop" if "token" in name else "a-secret-of-some-length"
    )
    (tmp_path / "secret").write_text(f"{secret}\n")
    monkeypatch.setenv(f"{name.upper()}_FILE", str(tmp_path / "secret"))
    if name != "database_url" and name.startswith("database"):
        monkeypatch.setenv("DATABASE_URL", "postgresql://u:p@h/d")
    if name == "telegram_webhook_secret":
        monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "123456:abc")
    if name == "oidc_client_secret":
        monkeypatch.setenv("OIDC_ISSUER", "https://login.larkhaven.example")
        monkeypatch.setenv("OIDC_CLIENT_ID", "civicline")
    if name == "twilio_auth_token":
        monkeypatch.setenv("TWILIO_ACCOUNT_SID", "AC1")
        monkeypatch.setenv("TWILIO_FROM", "+15550100")
    assert getattr(read_settings(), name).get_secret_value().endswith(secret.removeprefix("postgresql"))


def test_a_file_that_cannot_be_read_or_stands_beside_the_variable_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert wrong(monkeypatch, SECRET_KEY_FILE="/nowhere/key") == [
        "SECRET_KEY_FILE names '/nowhere/key', which cannot be read: No such file or directory."
    ]
    assert wrong(monkeypatch, SECRET_KEY="x" * 32) == [
        "SECRET_KEY and SECRET_KEY_FILE are both set: set one of them."
    ]


def test_a_secret_that_is_not_set_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = {
            s.secret_key.get_secret_value()
            for s in pool.map(lambda _: read_settings(), range(8))
            if s.secret_key
        }
    assert len(made) == 1
    kept = tmp_path / "data" / "secret_key"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert [path.name for path in kept.parent.iterdir() if path.name.startswith(".")] == []


def test_secrets_are_not_shown_when_the_settings_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_KEY", "hunter2-hunter2-hunter2")
    monkeypatch.setenv("DATABASE_URL", "postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(read_settings())


def test_settings_do_not_change_after_the_start() -> None:
    with pytest.raises(ValueError, match="frozen"):
        read_settings().port = 1  # type: ignore[misc]


def test_a_variable_set_to_nothing_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TELEGRAM_BOT_TOKEN", "")
    monkeypatch.setenv("PORT", "")
    settings = read_settings()
    assert (settings.telegram_on, settings.port) == (False, 8000)


def test_a_process_with_wrong_settings_ends_with_the_sentences_and_no_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from contact_hub.settings import load_settings; load_settings()"],
        env={**os.environ, "PORT": "abc"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == "PORT must be a number between 1 and 65535, but it is 'abc'.\n"
