"""What a resident meets on every channel: an answer with its source, an honest no, a report, one history."""

from __future__ import annotations

import json
import uuid

import httpx
import pytest

from channels.base.gsm7 import economical
from contact_hub.city import City
from tests.journeys.residents import OnTelegram, OnTheWeb, Resident
from tests.whole import WholeLine

RECYCLING = "waste/recycling-collection"
SOURCE = f"https://www.larkhaven.example/{RECYCLING}"


def plain(words: str) -> str:
    """Words without what a channel may change about them: quotes, dashes, ends of lines."""
    return " ".join(economical(words).split())


def test_a_question_is_answered_from_the_right_article(resident: Resident, city: City) -> None:
    heard = plain(resident.asks("When is my recycling collected?"))

    assert "every second week" in heard
    assert plain(city.say("did_this_help", "en")) in heard
    assert resident.answered_from() == ("answered", RECYCLING)
    assert any(SOURCE in source for source in resident.inbox()[-1].sources)
    assert [title for _, title in resident.inbox()[-1].buttons] == [
        city.say("button_helpful", "en"),
        city.say("button_not_helpful", "en"),
    ]


@pytest.mark.parametrize(
    ("language", "question"),
    [
        ("de", "Wann wird mein Recycling abgeholt?"),
        ("ar", "متى يتم جمع مواد إعادة التدوير؟"),
        ("es", "¿Cuándo recogen mi reciclaje?"),
    ],
)
def test_a_question_in_another_language_gets_the_same_article(
    visitor: OnTheWeb, city: City, language: str, question: str
) -> None:
    heard = visitor.asks(question)

    if visitor.answered_from() == ("clarified", RECYCLING):  # not quite sure: it asks back, in their language
        assert heard.startswith(city.say("clarify_choices", language))
        heard = visitor.answers_with(visitor.inbox()[-1].buttons[0][0])
    assert visitor.answered_from() == ("answered", RECYCLING)
    assert city.say("did_this_help", language) in heard
    assert visitor.inbox()[-1].buttons[0][1] == city.say("button_helpful", language)
    assert visitor.inbox()[-1].sources[0].endswith(RECYCLING)


def test_what_is_not_the_citys_matter_is_refused_politely(resident: Resident, city: City) -> None:
    heard = plain(resident.asks("Who will win the cup?"))

    assert plain(city.say("out_of_scope", "en")) in heard or plain(city.say("refused", "en")) in heard
    assert resident.last("i.outcome") == "answered"
    assert resident.state() == "bot"


def test_a_hole_in_the_road_is_reported_with_a_question_in_between(resident: Resident, city: City) -> None:
    """The form asks only for what was not said yet, and goes on where a question interrupted it."""
    heard = plain(resident.asks("there's a huge pothole in Mill Lane"))
    assert plain(city.say("report_start", "en")) in heard
    assert plain(city.say("report_ask_description", "en")) in heard

    heard = plain(resident.asks("When is my recycling collected?"))
    assert resident.answered_from() == ("answered", RECYCLING)
    assert plain(city.say("form_question_first", "en")) in heard
    assert plain(city.say("report_ask_description", "en")) in heard

    heard = plain(resident.asks("It is as deep as a bucket and full of water."))
    assert plain(city.say("report_ask_photo", "en")) in heard

    heard = plain(resident.asks("skip"))
    reported = resident.reports()
    assert [(r["category"], r["place"], r["description"], r["state"]) for r in reported] == [
        (
            "pothole",
            "Mill Lane",
            "there's a huge pothole in Mill Lane. It is as deep as a bucket and full of water.",
            "received",
        )
    ]
    done = city.say(
        "report_done",
        "en",
        reference=reported[0]["reference"],
        category=city.category("pothole", "en"),
        place="Mill Lane",
    )
    assert plain(done) in heard
    assert heard.count(reported[0]["reference"]) == 1

    heard = resident.asks(f"How is my report {reported[0]['reference']} going?")
    assert reported[0]["reference"] in heard
    assert city.say("state_received", "en") in heard


def test_a_report_can_be_dropped(resident: Resident, city: City) -> None:
    """What was dropped is not brought up again by the next report."""
    assert plain(city.say("report_ask_place", "en")) in plain(resident.asks("I want to report a pothole"))

    assert plain(city.say("report_cancelled", "en")) in plain(resident.asks("never mind, drop the report"))
    assert resident.reports() == []

    heard = plain(resident.asks("There is graffiti on the wall of the library"))
    assert plain(city.say("report_start", "en")) in heard
    assert plain(city.say("report_resume", "en")) not in heard


