"""Whether a resident answers the form's question or says something else."""

from bot.actions.turn import Turn
from bot.actions.words import Words, count, plain

# How sure the intent must be for a text to be something else than an answer.
SURE = 0.6
CERTAIN = 0.8
# A greeting of three words is a greeting, a longer text with one in it an answer.
SHORT = 3
QUESTION_MARKS = ("?", "？", "؟")
# Slots that take any text.
FREE = ("place", "description")
LEAVING = ("cancel", "talk_to_human", "stop_messages")
QUESTIONS = ("ask_question", "nlu_fallback", "out_of_scope")
REQUESTS = ("check_request_status", "change_language", "delete_my_data", "export_my_data", "link_channel")
SMALL_TALK = ("greet", "goodbye", "thank", "help", "affirm", "deny", "complain", "start_messages")
# What says nothing about whom a text was meant for; nonsense is out of scope, too.
ANSWERS = ("report_problem", "nlu_fallback", "out_of_scope", "inform")


def surely(words: Words, turn: Turn, slot: str) -> bool:
    """Whether a text is surely no answer to what was asked.

    "The lamp is broken, help" is a description and no call for help, and a question
    counts as one only where it is also put like one.
    """
    intent, sure = turn.intent, turn.confidence
    if plain(turn.text) in words.skip and slot in ("description", "photo"):
        return False
    if intent in LEAVING:
        return sure >= SURE
    if slot == "photo" and intent in SMALL_TALK and words.begins_with_skip(turn.text):
        return False
    if intent in QUESTIONS:
        marked = turn.text.rstrip().endswith(QUESTION_MARKS)
        return words.question(turn.text) and (marked or sure >= SURE)
    if intent in REQUESTS:
        return sure >= CERTAIN
    return intent in SMALL_TALK and sure >= CERTAIN and count(turn.text) <= SHORT


def probably(turn: Turn, slot: str) -> bool:
    """Whether a text that names no kind and brings no photo was meant for somebody else than the form."""
    if slot in FREE or turn.confidence < CERTAIN or turn.intent in ANSWERS:
        return False
    return turn.intent not in SMALL_TALK or count(turn.text) <= SHORT + 1
