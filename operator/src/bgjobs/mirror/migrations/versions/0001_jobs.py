"""Jobs and their large columns."""

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from bgjobs.mirror.resumable import create_table, drop_table

revision = "0001"
down_revision = None


def upgrade() -> None:
    create_table(
        "jobs",
        sa.Column("uid", sa.CHAR(36), primary_key=True),
        sa.Column("namespace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(253), nullable=False),
        sa.Column("class", sa.String(253), nullable=False),
        sa.Column("method", sa.String(253), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("delay_seconds", sa.Integer, nullable=False),
        sa.Column("effective_delay_seconds", sa.Integer),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("effective_retries", sa.Integer),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("message", sa.String(1024), nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("attempts_total", sa.Integer, nullable=False),
        sa.Column("run_seconds", sa.Float),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("next_attempt_at", sa.DateTime),
        sa.Column("started_at", sa.DateTime),
        sa.Column("completed_at", sa.DateTime),
        sa.Column("deleted_at", sa.DateTime),
        sa.Column("resource_version", sa.CHAR(39), nullable=False),
        mysql_charset="utf8mb4",
    )
    create_table(
        "job_details",
        sa.Column("uid", sa.CHAR(36), primary_key=True),
        sa.Column(
            "parameters", sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb"), nullable=False
        ),
        sa.Column("result", sa.Text),
        sa.Column("resource_version", sa.CHAR(39), nullable=False),
        mysql_charset="utf8mb4",
    )


def downgrade() -> None:
    drop_table("job_details")
    drop_table("jobs")
