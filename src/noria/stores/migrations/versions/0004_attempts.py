"""A decision keeps how often it was tried, when it is tried again, why it failed, and whether it was given up."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("decisions", sa.Column("attempts", sa.Integer, nullable=False, server_default="0"))
    op.add_column("decisions", sa.Column("next_at", sa.BigInteger, nullable=True))
    op.add_column("decisions", sa.Column("error", sa.Text, nullable=False, server_default=""))
    op.add_column("decisions", sa.Column("failed", sa.Boolean, nullable=False, server_default=sa.false()))
