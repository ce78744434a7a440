"""Kinds of models through the whole path, and the runtimes that run them."""
