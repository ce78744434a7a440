"""Runtimes of models, beside what people would write around a model by hand."""
