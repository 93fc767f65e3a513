"""What a message asks about consent, in every language the city speaks."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from channels.base.gsm7 import is_gsm7, segments
from contact_hub.city import City, load_city
from contact_hub.wishes import Wish

CITY = load_city(Path(__file__).resolve().parents[3] / "nlu_data")
WISHES = [
    (
        "withdraw",
        "survey",
        "en",
        ["Stop the survey", "no more surveys please", "I don't want the survey", "cancel survey"],
    ),
    (
        "withdraw",
        "alerts",
        "en",
        ["no more alerts", "Please stop the alerts!", "don't send me any alerts", "turn off reminders"],
    ),
    (
        "withdraw",
        "improvement",
        "en",
        ["don't use my messages", "Please do not use my messages.", "Don’t learn from my messages"],
    ),
    ("withdraw", "all", "en", ["I withdraw my consent", "withdraw my consent", "revoke consent"]),
    ("grant", "alerts", "en", ["send me alerts", "turn on the alerts please", "yes to alerts"]),
    ("grant", "survey", "en", ["start the survey"]),
    ("grant", "improvement", "en", ["you may use my messages"]),
    ("show", "all", "en", ["what have I agreed to?", "What did I agree to", "show my consents"]),
    ("withdraw", "survey", "es", ["no más encuestas", "no mas encuestas por favor", "paren las encuestas"]),
    ("withdraw", "alerts", "es", ["no más avisos", "no quiero más alertas"]),
    ("withdraw", "improvement", "es", ["no usen mis mensajes"]),
    ("withdraw", "all", "es", ["retiro mi consentimiento"]),
    ("grant", "alerts", "es", ["activar los avisos", "envíenme alertas"]),
    ("show", "all", "es", ["¿Qué he aceptado?"]),
    ("withdraw", "survey", "de", ["keine Umfrage mehr", "bitte keine Umfragen mehr", "Umfrage beenden"]),
    ("withdraw", "alerts", "de", ["keine Hinweise mehr", "Warnungen abschalten"]),
    (
        "withdraw",
        "improvement",
        "de",
        ["meine Nachrichten nicht verwenden", "Verwenden Sie meine Nachrichten nicht!"],
    ),
    ("withdraw", "all", "de", ["Ich widerrufe meine Einwilligung", "Einwilligung widerrufen"]),
    ("grant", "alerts", "de", ["ich möchte Hinweise", "Hinweise einschalten"]),
    ("show", "all", "de", ["Welche Einwilligungen habe ich gegeben?"]),
    ("withdraw", "survey", "fr", ["plus d'enquêtes", "arrêtez l'enquête s'il vous plaît", "stop sondage"]),
    ("withdraw", "alerts", "fr", ["plus d’alertes", "arrêtez les alertes"]),
    ("withdraw", "improvement", "fr", ["n'utilisez pas mes messages"]),
    ("withdraw", "all", "fr", ["je retire mon consentement"]),
    ("grant", "alerts", "fr", ["activez les alertes"]),
    ("show", "all", "fr", ["Qu'ai-je accepté ?"]),
    ("withdraw", "survey", "it", ["basta sondaggi", "non voglio più sondaggi"]),
    ("withdraw", "alerts", "it", ["basta avvisi", "disattivate gli avvisi"]),
    ("withdraw", "improvement", "it", ["non usate i miei messaggi"]),
    ("withdraw", "all", "it", ["ritiro il mio consenso"]),
    ("grant", "alerts", "it", ["attivate gli avvisi"]),
    ("show", "all", "it", ["Che cosa ho accettato?"]),
    ("withdraw", "survey", "pl", ["koniec ankiet", "proszę bez ankiet"]),
    ("withdraw", "alerts", "pl", ["koniec ostrzeżeń", "koniec ostrzezen", "nie chcę powiadomień"]),
    ("withdraw", "improvement", "pl", ["nie używajcie moich wiadomości"]),
    ("withdraw", "all", "pl", ["wycofuję zgodę"]),
    ("grant", "alerts", "pl", ["włączcie ostrzeżenia"]),
    ("show", "all", "pl", ["Na co się zgodziłam?"]),
    ("withdraw", "survey", "pt", ["chega de inquéritos", "parem as pesquisas"]),
    ("withdraw", "alerts", "pt", ["chega de alertas", "não quero mais alertas"]),
    ("withdraw", "improvement", "pt", ["não usem as minhas mensagens"]),
    ("withdraw", "all", "pt", ["retiro o meu consentimento"]),
    ("grant", "alerts", "pt", ["ativar os alertas"]),
    ("show", "all", "pt", ["O que é que aceitei?"]),
    ("withdraw", "survey", "tr", ["anketi durdur", "Anket istemiyorum"]),
    ("withdraw", "alerts", "tr", ["uyarıları durdur", "uyarilari durdurun lutfen"]),
    ("withdraw", "improvement", "tr", ["mesajlarımı kullanmayın"]),
    ("withdraw", "all", "tr", ["onayımı geri çekiyorum"]),
    ("grant", "alerts", "tr", ["uyarıları açın"]),
    ("show", "all", "tr", ["Neyi kabul ettim?"]),
    ("withdraw", "survey", "ar", ["أوقفوا الاستبيان", "لا أريد الاستبيان"]),
    ("withdraw", "alerts", "ar", ["أوقفوا التنبيهات", "اوقفوا التنبيهات من فضلكم"]),
    ("withdraw", "improvement", "ar", ["لا تستخدموا رسائلي"]),
    ("withdraw", "all", "ar", ["أسحب موافقتي"]),
    ("grant", "alerts", "ar", ["أرسلوا لي التنبيهات"]),
    ("show", "all", "ar", ["على ماذا وافقت؟"]),
    ("withdraw", "survey", "zh", ["停止调查", "请不要再发问卷了"]),
    ("withdraw", "alerts", "zh", ["停止提醒", "不要给我发送提醒"]),
    ("withdraw", "improvement", "zh", ["不要使用我的消息", "请不要使用我的消息"]),
    ("withdraw", "all", "zh", ["我撤回同意"]),
    ("grant", "alerts", "zh", ["开启提醒"]),
    ("show", "all", "zh", ["我同意了什么？"]),
]

QUESTIONS = [
    "How do I stop the flood alerts from going to my neighbour?",
    "When is the customer survey of Mill Lane?",
    "alerts",
    "survey",
    "stop",
    "please",
    "Do I need consent to cut a tree?",
    "I agree to everything",
    "Where can I get planning permission?",
    "no",
    "yes",
    "¿Cuándo es la encuesta?",
    "Ist die Umfrage schon beendet worden?",
    "我需要许可吗",
    "the my me",
    "",
    "!!!",
    "stop alerts " * 50,
]


@pytest.mark.parametrize(
    ("text", "wish"),
    [(text, Wish(what, purpose, code)) for what, purpose, code, texts in WISHES for text in texts],
)
def test_one_message_says_it_in_any_language(text: str, wish: Wish) -> None:
    found = CITY.wish(text)
    assert found is not None
    assert (found.what, found.purpose) == (wish.what, wish.purpose)


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_that_mentions_it_is_no_withdrawal(text: str) -> None:
    assert CITY.wish(text) is None


@pytest.mark.parametrize("language", CITY.languages)
@pytest.mark.parametrize("purpose", ["alerts", "improvement", "survey"])
def test_the_words_we_tell_residents_to_write_are_understood(language: str, purpose: str) -> None:
    found = CITY.wish(CITY.say(f"consent_{purpose}_stop", language))
    assert found is not None
    assert (found.what, found.purpose) == ("withdraw", purpose)


def test_every_language_says_and_understands_the_same_things() -> None:
    files = {path.stem: yaml.safe_load(path.read_text("utf-8")) for path in _folder(CITY).glob("*.yml")}
    assert set(files) == set(CITY.languages)
    for part in ("texts", "commands"):
        assert {frozenset(file[part]) for file in files.values()} == {frozenset(files["en"][part])}
    common = set(files["en"]["commands"]["phrases"])
    for code, file in files.items():
        assert common <= set(file["commands"]["phrases"]), code
        for key, text in file["texts"].items():
            assert (
                _placeholders(text) == _placeholders(files["en"]["texts"][key]) or key == "consent_notice_sms"
            )


def test_the_sms_notice_is_one_cheap_segment_where_the_language_allows() -> None:
    for language in CITY.languages:
        notice = CITY.notice("sms", language)
        assert notice is not None
        if language in {"ar", "zh"}:
            assert segments(notice[0]).count <= 2
        else:
            assert is_gsm7(notice[0]), notice[0]
            assert len(notice[0]) <= 160


def test_buttons_fit_on_buttons() -> None:
    for language in CITY.languages:
        for key in ("button_remove", "button_keep"):
            assert len(CITY.say(key, language)) <= 20


def _folder(city: City) -> Path:
    return city.folder / "consent"


def _placeholders(text: str) -> set[str]:
    import re

    return set(re.findall(r"\{(\w+)\}", text))
