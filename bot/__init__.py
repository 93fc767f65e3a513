"""Understands and answers: embeddings, search over the city's articles, language and actions."""
