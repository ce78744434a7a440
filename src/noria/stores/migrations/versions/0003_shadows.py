"""Windows of a shadow keep how many of its rows have a partner among the champion's, and what was gained on those."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.add_column("windows", sa.Column("paired", sa.Text, nullable=True))
