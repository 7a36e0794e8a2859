"""Who did what to a job, and when."""

import sqlalchemy as sa

from bgjobs.mirror.resumable import create_table, drop_table

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    create_table(
        "actions",
        sa.Column("uid", sa.CHAR(36), primary_key=True),
        sa.Column("action", sa.String(16), primary_key=True),
        sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("by_user", sa.String(512), nullable=False),
        sa.Column("at", sa.DateTime, nullable=False),
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    drop_table("actions")
