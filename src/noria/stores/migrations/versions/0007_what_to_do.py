"""What to do about a finding is kept with it, so that everybody who tells of it later tells the same."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("findings", sa.Column("fix", sa.Text, nullable=False, server_default=""))
