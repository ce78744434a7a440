"""Plain names: columns, kinds of findings, and the keys of what was stored as JSON."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import sqlalchemy as sa
from alembic import op

from noria.core.ids import canonical_json
from noria.core.old_names import renamed

revision = "0005"
down_revision = "0004"

KINDS = {"blind": "no_data", "dead": "stalled", "fault": "data_quality", "expected": "estimated_performance"}
STORED = (
    ("decisions", "sequence", "evidence"),
    ("decisions", "sequence", "error"),
    ("findings", "key", "evidence"),
    ("alerts", "sequence", "content"),
)


def upgrade() -> None:
    op.alter_column("balances", "came_in", new_column_name="rows_in")
    op.alter_column("balances", "went", new_column_name="rows_out")
    op.alter_column("findings", "words", new_column_name="summary")
    op.alter_column("alerts", "notice", new_column_name="content")
    for table, key, column in STORED:
        _rewrite(table, key, column, renamed)
    _rewrite("candidates", "decision", "detail", _candidate)
    by_hand = sa.text("UPDATE decisions SET reason = 'requested manually' WHERE reason = 'asked for by hand'")
    op.execute(by_hand)
    for old, new in KINDS.items():
        op.execute(sa.text("UPDATE mutes SET kind = :new WHERE kind = :old").bindparams(old=old, new=new))
        for table in ("findings", "alerts"):  # a kind stands in the key by which a finding is known again
            keys = sa.text(f"UPDATE {table} SET key = replace(key, :old, :new) WHERE key LIKE :like")
            op.execute(keys.bindparams(old=f"/{old}/", new=f"/{new}/", like=f"%/{old}/%"))
        op.execute(sa.text("UPDATE findings SET kind = :new WHERE kind = :old").bindparams(old=old, new=new))


def _candidate(stored: Mapping[str, Any]) -> dict[str, Any]:
    detail = renamed(stored)
    return {**detail, "rows": renamed(detail["rows"])} if "rows" in detail else detail


def _rewrite(table: str, key: str, column: str, change: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    connection = op.get_bind()
    for known, text in connection.execute(sa.text(f"SELECT {key}, {column} FROM {table} WHERE {column} != ''")).fetchall():
        new = canonical_json(change(json.loads(text)))
        connection.execute(sa.text(f"UPDATE {table} SET {column} = :new WHERE {key} = :known").bindparams(new=new, known=known))
