"""Why there is no document."""

from __future__ import annotations

from noria.core.errors import UserMistake


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
