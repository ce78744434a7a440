"""What builders need, imported before they begin."""

import lancedb.index
import pgvector.psycopg
import qdrant_client

import noria.integrations.pgvector_index
import noria.integrations.qdrant_index

__all__ = ["lancedb", "noria", "pgvector", "qdrant_client"]
