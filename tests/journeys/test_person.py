"""A resident who wants a person gets one, and meanwhile the bot is silent."""

from __future__ import annotations

import json
from typing import Any

from contact_hub.city import City
from tests.journeys.residents import BySms, OnTheWeb, until
from tests.whole import WholeLine


def in_the_queue(line: WholeLine, conversation: str) -> dict[str, Any] | None:
    """This conversation's line in the agents' queue."""
    shown = line.civicline("queue", "list", "--json")
    assert shown.returncode == 0, shown.stderr
    return next((row for row in json.loads(shown.stdout) if row["conversation_id"] == conversation), None)


def added(city: City) -> str:
    """The beginning of what somebody who waits is told of what they write, whether it is open or not."""
    beginning = "We have added this to your conversation"
    assert all(city.say(key, "en").startswith(beginning) for key in ("wait_heard", "wait_heard_closed"))
    return beginning


def test_an_unhappy_resident_reaches_a_person_and_is_answered_by_sms(
    line: WholeLine, texter: BySms, city: City
) -> None:
    texter.asks("I want to talk to a person")
    conversation = str(texter.last("c.id"))
    assert texter.state() == "waiting"
    waiting = in_the_queue(line, conversation)
    assert waiting is not None
    assert (waiting["state"], waiting["channel"]) == ("waiting", "sms")

    # The bot holds its tongue; the city says that it was added.
    assert texter.asks("When is my recycling collected?").startswith(added(city))
    assert texter.asks("Is it on Tuesday?") == ""
    assert texter.last("i.outcome") == "handed_off"

    answered = line.civicline(
        "queue", "reply", conversation, "Hello, Maria here. On Tuesday!", "--agent", "Maria"
    )
    assert answered.returncode == 0, answered.stderr
    until(
        lambda: "Hello, Maria here. On Tuesday!" in [heard.words for heard in texter.inbox()],
        "an SMS of hers",
    )
    joined = city.say("agent_joined", "en", name="Maria")
    assert [heard.words for heard in texter.hears()] == [joined, "Hello, Maria here. On Tuesday!"]
    held = in_the_queue(line, conversation)
    assert held is not None
    assert (held["state"], held["holder"]) == ("agent", "Maria")

    taken = line.civicline("queue", "reply", conversation, "Let me.", "--agent", "Ben")
    assert taken.returncode == 1
    assert "Maria" in taken.stderr

    # The bot holds its tongue; after hours the city says when somebody reads it.
    held_until = city.say("held_closed", "en", name="Maria", opens="\0").partition("\0")[0]
    heard = texter.asks("Thank you Maria, and where do I pay a fine?")
    assert heard == "" or heard.startswith(held_until)
    closed = line.civicline("queue", "close", conversation, "--agent", "Maria")
    assert closed.returncode == 0, closed.stderr
    texter.settles()
    (last,) = texter.hears()  # by day it asks as well whether we may ask how it was
    assert last.words.startswith(city.say("conversation_closed", "en"))
    assert in_the_queue(line, conversation) is None

    heard = texter.asks("When is my recycling collected?")
    assert "every second week" in heard
    assert str(texter.last("c.id")) != conversation
    assert texter.state() == "bot"


def test_an_agents_words_reach_the_web_chat_at_once(line: WholeLine, visitor: OnTheWeb) -> None:
    visitor.asks("I want to talk to a person please")
    conversation = str(visitor.last("c.id"))

    done = line.civicline("queue", "reply", conversation[-12:], "What can I do for you?", "--agent", "Ben")

    assert done.returncode == 0, done.stderr
    until(lambda: visitor.inbox()[-1].words == "What can I do for you?", "his words in the chat")
    assert visitor.inbox()[-1].author == "agent"


def test_a_report_begun_before_a_person_was_asked_for_is_not_sent(visitor: OnTheWeb, city: City) -> None:
    visitor.asks("there's a huge pothole in Mill Lane")
    visitor.asks("No, let me talk to a person")

    assert visitor.state() == "waiting"
    assert visitor.asks("It is deep and full of water").startswith(added(city))
    assert visitor.reports() == []


def test_danger_is_answered_at_once_and_goes_first(line: WholeLine, visitor: OnTheWeb, city: City) -> None:
    heard = visitor.asks("Help, I smell gas in the kitchen!")

    assert city.settings["emergency"]["number"] in heard
    waiting = in_the_queue(line, str(visitor.last("c.id")))
    assert waiting is not None
    assert waiting["priority"] == 100
    shown = json.loads(line.civicline("queue", "list", "--json").stdout)
    assert shown[0]["priority"] == 100


def test_nothing_can_be_done_with_a_conversation_that_is_not_there(line: WholeLine) -> None:
    for command in (("reply", "nonsense", "Hello"), ("close", "nonsense")):
        done = line.civicline("queue", *command)
        assert done.returncode == 1
        assert "no open conversation" in done.stderr
