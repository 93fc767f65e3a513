"""Measure answers, intents, languages and satisfaction on files, with exactly the code that the bot runs."""
