"""The outside: every module here is one channel, found by the registry on its own."""
