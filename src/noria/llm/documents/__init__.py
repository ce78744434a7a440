"""Documents: files of any kind, read as Markdown.

In:   the bytes of a file and its name
Out:  a `Document`: its text, its title, and what each part of the text is called (page 3, cell 2); or why there is none
"""

from noria.llm.documents.document import Document, Place
from noria.llm.documents.extract import KINDS, extract
from noria.llm.documents.isolated import IsolatedExtractor
from noria.llm.documents.near_duplicates import NearDuplicate, Unique, near_duplicates, without_near_duplicates
from noria.llm.documents.reading import ReadDocuments, read_documents
from noria.llm.documents.refusals import NotExtracted, ReaderDied
from noria.llm.documents.source import DocumentSource, document_files, document_of, documents_at

__all__ = [
    "KINDS",
    "Document",
    "DocumentSource",
    "IsolatedExtractor",
    "NearDuplicate",
    "NotExtracted",
    "Place",
    "ReadDocuments",
    "ReaderDied",
    "Unique",
    "document_files",
    "document_of",
    "documents_at",
    "extract",
    "near_duplicates",
    "read_documents",
    "without_near_duplicates",
]
