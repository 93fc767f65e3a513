"""Turns what Rasa and the brain suggest into words for the resident, in their language.

Actions only suggest. The words come from `nlu_data/responses`, facts about the citizen from the
turn; what a button means stays in the hub and only its id travels.
"""

from __future__ import annotations

import re
import uuid
from typing import Any

import structlog

from contact_hub.city import City
from contact_hub.journey import continuity, wishes
from contact_hub.journey.neighbours import RasaTurn
from contact_hub.journey.rating import LOW, thanks
from contact_hub.journey.turn import Choice, Reply, Step, Turn

log = structlog.get_logger()

CLARIFY_CHOICES = 3
# Chinese is written without spaces: only a Latin letter or a digit beside it makes it another word.
REFERENCE = re.compile(r"(?<![A-Za-z0-9])R\d{2}-\d{5,}-\d(?![A-Za-z0-9])", re.IGNORECASE)


def from_rasa(turn: Turn, city: City, rasa: RasaTurn) -> Step:
    """Compose the replies to every message of Rasa's turn and name what it was."""
    step = Step.FORM if rasa.form else Step.SAID
    for message in rasa.messages:
        match message:
            case {"say": "greet_returning"}:
                turn.replies.append(continuity.welcome(turn, city))
            case {"say": key, **more}:
                _say(turn, city, str(key), more.get("values") or {}, more.get("choices") or [])
                if more.get("unanswered"):  # declined politely, and still a question without an answer
                    turn.replies[-1].answer = {**more["unanswered"], "outcome": "refused"}
                step = _judged(turn, city, (more.get("values") or {}).get("helpful")) or step
            case {"answer": found}:
                step = answer(turn, city, found)
            case {"handoff": why}:
                turn.handoff = str((why or {}).get("reason", "asked"))
                step = Step.HANDED_OFF
            case {"report": report}:
                turn.report = dict(report)
                step = Step.REPORTED
            case {"request": what, **more}:
                step = _request(turn, city, str(what), more.get("values") or {})
            case _:
                log.error("compose.unknown_message", keys=sorted(message))
    wants = turn.wants_code or turn.wants_copy
    if not (turn.replies or turn.handoff or turn.report or wants or turn.suppress is not None):
        raise ValueError("Rasa's turn says nothing that the hub understands")
    turn.replies = _joined(turn.replies)
    return step


def _judged(turn: Turn, city: City, good: Any) -> Step | None:
    """Let a yes or no in words to whether the last answer helped count as its button does."""
    last = next((one for one in reversed(turn.past.said) if one.outcome is not None), None)
    if not isinstance(good, bool) or last is None or last.outcome != "answered" or not last.answer:
        return None
    turn.helpful = (uuid.UUID(last.answer), good)
    if good:
        return Step.RATED_HELPFUL
    turn.replies[-1].choices = [person_button(city, turn.language)]
    return Step.RATED_UNHELPFUL


def _joined(replies: list[Reply]) -> list[Reply]:
    """Sentences that follow one another become one message: an SMS costs money, a bubble attention."""
    joined: list[Reply] = []
    for reply in replies:
        last = joined[-1] if joined else None
        if last is None or last.choices or last.sources or last.answer or last.author != reply.author:
            joined.append(reply)
        else:
            reply.words = f"{last.words}\n\n{reply.words}"
            joined[-1] = reply
    return joined


def answer(turn: Turn, city: City, found: dict[str, Any], lead: str | None = None) -> Step:
    """Quote the article's relevant part with its source, ask back, or admit not to know."""
    language = turn.language
    passages = found.get("passages") or []
    if found["outcome"] == "answered" and passages:
        best = passages[0]
        if _topic(best) in turn.off:
            return _withheld(turn, city, {**found, "outcome": "withheld"})
        lines = [lead] if lead else []
        if best["language"] != language:
            name = f"language_{best['language']}"
            spoken = city.say(name, language) if city.has(name) else best["language"]
            lines.append(city.say("answer_foreign", language, language=spoken))
        lines += [str(best["quote"]), city.say("did_this_help", language)]
        turn.replies.append(
            Reply(
                "\n\n".join(lines),
                sources=[{"title": best["title"], "url": best["url"]}],
                answer=found,
                choices=[
                    Choice(city.say("button_helpful", language), {"helpful": "", "good": True}),
                    Choice(city.say("button_not_helpful", language), {"helpful": "", "good": False}),
                ],
            )
        )
        return Step.ANSWERED
    if found["outcome"] == "clarified" and passages:
        titles: list[str] = []
        for passage in passages:
            if passage["title"] not in titles and _topic(passage) not in turn.off:
                titles.append(passage["title"])
        if not titles:
            return _withheld(turn, city, {**found, "outcome": "withheld"})
        choices = [Choice(title, {"ask": title}) for title in titles[:CLARIFY_CHOICES]]
        turn.replies.append(
            Reply(
                city.say("clarify_choices", language),
                answer=found,
                choices=[*choices, person_button(city, language)],
            )
        )
        return Step.CLARIFIED
    turn.replies.append(
        Reply(city.say("refused", language), answer=found, choices=[person_button(city, language)])
    )
    return Step.REFUSED


