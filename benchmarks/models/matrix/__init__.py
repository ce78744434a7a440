"""Kinds of models through the whole path: trainer × task × kind of input, as users would write them."""
