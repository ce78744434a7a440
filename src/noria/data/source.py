"""The doors to the sources: `nr.files`, `nr.sql`, `nr.stream`, `nr.feedback`, `nr.frame`. What they do stands in `noria.data.sources`."""

from __future__ import annotations

from noria.data.sources.feedback import FeedbackSource, feedback
from noria.data.sources.files import FileSource, MissingData, files
from noria.data.sources.frames import FrameSource, frame
from noria.data.sources.port import Batch, RawRow, Source, SourceAway, UnreadableData, Watermark
from noria.data.sources.sql import SqlSource, sql
from noria.data.sources.streams import Message, StreamReader, StreamSource, _rows_of, open_stream, stream

__all__ = [
    "Batch",
    "FeedbackSource",
    "FileSource",
    "FrameSource",
    "Message",
    "MissingData",
    "RawRow",
    "Source",
    "SourceAway",
    "SqlSource",
    "StreamReader",
    "StreamSource",
    "UnreadableData",
    "Watermark",
    "_rows_of",
    "feedback",
    "files",
    "frame",
    "open_stream",
    "sql",
    "stream",
]
