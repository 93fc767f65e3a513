"""The report form: takes what was said, then asks for what is missing.

Rasa's form calls `validate_report_form` each time it runs: when it opens, after an
answer, and after an aside. The action fills slots, says what has to be said and
names the next slot, so that a turn of the form costs one call. Filling nothing
makes Rasa's form step back, and the rule for the intent applies: a question is
answered, "stop" leaves, and the form then asks again.
"""

from dataclasses import dataclass

from bot.actions import asides
from bot.actions.kinds import OTHER, SURE_IN_ANSWER, SURE_IN_SENTENCE, Kinds
from bot.actions.places import Places
from bot.actions.turn import Action, Choice, Reply, Turn
from bot.actions.words import Words, count, plain

SLOTS = ("category", "place", "description", "photo")
# The first sentence is kept as the beginning of the description.
KEPT = (*SLOTS, "beginning")
NONE = "none"
LONGEST_DESCRIPTION = 2_000
# Kinds offered as buttons: the city's list is too long for a small screen.
OFFERED = 5
NEAREST = 3
# A first sentence of so few words says nothing that the kind and the place do not say.
SHORT = 3
NO_PHOTO = Choice("button_skip", "inform", {"photo": NONE})
NO_MORE = Choice("button_skip", "inform", {"description": NONE})
CANCEL = Choice("button_cancel", "cancel")

Filled = dict[str, str | None]


@dataclass(frozen=True)
class ReportForm:
    """The form, with what it knows of the city."""

    words: Words
    kinds: Kinds
    places: Places

    def actions(self) -> dict[str, Action]:
        """Return the form's actions by name."""
        return {"validate_report_form": self.run, "action_send_report": self.send}

    async def run(self, turn: Turn, reply: Reply) -> None:
        """Take what was said and ask for what is missing."""
        if turn.opening:
            await self._open(turn, reply)
        elif turn.after_aside:
            if turn.intent in asides.QUESTIONS:
                reply.say("form_question_first")
            self._ask(slots(turn), reply, turn)
        else:
            await self._take(turn, reply)

    async def send(self, turn: Turn, reply: Reply) -> None:
        """Suggest the finished report and forget it here."""
        said = slots(turn)
        reply.report(
            {
                "category": said["category"] or OTHER,
                "place": said["place"] or "",
                "description": said["description"] or "",
                "photo": None if said["photo"] == NONE else said["photo"],
            }
        )
        drop(reply)

    async def _open(self, turn: Turn, reply: Reply) -> None:
        """Begin with what the first sentence says, or go on with what an earlier attempt has left."""
        said: Filled = {}
        if turn.intent == "report_problem" and turn.chosen is None:
            place = self.places.in_sentence(turn.text)
            category = await self.kinds.find(self.places.without(turn.text, place), SURE_IN_SENTENCE)
            told = (category or place) and count(turn.text) > SHORT
            beginning = turn.text.strip()[:LONGEST_DESCRIPTION] if told else None
            said = {"category": category, "place": place or _shared_place(turn), "beginning": beginning}
        said |= self._chosen(turn)
        kept = slots(turn)
        # Another kind of problem than the one that was left is a new report.
        going_on = begun(turn) and said.get("category") in (None, kept["category"])
        filled: Filled = kept if going_on else {"photo": kept["photo"]}
        filled |= {name: value for name, value in said.items() if value and not filled.get(name)}
        for name in KEPT:
            reply.set(name, filled.get(name))
        reply.say("report_resume" if going_on else "report_start")
        self._ask(filled, reply, turn)

    async def _take(self, turn: Turn, reply: Reply) -> None:
        """Take an answer to what was asked; fill nothing where it is none."""
        slot = turn.asked or SLOTS[0]
        filled = slots(turn)
        chosen = self._chosen(turn)
        for name, value in chosen.items():
            fill(name, value, filled, reply)
        in_words = turn.chosen is None and turn.text and slot not in chosen
        if in_words and not asides.surely(self.words, turn, slot):
            given = await self._read(turn, slot)
            if given is not None:
                fill(slot, given, filled, reply)
                if slot == "category":
                    self._also(turn, filled, reply)
            elif not asides.probably(turn, slot):
                await self._missed(turn, slot, filled, reply)
                return
        if reply.events or turn.intent == "resume_report":
            self._ask(filled, reply, turn)

    def _also(self, turn: Turn, filled: Filled, reply: Reply) -> None:
        """Take the place from an answer about the kind, and keep a whole sentence for the description."""
        place = self.places.in_sentence(turn.text)
        if place and not filled["place"]:
            fill("place", place, filled, reply)
        if count(turn.text) > SHORT and not filled["beginning"]:
            fill("beginning", turn.text.strip()[:LONGEST_DESCRIPTION], filled, reply)

    async def _read(self, turn: Turn, slot: str) -> str | None:
        """Return what a text says of the slot that was asked for."""
        said = turn.text.strip()
        if slot == "category":
            return await self.kinds.find(
                self.places.without(said, self.places.in_sentence(said)), SURE_IN_ANSWER
            )
        if slot == "place":
            return self.places.answer(said)
        no_more = plain(said) in self.words.skip
        if slot == "photo":
            refused = turn.intent == "deny" or self.words.begins_with_skip(said)
            return NONE if no_more or (refused and count(said) <= 2 * SHORT) else None
        beginning = turn.slots.get("beginning")
        if no_more:
            return beginning
        if plain(said) in self.words.unknown or sum(letter.isalpha() for letter in said) < 3:
            return None
        return _joined(beginning, said)

    async def _missed(self, turn: Turn, slot: str, filled: Filled, reply: Reply) -> None:
        """Ask once more in other words; a kind that is not understood twice is "other"."""
        misses = int(turn.slots.get("misses") or 0) + 1
        if slot == "category" and misses > 1:
            fill(slot, OTHER, filled, reply)
            if not filled["beginning"]:
                fill("beginning", turn.text.strip()[:LONGEST_DESCRIPTION], filled, reply)
            self._ask(filled, reply, turn)
            return
        # Setting the slot to nothing keeps Rasa's form from stepping back.
        reply.set(slot, None)
        reply.set("misses", misses)
        reply.set("requested_slot", slot)
        if slot == "category":
            near = await self.kinds.nearest(turn.text, NEAREST)
            reply.say("report_invalid_category", [*map(_kind, [*near, OTHER]), CANCEL])
        elif slot == "photo":
            reply.say("report_ask_photo", [NO_PHOTO, CANCEL])
        else:
            reply.say(f"report_invalid_{slot}", [CANCEL])

    def _ask(self, filled: Filled, reply: Reply, turn: Turn) -> None:
        """Name the slot that is asked for next, and ask; with nothing left to ask the form is done."""
        asking = next((name for name in SLOTS if not filled.get(name)), None)
        reply.set("misses", None)
        reply.set("requested_slot", asking)
        if asking == "category":
            offered = [kind for kind in self.kinds.words if kind != OTHER][:OFFERED]
            reply.say("report_ask_category", [*map(_kind, [*offered, OTHER]), CANCEL])
        elif asking == "photo":
            reply.say("report_ask_photo", [NO_PHOTO, CANCEL])
        elif asking == "description" and filled.get("beginning"):
            reply.say("report_ask_description", [NO_MORE, CANCEL])
        elif asking == "place":
            reply.say("report_ask_place", [*_known_place(turn), CANCEL])
        elif asking is not None:
            reply.say(f"report_ask_{asking}", [CANCEL])

    def _chosen(self, turn: Turn) -> dict[str, str]:
        """Return what buttons and files say of the report, whatever was asked."""
        entities = (turn.chosen or {}).get("entities") or {}
        chosen = {name: str(entities[name]) for name in SLOTS if entities.get(name)}
        if chosen.get("category", OTHER) not in (*self.kinds.words, OTHER):
            del chosen["category"]
        if chosen.get("description") == NONE:
            chosen["description"] = str(turn.slots.get("beginning") or NONE)
        if turn.photos:
            chosen["photo"] = turn.photos[0]
        return chosen


