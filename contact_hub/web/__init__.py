"""What every page and every answer of the web process has in common, and the city's front page."""