def _topic(passage: dict[str, Any]) -> str:
    return str(passage.get("article") or "").partition("/")[0]


def _withheld(turn: Turn, city: City, found: dict[str, Any]) -> Step:
    """Say that the bot does not speak of this now, and offer a person of the department it belongs to."""
    language = turn.language
    turn.replies.append(
        Reply(
            city.say("topic_off", language),
            author="system",
            say="topic_off",
            answer=found,
            choices=[person_button(city, language)],
        )
    )
    return Step.TOPIC_OFF


def person_button(city: City, language: str) -> Choice:
    """The way to a person, offered wherever the bot may not be enough."""
    return Choice(city.say("button_person", language), {"handoff": "asked"})


def _say(turn: Turn, city: City, key: str, values: dict[str, Any], choices: list[dict[str, Any]]) -> None:
    if not city.has(key):
        log.error("compose.unknown_sentence", key=key)
        raise ValueError(f"nlu_data/responses has no sentence '{key}'")
    told = {
        name: city.category(str(value).removeprefix("category_"), turn.language)
        if name == "category"
        else value
        for name, value in values.items()
    }
    buttons = [
        Choice(
            _label(str(choice["title"]), city, turn.language),
            {"intent": choice["intent"], "entities": choice.get("entities") or {}},
        )
        for choice in choices
    ]
    turn.replies.append(Reply(city.say(key, turn.language, **told), say=key, choices=buttons))


def _label(title: str, city: City, language: str) -> str:
    if title.startswith("="):
        return title[1:]
    if title.startswith("category_"):  # kinds of problem are named in city.yml
        return city.category(title.removeprefix("category_"), language)
    return city.say(title, language)


def _request(turn: Turn, city: City, what: str, values: dict[str, Any]) -> Step:
    language = turn.language
    match what:
        case "stop_messages":
            turn.suppress = True
            turn.replies.append(Reply(city.say("stop_confirmed", language), say="stop_confirmed"))
            return Step.OPTED_OUT
        case "start_messages":
            turn.suppress = False
            turn.replies.append(Reply(city.say("start_confirmed", language), say="start_confirmed"))
            return Step.OPTED_IN
        case "change_language":
            _change_language(turn, city, values.get("language"))
        case "check_request_status":
            _status(turn, city)
        case "delete_my_data":
            wishes.ask_erasure(turn, city)
        case "export_my_data":
            turn.wants_copy = True
        case "link_channel":
            turn.wants_code = True
        case "rate_service":
            rating = values.get("rating")
            if isinstance(rating, int) and 1 <= rating <= 5:
                turn.note["rating"] = rating
                low = rating <= LOW
                turn.replies.append(
                    thanks(city, language, rating)
                    if low
                    else Reply(city.say("rate_thanks", language), say="rate_thanks")
                )
            else:
                turn.replies.append(Reply(city.say("rate_ask", language), say="rate_ask"))
        case _:
            raise ValueError(f"Rasa asks for '{what}', which the hub does not know")
    return Step.SAID


def _change_language(turn: Turn, city: City, wanted: Any) -> None:
    if wanted in city.languages:
        turn.language = turn.new_language = str(wanted)
        turn.fix_language = True
        turn.replies.append(Reply(city.say("language_changed", turn.language), say="language_changed"))
    elif wanted:
        turn.replies.append(
            Reply(city.say("language_unsupported", turn.language), say="language_unsupported")
        )
    else:
        choices = [
            Choice(
                city.say(f"language_{code}", code),
                {"intent": "change_language", "entities": {"language": code}},
            )
            for code in city.languages
        ]
        turn.replies.append(
            Reply(city.say("change_language_ask", turn.language), say="change_language_ask", choices=choices)
        )


def _status(turn: Turn, city: City) -> None:
    """The resident's own reports, or the one they name; nobody else's is ever shown."""
    language = turn.language
    reports = turn.facts.get("reports") or []
    named = REFERENCE.search(turn.text)
    if named:
        wanted = named[0].upper()
        reports = [report for report in reports if report["reference"] == wanted]
        if not reports:
            turn.replies.append(
                Reply(city.say("status_unknown", language, reference=wanted), say="status_unknown")
            )
            return
    if not reports:
        turn.replies.append(Reply(city.say("status_none", language), say="status_none"))
        return
    lines = [city.say("status_intro", language)]
    lines += [continuity.report_line(city, report, language) for report in reports[:5]]
    turn.replies.append(Reply("\n".join(lines), say="status_intro"))
