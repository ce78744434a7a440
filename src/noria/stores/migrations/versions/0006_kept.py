"""What a round had to find out anew is kept: the skew of a window, and when the rows of a table's data file became known."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("windows", sa.Column("skew", sa.Text, nullable=True))
    op.create_table(
        "known_rows",
        sa.Column("file", sa.Text, primary_key=True),
        sa.Column("counted", sa.Text, primary_key=True),
        sa.Column("times", sa.Text, nullable=False),
    )
