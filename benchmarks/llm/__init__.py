"""Applications of language models: what is claimed of them, measured."""
