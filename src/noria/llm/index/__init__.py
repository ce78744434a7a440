"""Indexes: the chunks of a corpus with their vectors, to be searched by meaning and by words.

In:   chunks and their vectors, once; an index is never changed, and another version is another index
Out:  the nearest chunks that meet the conditions, which are part of the store's own query
Embedded default: folders of LanceDB. Adapters stand in `noria.integrations.*_index`; all pass `tests/llm/stores/test_conformance.py`.
"""

from noria.llm.index.build import Built, Failure, build, build_in
from noria.llm.index.lance import LanceIndex, write_lance
from noria.llm.index.port import BadIndex, BadName, Hit, Index, IndexStore, NoVersion, OtherDimension, StoreFailed, VersionTaken, Written
from noria.llm.index.rows import BadChunk
from noria.llm.index.stores import LanceStore, UnknownStore, open_index, open_store, reference

__all__ = [
    "BadChunk",
    "BadIndex",
    "BadName",
    "Built",
    "Failure",
    "Hit",
    "Index",
    "IndexStore",
    "LanceIndex",
    "LanceStore",
    "NoVersion",
    "OtherDimension",
    "StoreFailed",
    "UnknownStore",
    "VersionTaken",
    "Written",
    "build",
    "build_in",
    "open_index",
    "open_store",
    "reference",
    "write_lance",
]
