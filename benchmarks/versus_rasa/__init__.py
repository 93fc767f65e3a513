"""Civicline's whole journey beside a stock Rasa bot: one machine, one PostgreSQL, one run."""
