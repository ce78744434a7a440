"""What builders need, imported before they begin."""

import lancedb.index
import pgvector.psycopg
import pinecone
import qdrant_client
import weaviate

import noria.integrations.pgvector_index
import noria.integrations.pinecone_index
import noria.integrations.qdrant_index
import noria.integrations.weaviate_index

__all__ = ["lancedb", "noria", "pgvector", "pinecone", "qdrant_client", "weaviate"]
