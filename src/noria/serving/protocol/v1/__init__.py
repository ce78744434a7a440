"""The `/v1` paths: what OpenAI's clients, rerankers and searches send and get. Pure functions; no sockets here."""
