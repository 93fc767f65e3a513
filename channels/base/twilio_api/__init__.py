"""The parts of the SMS channel: the provider's codes, its HTTP client, its webhooks."""
