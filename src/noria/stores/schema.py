"""The tables of the catalog. Only `noria.stores` knows them: all others read and write them through the repositories beside this file.

All times are microseconds since 1970-01-01 UTC; all JSON is canonical, so that equal histories are equal bytes.
"""

from __future__ import annotations

import sqlalchemy as sa

HEAD = "0007"  # the migration that gives these tables

metadata = sa.MetaData()

balances = sa.Table(
    "balances",
    metadata,
    sa.Column("stage", sa.Text, primary_key=True),
    sa.Column("subject", sa.Text, primary_key=True),
    sa.Column("rows_in", sa.BigInteger, nullable=False),
    sa.Column("rows_out", sa.Text, nullable=False),
)
candidates = sa.Table(
    "candidates",
    metadata,
    sa.Column("decision", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("bundle", sa.Text, nullable=False),
    sa.Column("run", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("seconds", sa.Float, nullable=False),
)
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("done", sa.Boolean, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", sa.BigInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=False, server_default=""),
    sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.false()),
)
releases = sa.Table(
    "releases",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("decision", sa.Text, nullable=False, unique=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("challenger", sa.Text, nullable=True),
)
windows = sa.Table(
    "windows",
    metadata,
    sa.Column("endpoint", sa.Text, primary_key=True),
    sa.Column("start", sa.BigInteger, primary_key=True),
    sa.Column("bundle", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("statistics", sa.Text, nullable=True),
    sa.Column("performance", sa.Text, nullable=True),
    sa.Column("expected", sa.Text, nullable=True),
    sa.Column("traffic", sa.Text, nullable=True),
    sa.Column("metrics", sa.Text, nullable=True),
    sa.Column("paired", sa.Text, nullable=True),
    sa.Column("skew", sa.Text, nullable=True),
)
findings = sa.Table(
    "findings",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("opened_at", sa.BigInteger, nullable=False),
    sa.Column("closed_at", sa.BigInteger, nullable=True),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("since", sa.BigInteger, nullable=True),
    sa.Column("severity", sa.Text, nullable=False, server_default="inform"),
    sa.Column("incident", sa.Text, nullable=False, server_default=""),
    sa.Column("summary", sa.Text, nullable=False, server_default=""),
    sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
    sa.Column("acknowledged_by", sa.Text, nullable=True),
    sa.Column("closed_by", sa.Text, nullable=True),
    sa.Column("fix", sa.Text, nullable=False, server_default=""),
)
mutes = sa.Table(
    "mutes",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("endpoint", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("until", sa.BigInteger, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True),
    sa.Column("incident", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("created_at", sa.BigInteger, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("next_at", sa.BigInteger, nullable=False),
    sa.Column("sent_at", sa.BigInteger, nullable=True),
    sa.Column("error", sa.Text, nullable=False),
)
known_rows = sa.Table(  # of a table's data file, which never changes; counted: by which columns, in which windows
    "known_rows",
    metadata,
    sa.Column("file", sa.Text, primary_key=True),
    sa.Column("counted", sa.Text, primary_key=True),
    sa.Column("times", sa.Text, nullable=False),
)
progress = sa.Table(
    "progress",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
)
lease = sa.Table(
    "lease",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("token", sa.BigInteger, nullable=False),
)