def begun(turn: Turn) -> bool:
    """Whether a report was begun and neither sent nor dropped."""
    return any(turn.slots.get(name) for name in ("category", "place", "beginning", "description"))


def drop(reply: Reply) -> None:
    """Forget the report."""
    for name in (*KEPT, "misses"):
        reply.set(name, None)


def slots(turn: Turn) -> Filled:
    """Return what is known of the report."""
    return {name: turn.slots.get(name) for name in KEPT}


def fill(name: str, value: str, filled: Filled, reply: Reply) -> None:
    """Remember a value, in this turn and in the conversation."""
    filled[name] = value
    reply.set(name, value)


def _joined(beginning: str | None, said: str) -> str:
    if not beginning:
        return said[:LONGEST_DESCRIPTION]
    end = "" if beginning[-1:] in ".!?。！？" else "."
    return f"{beginning}{end} {said}"[:LONGEST_DESCRIPTION]


def _known_place(turn: Turn) -> list[Choice]:
    """Offer the place of the last report, which the city knows and may use, so that it is not typed again."""
    place = (turn.facts.get("known") or {}).get("place")
    return [Choice(f"={place}", "inform", {"place": place})] if place else []


def _shared_place(turn: Turn) -> str | None:
    """Return the place that was shared in the turn before: what is said next is about it."""
    offers = (message for message in turn.last_said if message.get("say") == "location_received")
    choices = (choice for message in offers for choice in message.get("choices") or [])
    return next((str(choice["entities"]["place"]) for choice in choices), None)


def _kind(kind: str) -> Choice:
    return Choice(f"category_{kind}", "inform", {"category": kind})
