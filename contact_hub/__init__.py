"""Remembers every touchpoint, flags who is unhappy, hands over to a person."""
