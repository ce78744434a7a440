"""Findings have a life, alerts an outbox, and people may mute; windows keep what is expected of them and what their traffic was like."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("since", sa.BigInteger, nullable=True),
        sa.Column("severity", sa.Text, nullable=False, server_default="inform"),
        sa.Column("incident", sa.Text, nullable=False, server_default=""),
        sa.Column("words", sa.Text, nullable=False, server_default=""),
        sa.Column("acknowledged_at", sa.BigInteger, nullable=True),
        sa.Column("acknowledged_by", sa.Text, nullable=True),
        sa.Column("closed_by", sa.Text, nullable=True),
    ):
        op.add_column("findings", column)
    for name in ("expected", "traffic", "metrics"):
        op.add_column("windows", sa.Column(name, sa.Text, nullable=True))
    op.create_table(
        "mutes",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("endpoint", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "alerts",
        sa.Column("sequence", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("incident", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("notice", sa.Text, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_at", sa.BigInteger, nullable=False),
        sa.Column("sent_at", sa.BigInteger, nullable=True),
        sa.Column("error", sa.Text, nullable=False),
    )
