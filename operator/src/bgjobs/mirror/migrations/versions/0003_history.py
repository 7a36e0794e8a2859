"""Attempts, labels, log tails, rollups, and an index for every list.

What is shown of a live job from now on is read anew by the next sweep.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.mysql import MEDIUMTEXT

from bgjobs.mirror.resumable import (
    add_column,
    create_index,
    create_table,
    drop_column,
    drop_index,
    drop_table,
)

revision = "0003"
down_revision = "0002"

_BY_BYTES: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_LARGE_TEXT = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
_JOB_COLUMNS = (
    ("epoch", sa.Integer, False),
    ("attempts_of_run", sa.Integer, False),
    ("retries_used", sa.Integer, False),
    ("disruptions", sa.Integer, False),
    ("could_start_at", sa.DateTime, True),
    ("error_group", sa.CHAR(12), True),
)
_JOB_INDEXES = {
    "jobs_by_time": (),
    "jobs_by_priority": ("priority",),
    "jobs_by_state": ("phase", "reason", "priority"),
    "jobs_by_class": ("class", "priority"),
    "jobs_by_class_state": ("class", "phase", "reason", "priority"),
    "jobs_by_namespace": ("namespace", "priority"),
    "jobs_by_namespace_state": ("namespace", "phase", "reason", "priority"),
    "jobs_by_namespace_class": ("namespace", "class", "priority"),
    "jobs_by_namespace_class_state": ("namespace", "class", "phase", "reason", "priority"),
    "jobs_by_name": ("name",),
}
_STEPS = 17


def upgrade() -> None:
    _collate("utf8mb4_bin")
    for name, type_, nullable in _JOB_COLUMNS:
        default = None if nullable else "0"
        add_column("jobs", sa.Column(name, type_, nullable=nullable, server_default=default))
    for name, columns in _JOB_INDEXES.items():
        create_index(name, "jobs", [*columns, "created_at", "uid"])
    create_index(
        "jobs_by_deletion",
        "jobs",
        ["deleted_at", "phase", "reason", "priority", "could_start_at", "uid"],
    )
    add_column("job_details", _epoch())
    add_column("job_details", sa.Column("spec", sa.Text))
    jobs = sa.table("jobs", sa.column("resource_version"), sa.column("deleted_at"))
    op.execute(jobs.update().where(jobs.c.deleted_at.is_(None)).values(resource_version="0" * 39))
    _create_tables()


def downgrade() -> None:
    for table in (
        *("meta", "stale_buckets", "error_rollups", "rollups"),
        *("log_tails", "attempts", "job_labels"),
    ):
        drop_table(table)
    for name in (*_JOB_INDEXES, "jobs_by_deletion"):
        drop_index(name, "jobs")
    for name, _, _ in _JOB_COLUMNS:
        drop_column("jobs", name)
    for name in ("epoch", "spec"):
        drop_column("job_details", name)
    _collate("utf8mb4_general_ci")


def _create_tables() -> None:
    create_table(
        "job_labels",
        sa.Column("uid", sa.CHAR(36), primary_key=True),
        sa.Column("name", sa.String(317), primary_key=True),
        sa.Column("value", sa.String(63), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        _epoch(),
        sa.Column("resource_version", sa.CHAR(39), nullable=False),
        **_BY_BYTES,
    )
    create_index("job_labels_by_value", "job_labels", ["name", "value", "created_at", "uid"])
    create_table(
        "attempts",
        *_attempt_key(),
        sa.Column("job_name", sa.String(63), nullable=False),
        sa.Column("node_name", sa.String(253)),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("exit_code", sa.Integer),
        sa.Column("could_start_at", sa.DateTime),
        sa.Column("started_at", sa.DateTime),
        sa.Column("finished_at", sa.DateTime, nullable=False),
        sa.Column("wait_seconds", sa.Float),
        sa.Column("run_seconds", sa.Float),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("memory_limit_bytes", sa.BigInteger),
        sa.Column("cpu_seconds", sa.Float),
        sa.Column("error_group", sa.CHAR(12)),
        sa.Column("error_type", sa.String(256)),
        sa.Column("error_place", sa.String(1024)),
        sa.Column("ended_as", sa.String(16)),
        sa.Column("class", sa.String(253), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        _epoch(),
        sa.Column("resource_version", sa.CHAR(39), nullable=False),
        **_BY_BYTES,
    )
    create_index("attempts_by_time", "attempts", ["finished_at"])
    create_index("attempts_by_error", "attempts", ["error_group", "created_at", "uid"])
    create_index("attempts_by_error_time", "attempts", ["error_group", "finished_at"])
    create_table(
        "log_tails",
        *_attempt_key(),
        sa.Column("text", _LARGE_TEXT, nullable=False),
        **_BY_BYTES,
    )
    create_table(
        "rollups",
        sa.Column("bucket_at", sa.DateTime, primary_key=True),
        sa.Column("class", sa.String(253), primary_key=True),
        sa.Column("priority", sa.SmallInteger, primary_key=True, autoincrement=False),
        *(
            sa.Column(name, sa.Integer, nullable=False)
            for name in (
                *("attempts", "failed_attempts", "disrupted_attempts"),
                *("succeeded", "failed", "cancelled"),
            )
        ),
        sa.Column("run_seconds", sa.Float, nullable=False),
        sa.Column("cpu_seconds", sa.Float, nullable=False),
        sa.Column("peak_memory_bytes", sa.BigInteger),
        sa.Column("memory_limit_bytes", sa.BigInteger),
        sa.Column("memory_share", sa.Float),
        *(
            sa.Column(f"{what}_{number}", sa.Integer, nullable=False)
            for what in ("wait", "run")
            for number in range(_STEPS)
        ),
        **_BY_BYTES,
    )
    create_index("rollups_by_class", "rollups", ["class", "bucket_at"])
    create_table(
        "error_rollups",
        sa.Column("bucket_at", sa.DateTime, primary_key=True),
        sa.Column("error_group", sa.CHAR(12), primary_key=True),
        sa.Column("class", sa.String(253), primary_key=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("failed", sa.Integer, nullable=False),
        **_BY_BYTES,
    )
    create_index("error_rollups_by_group", "error_rollups", ["error_group", "bucket_at"])
    create_table(
        "stale_buckets", sa.Column("bucket_at", sa.DateTime, primary_key=True), **_BY_BYTES
    )
    create_table(
        "meta",
        sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("as_of", sa.DateTime),
        sa.Column("written_at", sa.DateTime),
        sa.Column("pending", sa.Integer, nullable=False, server_default="0"),
        sa.Column("swept_at", sa.DateTime),
        _epoch(),
        sa.Column("list_version", sa.CHAR(39)),
        **_BY_BYTES,
    )


def _epoch() -> sa.Column[int]:
    return sa.Column("epoch", sa.Integer, nullable=False, server_default="0")


def _attempt_key() -> tuple[sa.Column[str] | sa.Column[int], ...]:
    return (
        sa.Column("uid", sa.CHAR(36), primary_key=True),
        sa.Column("run", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    )


def _collate(collation: str) -> None:
    """Of the older tables; SQLite compares by bytes anyway."""
    if op.get_context().dialect.name != "sqlite":
        for table in ("jobs", "job_details", "actions"):
            op.execute(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE {collation}")
