"""The parts of the Telegram channel: reading updates, writing messages, understanding refusals."""
