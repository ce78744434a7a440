"""Feedback on answers as a source: what `POST /v1/feedback` stored beside an endpoint's prediction log (`noria.serving.log.feedback`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from noria.data.sources.arrow import piece_of
from noria.data.sources.files import FileSource
from noria.data.sources.port import Batch, Watermark

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = {
    "id": "VARCHAR",
    "key": "VARCHAR",
    "endpoint": "VARCHAR",
    "helpful": "BIGINT",
    "rating": "DOUBLE",
    "asked_at": "TIMESTAMPTZ",
    "given_at": "TIMESTAMPTZ",
    "comment": "VARCHAR",
}


@dataclass(frozen=True)
class FeedbackSource:
    """The feedback on one endpoint's answers. workspace: the project's `stores.folder`"""

    endpoint: str
    workspace: str = ".noria"

    @property
    def types(self) -> Mapping[str, str]:
        return COLUMNS

    def describe(self) -> str:
        return f"feedback on {self.endpoint}"

    def read(self, folder: Path, since: Watermark | None) -> Batch | None:
        """What is new. Before the first feedback there are no rows, which is no mistake."""
        place = f"{self.workspace}/log/{self.endpoint}/feedback"
        if next((folder / place).glob("*.jsonl"), None) is None:
            return Batch(iter((piece_of(place, _nothing(), sparse=True),)), lambda _: since or {})
        return FileSource(f"{place}/*.jsonl", types=COLUMNS).read(folder, since)


def _nothing() -> pa.Table:
    import pyarrow as pa

    moment = pa.timestamp("us", tz="UTC")
    kinds = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "TIMESTAMPTZ": moment, "VARCHAR": pa.string()}
    return pa.schema([(name, kinds[kind]) for name, kind in COLUMNS.items()]).empty_table()


def feedback(endpoint: str, *, workspace: str = ".noria") -> FeedbackSource:
    """Feedback on the answers of an endpoint, as a table's source.

    endpoint: its name; workspace: the project's setting `stores.folder`

        given = nr.Table("feedback", nr.feedback("docs"), key="key", event_time="asked_at", known_at="given_at")
        helped = nr.Label(given, "helpful", matures="7d")

    The columns: `id` of the answer, its `key` (its id, where its request had none), `helpful` (1 or 0), `rating` (0 to 1, as it was given),
    `asked_at`, `given_at`, and `comment`, null unless `serving.feedback_comments` is on. Of several with one key, the latest counts.
    """
    return FeedbackSource(endpoint, workspace)
