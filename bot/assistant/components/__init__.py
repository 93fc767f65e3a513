"""What Civicline adds to Rasa: features, intents, trackers, turns and the hub's channel."""