def test_buttons_answer_the_report_as_well(resident: Resident, city: City) -> None:
    resident.asks("The street light in Mill Lane is broken")
    skip = city.say("button_skip", "en")
    for _ in range(2):  # nothing more to say, no photo
        resident.answers_with(next(name for name, title in resident.inbox()[-1].buttons if title == skip))

    [reported] = resident.reports()
    assert (reported["category"], reported["place"]) == ("street_light", "Mill Lane")
    assert reported["description"] == "The street light in Mill Lane is broken"


def test_the_kind_of_problem_can_be_chosen(resident: Resident, city: City) -> None:
    """Whoever does not say what is wrong is shown the kinds, by the names that the city gives them."""
    heard = plain(resident.asks("I want to report a problem"))
    assert plain(city.say("report_ask_category", "en")) in heard
    offered = {title: name for name, title in resident.inbox()[-1].buttons}
    assert city.category("street_light", "en") in offered

    heard = plain(resident.answers_with(offered[city.category("street_light", "en")]))
    assert plain(city.say("report_ask_place", "en")) in heard
    for words in ("3 Castle Hill", "It has been dark for a week", "skip"):
        resident.asks(words)
    [reported] = resident.reports()
    assert (reported["category"], reported["place"], reported["description"]) == (
        "street_light",
        "3 Castle Hill",
        "It has been dark for a week",
    )


def test_an_answer_that_did_not_help_leads_to_a_person(resident: Resident, city: City) -> None:
    resident.asks("How do I get a parking permit?")
    no = city.say("button_not_helpful", "en")
    heard = plain(
        resident.answers_with(next(name for name, title in resident.inbox()[-1].buttons if title == no))
    )
    assert plain(city.say("unhelpful_offer", "en")) in heard
    assert resident.last("w.helpful") is False

    person = city.say("button_person", "en")
    resident.answers_with(next(name for name, title in resident.inbox()[-1].buttons if title == person))
    assert resident.state() == "waiting"


def test_a_button_of_somebody_else_does_nothing(chatter: OnTelegram, visitor: OnTheWeb, city: City) -> None:
    visitor.asks("When is my recycling collected?")
    stolen = visitor.inbox()[-1].buttons[1][0]

    heard = chatter.answers_with(stolen)

    assert city.say("help", "en") in heard
    assert visitor.last("w.helpful") is None


def test_one_history_shows_everything(line: WholeLine, chatter: OnTelegram) -> None:
    """The command and the API tell the same story, and the API tells nobody without a token."""
    chatter.asks("there's a huge pothole in Mill Lane")
    chatter.asks("cancel")
    chatter.asks("When is my recycling collected?")

    shown = line.civicline("timeline", f"telegram:{chatter.address}", "--json")
    assert shown.returncode == 0, shown.stderr
    told = json.loads(shown.stdout)
    events = told["touchpoints"]
    said = [event["text"] for event in reversed(events) if event["direction"] == "in"]
    assert said == [
        "there's a huge pothole in Mill Lane",
        "cancel",
        "When is my recycling collected?",
    ]
    replies = {event["in_reply_to"] for event in events if event["direction"] == "out"}
    assert replies == {event["id"] for event in events if event["direction"] == "in"}
    assert "meaning" not in shown.stdout  # what a button means stays inside
    words = line.civicline("timeline", f"telegram:{chatter.address}")
    assert all(sentence in words.stdout for sentence in said)

    made = line.civicline("token", "create", "--scope", "timeline:read", "--json")
    assert made.returncode == 0, made.stderr
    url = f"{line.base_url}/api/v1/citizens/{told['citizen']}/timeline"
    with httpx.Client(trust_env=False, timeout=30) as http:
        assert http.get(url).status_code == 401
        assert http.get(url, headers={"Authorization": "Bearer guessed"}).status_code == 401
        http.headers["Authorization"] = f"Bearer {json.loads(made.stdout)['token']}"
        assert http.get(url, params={"limit": 200}).json()["touchpoints"] == events
        assert http.get(url.replace(told["citizen"], str(uuid.uuid4()))).status_code == 404

        paged: list[dict[str, object]] = []
        cursor: dict[str, str] = {}
        while True:
            page = http.get(url, params={"limit": 2, **cursor}).json()
            paged += page["touchpoints"]
            if page["next"] is None:
                break
            cursor = {"before": page["next"]}
    assert paged == events
