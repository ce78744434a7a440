"""A window keeps the skew of what was served in it: it is measured once, when the window closes."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("windows", sa.Column("skew", sa.Text, nullable=True))
