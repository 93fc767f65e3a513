"""Measure answers, intents and languages on files, with exactly the code that the bot runs."""
