"""What the attempts of 5 minutes, and of an hour, add up to, computed anew from their rows."""

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bgjobs.domain.resource import AttemptOutcome, Phase
from bgjobs.mirror.schema import (
    ATTEMPTS,
    BUCKET_SECONDS,
    ERROR_ROLLUPS,
    HOURLY_ROLLUPS,
    ROLLUP_MAXIMA,
    ROLLUP_SUMS,
    ROLLUPS,
    RUN_STEPS,
    STALE_BUCKETS,
    STEP_SECONDS,
    WAIT_STEPS,
)


def bucket_of(time: datetime) -> datetime:
    """The start of the bucket of a time without a zone."""
    seconds = int(time.replace(tzinfo=UTC).timestamp()) // BUCKET_SECONDS * BUCKET_SECONDS
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None)


def refresh(connection: sa.Connection, most: int) -> int:
    """Computes up to so many stale buckets anew, the newest first; how many it were."""
    bucket_at = STALE_BUCKETS.c.bucket_at
    newest = sa.select(bucket_at).order_by(bucket_at.desc()).limit(most)
    buckets = [*connection.scalars(newest)]
    for bucket in buckets:
        of_bucket = {"bucket": bucket, "end": bucket + timedelta(seconds=BUCKET_SECONDS)}
        for table, statement in ((ROLLUPS, _ROLLUPS), (ERROR_ROLLUPS, _ERROR_ROLLUPS)):
            connection.execute(sa.delete(table).where(table.c.bucket_at == bucket))
            connection.execute(statement, of_bucket)
        connection.execute(sa.delete(STALE_BUCKETS).where(bucket_at == bucket))
    add_up_hours(connection, {bucket.replace(minute=0) for bucket in buckets})
    return len(buckets)


def add_up_hours(connection: sa.Connection, hours: Collection[datetime]) -> None:
    """Computes the rollups of hours, each told by its start, from those of their buckets."""
    for hour in sorted(hours):
        connection.execute(sa.delete(HOURLY_ROLLUPS).where(HOURLY_ROLLUPS.c.bucket_at == hour))
        connection.execute(_HOURLY_ROLLUPS, {"hour": hour, "end": hour + timedelta(hours=1)})


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((condition, 1), else_=0))


def _histogram(steps: Sequence[str], seconds: sa.Column[Any]) -> Iterator[sa.Label[int]]:
    for step, above, at_most in zip(steps, (-1, *STEP_SECONDS), (*STEP_SECONDS, None), strict=True):
        within = (
            seconds > above if at_most is None else sa.and_(seconds > above, seconds <= at_most)
        )
        yield _count(within).label(step)


def _insert(table: sa.Table, keys: Sequence[str], *sums: sa.Label[Any]) -> sa.Insert:
    """A row of the table for each combination of the keys among the bucket's attempts."""
    bucket = sa.bindparam("bucket", type_=sa.DateTime).label("bucket_at")
    columns, time = [ATTEMPTS.c[key] for key in keys], ATTEMPTS.c.finished_at
    rows = (
        sa.select(bucket, *columns, *sums)
        .where(time >= sa.bindparam("bucket"), time < sa.bindparam("end", type_=sa.DateTime))
        .group_by(*columns)
    )
    if table is ERROR_ROLLUPS:
        rows = rows.where(ATTEMPTS.c.error_group.is_not(None))
    return sa.insert(table).from_select([column.name for column in rows.selected_columns], rows)


def _rollups() -> sa.Insert:
    attempt, total = ATTEMPTS.c, sa.func.sum
    failed = (AttemptOutcome.FAILED, AttemptOutcome.JOB_DELETED)
    share = attempt.peak_memory_bytes * 1.0 / sa.func.nullif(attempt.memory_limit_bytes, 0)
    return _insert(
        ROLLUPS,
        ("class", "priority"),
        sa.func.count().label("attempts"),
        _count(attempt.outcome.in_([*map(str, failed)])).label("failed_attempts"),
        _count(attempt.outcome == str(AttemptOutcome.DISRUPTED)).label("disrupted_attempts"),
        *(
            _count(attempt.ended_as == str(phase)).label(str(phase).lower())
            for phase in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)
        ),
        total(sa.func.coalesce(attempt.run_seconds, 0)).label("run_seconds"),
        total(sa.func.coalesce(attempt.cpu_seconds, 0)).label("cpu_seconds"),
        sa.func.max(attempt.peak_memory_bytes).label("peak_memory_bytes"),
        sa.func.max(attempt.memory_limit_bytes).label("memory_limit_bytes"),
        sa.func.max(share).label("memory_share"),
        *_histogram(WAIT_STEPS, attempt.wait_seconds),
        *_histogram(RUN_STEPS, attempt.run_seconds),
    )


_ROLLUPS = _rollups()
_ERROR_ROLLUPS = _insert(
    ERROR_ROLLUPS,
    ("error_group", "class"),
    sa.func.count().label("attempts"),
    _count(ATTEMPTS.c.ended_as == str(Phase.FAILED)).label("failed"),
)


def _hourly_rollups() -> sa.Insert:
    columns, hour = ROLLUPS.c, sa.bindparam("hour", type_=sa.DateTime)
    keys, at = (columns["class"], columns.priority), columns.bucket_at
    rows = (
        sa.select(
            hour.label("bucket_at"),
            *keys,
            *(sa.func.sum(columns[name]).label(name) for name in ROLLUP_SUMS),
            *(sa.func.max(columns[name]).label(name) for name in ROLLUP_MAXIMA),
        )
        .where(at >= hour, at < sa.bindparam("end", type_=sa.DateTime))
        .group_by(*keys)
    )
    names = [column.name for column in rows.selected_columns]
    return sa.insert(HOURLY_ROLLUPS).from_select(names, rows)


_HOURLY_ROLLUPS = _hourly_rollups()
