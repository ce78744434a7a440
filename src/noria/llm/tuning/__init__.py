"""Tuning: settings of an application, chosen by what they are worth on questions whose answers are known.

In:   documents, questions with the documents that answer them, and the settings that come into question
Out:  what each is worth and costs, and which to take: another than the first only where it is better beyond doubt
"""

from noria.llm.tuning.chunkers import UnknownChunker, chunker_named, usual_chunkers
from noria.llm.tuning.chunks import NothingToTune, Tried, Tuned, tune_chunks

__all__ = ["NothingToTune", "Tried", "Tuned", "UnknownChunker", "chunker_named", "tune_chunks", "usual_chunkers"]
