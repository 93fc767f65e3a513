"""Sets the line up, starts it, watches it and tells how it is."""
