"""What the pages read of the mirror, but for lists of jobs. Each is served by an index."""

import itertools
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from bgjobs.dashboard import sql, statistics
from bgjobs.dashboard.sql import Row, Rows
from bgjobs.dashboard.states import STATES
from bgjobs.domain.resource import Phase, Priority
from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    ERROR_ROLLUPS,
    HOURLY_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    ROLLUP_MAXIMA,
    ROLLUP_SUMS,
    ROLLUPS,
)

MAX_ATTEMPTS = 200
"""Of one job that are shown, the latest."""
MAX_GROUPS = 100
"""Of errors that are listed, those with the most failed attempts."""
UNFINISHED = tuple(str(p) for p in (Phase.PENDING, Phase.RETRYING, Phase.RUNNING, Phase.CANCELLING))

_J = JOBS.c


def meta(connection: sa.Connection) -> Row | None:
    """How far the mirror is; None where no operator has written yet."""
    return next(iter(sql.rows_of(connection, sa.select(META))), None)


def _step(
    connection: sa.Connection, bucket_at: sa.Column[datetime], since: datetime, step: timedelta
) -> sa.Label[int]:
    """Which step from `since` on a bucket is in: the first is 0."""
    if connection.dialect.name == "sqlite":
        passed = sa.func.unixepoch(bucket_at) - sa.func.unixepoch(since)
    else:
        passed = sa.func.timestampdiff(sa.text("SECOND"), since, bucket_at)
    return (sa.type_coerce(passed, sa.Integer) // int(step.total_seconds())).label("step")


# One job.


def job(connection: sa.Connection, uid: str) -> Row | None:
    query = (
        sa.select(JOBS, JOB_DETAILS.c.spec, JOB_DETAILS.c.parameters, JOB_DETAILS.c.result)
        .outerjoin(JOB_DETAILS, JOB_DETAILS.c.uid == _J.uid)
        .where(_J.uid == uid)
    )
    return next(iter(sql.rows_of(connection, query)), None)


def uid_of(connection: sa.Connection, namespace: str, name: str) -> str | None:
    """Of the newest job of that name."""
    query = (
        sa.select(_J.uid)
        .where(_J.name == name, _J.namespace == namespace)
        .order_by(_J.created_at.desc(), _J.uid.desc())
        .limit(1)
    )
    return connection.execute(query).scalar()


def labels(connection: sa.Connection, uid: str) -> dict[str, str]:
    columns = JOB_LABELS.c
    query = sa.select(columns.name, columns.value).where(columns.uid == uid)
    return {row.name: row.value for row in connection.execute(query.order_by(columns.name))}


def attempts(connection: sa.Connection, uid: str) -> Rows:
    """The latest first, and whether the end of each one's log was kept."""
    columns, logs = ATTEMPTS.c, LOG_TAILS.c
    has_log = sa.exists().where(
        logs.uid == columns.uid, logs.run == columns.run, logs.attempt == columns.attempt
    )
    query = (
        sa.select(ATTEMPTS, has_log.label("has_log"))
        .where(columns.uid == uid)
        .order_by(columns.run.desc(), columns.attempt.desc())
        .limit(MAX_ATTEMPTS)
    )
    return sql.rows_of(connection, query)


def log_tail(connection: sa.Connection, uid: str, run: int, attempt: int) -> str | None:
    columns = LOG_TAILS.c
    query = sa.select(columns.text).where(
        columns.uid == uid, columns.run == run, columns.attempt == attempt
    )
    return connection.execute(query).scalar()


def actions(connection: sa.Connection, uid: str) -> Rows:
    columns = ACTIONS.c
    query = sa.select(ACTIONS).where(columns.uid == uid).order_by(columns.at, columns.ordinal)
    return sql.rows_of(connection, query.limit(100))


# Errors.


def error_groups(
    connection: sa.Connection, since: datetime, class_: str | None = None, rows: int = MAX_GROUPS
) -> Rows:
    """The groups since then, those with the most failed attempts first."""
    columns = ERROR_ROLLUPS.c
    query = (
        sa.select(
            columns.error_group,
            sa.func.sum(columns.attempts).label("attempts"),
            sa.func.sum(columns.failed).label("failed"),
            sa.func.max(columns.bucket_at).label("last_bucket_at"),
        )
        .where(columns.bucket_at >= since)
        .group_by(columns.error_group)
        .order_by(sa.desc("attempts"), columns.error_group)
        .limit(rows)
    )
    if class_:
        query = query.where(columns["class"] == class_)
    return sql.rows_of(connection, query)


def latest_of_group(connection: sa.Connection, group: str, class_: str | None = None) -> Row | None:
    """The latest attempt that failed so, with its job's name."""
    columns = ATTEMPTS.c
    query = (
        sa.select(ATTEMPTS, _J.name, _J.namespace)
        .join(JOBS, _J.uid == columns.uid)
        .where(columns.error_group == group)
        .order_by(columns.finished_at.desc())
        .limit(1)
    )
    if class_:
        query = query.where(columns["class"] == class_)
    return next(iter(sql.rows_of(connection, query)), None)


def first_seen(
    connection: sa.Connection, groups: Sequence[str], class_: str | None = None
) -> dict[str, datetime]:
    """The first failure of each group that the mirror still has."""
    columns = ATTEMPTS.c
    if not groups:
        return {}
    query = (
        sa.select(columns.error_group, sa.func.min(columns.finished_at))
        .where(columns.error_group.in_(groups))
        .group_by(columns.error_group)
    )
    if class_:
        # No index has the class, too: each group is read from its beginning up to one of it.
        query = sql.merged(
            [
                sa.select(columns.error_group, columns.finished_at)
                .where(columns.error_group == group, columns["class"] == class_)
                .order_by(columns.finished_at)
                .limit(1)
                for group in groups
            ]
        )
    return {row[0]: row[1] for row in connection.execute(query)}


def error_steps(
    connection: sa.Connection,
    groups: Sequence[str],
    since: datetime,
    step: timedelta,
    class_: str | None = None,
) -> dict[str, Rows]:
    """Of each group, by time: failed attempts and failed jobs of each step from `since` on."""
    columns = ERROR_ROLLUPS.c
    keys = [columns.error_group, _step(connection, columns.bucket_at, since, step)]
    query = (
        sa.select(
            *keys,
            sa.func.sum(columns.attempts).label("attempts"),
            sa.func.sum(columns.failed).label("failed"),
        )
        .where(columns.error_group.in_(groups), columns.bucket_at >= since)
        .group_by(*keys)
        .order_by(*keys)
    )
    if class_:
        query = query.where(columns["class"] == class_)
    found: dict[str, Rows] = {group: [] for group in groups}
    for row in sql.rows_of(connection, query) if groups else ():
        found[row["error_group"]].append({**row, "bucket_at": since + int(row["step"]) * step})
    return found


def group_classes(connection: sa.Connection, group: str, since: datetime) -> list[str]:
    columns = ERROR_ROLLUPS.c
    query = sa.select(columns["class"]).distinct()
    query = query.where(columns.error_group == group, columns.bucket_at >= since)
    return sorted(connection.execute(query).scalars())


# What is going on, and what was.


def active(connection: sa.Connection) -> Rows:
    """How many unfinished jobs there are by phase, reason and priority, and since when."""
    query = (
        sa.select(
            _J.phase,
            _J.reason,
            _J.priority,
            sa.func.count().label("count"),
            sa.func.min(_J.could_start_at).label("oldest"),
        )
        .where(_J.phase.in_(UNFINISHED), _J.deleted_at.is_(None))
        .group_by(_J.phase, _J.reason, _J.priority)
    )
    return sql.rows_of(connection, query)


def slots(connection: sa.Connection) -> list[tuple[str, int]]:
    """Which classes hold how many slots, the most first."""
    pairs = [
        pair for state in STATES.values() if state.group == "In a slot" for pair in state.pairs
    ]
    query = (
        sa.select(_J["class"], sa.func.count().label("count"))
        .where(*sql.of_pairs(JOBS, pairs), _J.deleted_at.is_(None))
        .group_by(_J["class"])
        .order_by(sa.desc("count"), _J["class"])
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def waiting(connection: sa.Connection, states: Sequence[str], rows: int) -> Rows:
    """Jobs of these states in the queue's order: by priority, then how long they could start."""
    query = sql.text(connection.dialect, _waiting_query, tuple(states), rows)
    return sql.rows_of(connection, query)


def _waiting_query(states: Sequence[str], rows: int) -> sa.Select[Any]:
    pairs = [pair for name in states for pair in STATES[name].pairs]
    first = [
        sa.select(_J.uid)
        .where(
            _J.deleted_at.is_(None),
            _J.phase == sql.fixed(phase),
            _J.reason == sql.fixed(reason),
            _J.priority == sql.fixed(int(priority)),
        )
        .order_by(_J.could_start_at, _J.uid)
        .limit(rows)
        for (phase, reason), priority in itertools.product(pairs, Priority)
    ]
    keys = sql.merged(first).subquery()
    return (
        sa.select(JOBS)
        .join(keys, keys.c.uid == _J.uid)
        .order_by(_J.priority, _J.could_start_at, _J.uid)
        .limit(rows)
    )


def rollups(
    connection: sa.Connection,
    since: datetime,
    until: datetime,
    by: Sequence[str] = (),
    *,
    step: timedelta | None = None,
    class_: str | None = None,
    priority: int | None = None,
    figures: Collection[str] = (*ROLLUP_SUMS, *ROLLUP_MAXIMA),
) -> Rows:
    """Figures of the buckets of a time, by class or priority or both.

    With a step they are by time, too: `bucket_at` is when each step from `since` on began. The
    database adds up what is within a step, because all buckets of many classes would be too many.
    """
    columns = (HOURLY_ROLLUPS if statistics.has_hours(since, until) else ROLLUPS).c
    keys: list[sa.ColumnElement[Any]] = [columns[key] for key in by]
    if step:
        keys.append(_step(connection, columns.bucket_at, since, step))
    query = sa.select(
        *keys,
        *(sa.func.sum(columns[name]).label(name) for name in ROLLUP_SUMS if name in figures),
        *(sa.func.max(columns[name]).label(name) for name in ROLLUP_MAXIMA if name in figures),
    ).where(columns.bucket_at >= since, columns.bucket_at < until)
    if class_:
        query = query.where(columns["class"] == class_)
    if priority:
        query = query.where(columns.priority == priority)
    rows = sql.rows_of(connection, query.group_by(*keys).order_by(*keys))
    if step:
        for row in rows:
            row["bucket_at"] = since + int(row["step"]) * step
    return rows
