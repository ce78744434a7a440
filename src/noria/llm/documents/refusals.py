"""Why there is no document."""

from __future__ import annotations

from noria.core.errors import OutsideWorld, UserMistake


class NotExtracted(UserMistake):
    """A file is no document that can be read. The others of its corpus are."""

    code = "NR-801"

    def __init__(self, name: str, reason: str, fix: str) -> None:
        self.name, self.reason = name, reason
        super().__init__(what=f"the file has no text that can be read: {reason}", where=name, fix=fix)


class NoDocuments(UserMistake):
    """A corpus names files that are not there, or none that are documents."""

    code = "NR-804"

    def __init__(self, pattern: str, where: str) -> None:
        super().__init__(
            what=f"{pattern!r} has no documents",
            where=f"looked in {where}",
            fix="put documents there (Markdown, HTML, PDF, Office, notebooks, code, text), or correct the path",
        )


class ReaderDied(OutsideWorld):
    """The process that reads PDF, HTML and Office files did not start."""

    code = "NR-805"

    def __init__(self, reason: str) -> None:
        super().__init__(
            what="documents can't be read",
            where=f"the process that reads PDF, HTML and Office files: {reason}",
            fix="try again; check that the machine has memory left",
        )


class BadDocumentRow(UserMistake):
    """A table of documents has a column of lists or objects that holds neither."""

    code = "NR-872"

    def __init__(self, document: str, column: str, why: str, kind: type) -> None:
        self.document, self.column = document, column
        example = '["board", "staff"]' if kind is list else '{"team": "sales"}'
        super().__init__(
            what=f"the column {column!r} of a document can't be read: {why}",
            where=f"the document {document!r}",
            fix=f"give a {'list' if kind is list else 'struct'}, or a text with its JSON, such as {example}",
        )
