"""Retrieval: which chunks answer a question.

In:   a question, and the index of a corpus
Out:  the chunks that are nearest in meaning and in words, most relevant first, of those that the asker may read
"""

from noria.llm.retrieval.conditions import Condition, Conditions
from noria.llm.retrieval.fusion import Result, combined, diverse, fused
from noria.llm.retrieval.retriever import Retriever

__all__ = ["Condition", "Conditions", "Result", "Retriever", "combined", "diverse", "fused"]
