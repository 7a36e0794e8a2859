"""Rollups of an hour, computed in the background from those that there are."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from bgjobs.mirror.resumable import create_index, create_table, drop_table

revision = "0005"
down_revision = "0004"

_BY_BYTES: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_COUNTS = (
    *("attempts", "failed_attempts", "disrupted_attempts", "succeeded", "failed", "cancelled"),
    *(f"{what}_{number}" for what in ("wait", "run") for number in range(17)),
)


def upgrade() -> None:
    create_table(
        "hourly_rollups",
        sa.Column("bucket_at", sa.DateTime, primary_key=True),
        sa.Column("class", sa.String(253), primary_key=True),
        sa.Column("priority", sa.SmallInteger, primary_key=True, autoincrement=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in _COUNTS),
        *(sa.Column(name, sa.Float, nullable=False) for name in ("run_seconds", "cpu_seconds")),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("memory_limit_bytes", sa.BigInteger),
        sa.Column("memory_share", sa.Float),
        **_BY_BYTES,
    )
    create_index("hourly_rollups_by_class", "hourly_rollups", ["class", "bucket_at"])
    stale, there = (sa.table(name, sa.column("bucket_at")) for name in ("stale_buckets", "rollups"))
    missing = (
        sa.select(there.c.bucket_at)
        .where(there.c.bucket_at.not_in(sa.select(stale.c.bucket_at)))
        .distinct()
    )
    op.execute(sa.insert(stale).from_select(["bucket_at"], missing))


def downgrade() -> None:
    drop_table("hourly_rollups")
