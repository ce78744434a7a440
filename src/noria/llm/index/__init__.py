"""Indexes: the chunks of a corpus with their vectors, to be searched by meaning and by words.

In:   chunks and their vectors, once; an index is never changed
Out:  the nearest chunks that meet the conditions, which are part of the store's own query
"""

from noria.llm.index.build import Built, build
from noria.llm.index.lance import LanceIndex, write_lance
from noria.llm.index.port import BadIndex, Hit, Index, OtherDimension

__all__ = ["BadIndex", "Built", "Hit", "Index", "LanceIndex", "OtherDimension", "build", "write_lance"]
