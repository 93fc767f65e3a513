"""One citizen, one history: by text on Monday, on the web on Thursday, and the city knows."""

from __future__ import annotations

import json
import re

from contact_hub.city import City
from contact_hub.identity import codes
from tests.journeys.residents import BySms, OnTheWeb
from tests.whole import WholeLine


def code_in(words: str) -> str:
    found = re.search(codes.SHOWN, words)
    assert found is not None, words
    return found[0]


def test_by_text_then_on_the_web_then_linked_is_one_timeline_until_it_is_undone(
    line: WholeLine, texter: BySms, visitor: OnTheWeb, city: City
) -> None:
    texter.asks("there's a huge pothole in Mill Lane")
    texter.asks("It is full of water")
    done = texter.asks("skip")
    reference = re.search(r"R\d\d-\d+-\d", done)
    assert reference is not None, done
    mine = reference[0]

    assert mine not in visitor.asks("How is my report going?"), "nobody has linked anything yet"
    code = code_in(visitor.asks("please join my chats"))
    assert city.say("channel_web_chat", "en") in texter.asks(code)
    assert mine in visitor.asks("How is my report going?")
    assert mine in visitor.asks("hello")
    assert not any(
        "pothole in Mill Lane" in heard.words for heard in visitor.inbox() if heard.author == "citizen"
    )

    one = json.loads(line.civicline("timeline", f"sms:{texter.address}", "--json").stdout)
    assert {"sms", "web_chat", "desk"} <= {event["channel"] for event in one["touchpoints"]}
    shown = json.loads(line.civicline("citizen", "show", f"sms:{texter.address}", "--json").stdout)
    assert {(a["channel"], a["proof"]) for a in shown["addresses"]} == {("sms", "code"), ("web_chat", "code")}

    (merge,) = shown["merges"]
    line.civicline("citizen", "undo", merge["merge"], "--reason", "they are two people", "--agent", "Maria")
    assert mine not in visitor.asks("How is my report going?")
    assert mine in texter.asks("How is my report going?")
