"""The city's articles: reading them, splitting them, embedding them and finding the right one."""
