"""What the pages read of the mirror. Nothing here scans: each query is served by an index.

Lists page by keyset, newest first, and counts stop at COUNTED_TO. A filter that no index holds
together with the others (labels, the beginning of a name, an error group) searches the newest
COUNTED_TO jobs that it holds alone for.
"""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from bgjobs.dashboard.filters import Cursor, Filter
from bgjobs.dashboard.states import STATES
from bgjobs.dashboard.words import COUNTED_TO
from bgjobs.domain.resource import Phase, Priority, Reason
from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    ERROR_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    ROLLUPS,
    RUN_STEPS,
    WAIT_STEPS,
)

PAGE_ROWS = 25
MAX_ATTEMPTS = 200
"""Of one job that are shown, the latest."""
UNFINISHED = tuple(str(p) for p in (Phase.PENDING, Phase.RETRYING, Phase.RUNNING, Phase.CANCELLING))

_J = JOBS.c
Row = dict[str, Any]
Rows = list[Row]


def meta(connection: sa.Connection) -> Row | None:
    """How far the mirror is; None where no operator has written yet."""
    return next(iter(_rows(connection, sa.select(META))), None)


def _rows(connection: sa.Connection, query: sa.Select[Any]) -> Rows:
    return [dict(row) for row in connection.execute(query).mappings()]


# The list.


def page(connection: sa.Connection, wanted: Filter, now: datetime) -> Rows:
    """The jobs of one page and one more, if there are any."""
    keys = _keys(wanted, now, PAGE_ROWS + 1).subquery()
    query = (
        sa.select(JOBS, JOB_DETAILS.c.result)
        .join(keys, keys.c.uid == _J.uid)
        .outerjoin(JOB_DETAILS, JOB_DETAILS.c.uid == _J.uid)
        .order_by(_J.created_at.desc(), _J.uid.desc())
    )
    return _rows(connection, query)


def counts(
    connection: sa.Connection, wanted: Filter, now: datetime
) -> Mapping[tuple[str, str], int]:
    """How many jobs there are of each phase and reason, whatever state is asked for."""
    if (found := _candidates(wanted, now)) is not None:
        one = sa.select(_J.phase, _J.reason, sa.func.count().label("count"))
        query: sa.Select[Any] | sa.CompoundSelect[Any] = (
            one.join(found, found.c.uid == _J.uid)
            .where(*_equal(wanted))
            .group_by(_J.phase, _J.reason)
        )
    else:
        pairs = [pair for state in STATES.values() for pair in state.pairs]
        query = sa.union_all(*(_count(wanted, now, *pair) for pair in pairs))
    rows = connection.execute(query)
    return {(row.phase, row.reason): row[2] for row in rows if row[2]}


def _count(wanted: Filter, now: datetime, phase: Phase, reason: Reason) -> sa.Select[Any]:
    # Each priority, so that the index's next column, the time, bounds what is counted.
    some = (
        sa.select(sa.literal(1))
        .where(
            _J.phase == phase,
            _J.reason == reason,
            _J.priority.in_(_priorities(wanted)),
            *_equal(wanted),
            *_recent(_J.created_at, wanted, now),
        )
        .limit(COUNTED_TO + 1)
        .subquery()
    )
    return sa.select(
        sa.literal(str(phase)).label("phase"),
        sa.literal(str(reason)).label("reason"),
        sa.select(sa.func.count()).select_from(some).scalar_subquery().label("count"),
    )


def _keys(wanted: Filter, now: datetime, rows: int) -> sa.Select[Any]:
    """The uids of a page, in its order."""
    if (found := _candidates(wanted, now)) is not None:
        query = (
            sa.select(_J.uid, _J.created_at)
            .join(found, found.c.uid == _J.uid)
            .where(*_equal(wanted), *_of_state(wanted), *_after(_J.created_at, _J.uid, wanted))
        )
        return query.order_by(_J.created_at.desc(), _J.uid.desc()).limit(rows)
    # One select for each combination that the index's leading columns have, merged.
    parts = [
        sa.select(_J.uid, _J.created_at)
        .where(
            *conditions,
            *_equal(wanted),
            *_recent(_J.created_at, wanted, now),
            *_after(_J.created_at, _J.uid, wanted),
        )
        .order_by(_J.created_at.desc(), _J.uid.desc())
        .limit(rows)
        for conditions in _combinations(wanted)
    ]
    if len(parts) == 1:
        return parts[0]
    # MariaDB wants a derived table around each.
    merged = sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery()
    query = sa.select(merged.c.uid, merged.c.created_at)
    return query.order_by(merged.c.created_at.desc(), merged.c.uid.desc()).limit(rows)


def _combinations(wanted: Filter) -> Iterator[tuple[sa.ColumnElement[bool], ...]]:
    """Equalities that lead to one stretch of an index each, and together to what is wanted."""
    if wanted.state is None and wanted.reason is None:
        if wanted.class_ or wanted.namespace or wanted.priority:
            yield from ((_J.priority == each,) for each in _priorities(wanted))
        else:
            yield ()
        return
    pairs = _pairs(wanted)
    for (phase, reason), priority in itertools.product(pairs, _priorities(wanted)):
        yield (_J.phase == phase, _J.reason == reason, _J.priority == priority)


def _pairs(wanted: Filter) -> list[tuple[Phase, Reason]]:
    states = [STATES[wanted.state]] if wanted.state else STATES.values()
    pairs = (pair for state in states for pair in state.pairs)
    return [pair for pair in pairs if wanted.reason in (None, pair[1])]


def _priorities(wanted: Filter) -> list[int]:
    return [wanted.priority] if wanted.priority else [int(each) for each in Priority]


def _candidates(wanted: Filter, now: datetime) -> sa.Subquery | None:
    """The newest jobs that a filter holds for which has an index of its own."""
    table: sa.Table
    if wanted.labels:
        (name, value), *others = wanted.labels
        table = JOB_LABELS
        conditions = [table.c.name == name, table.c.value == value]
        for number, (other, its) in enumerate(others):
            also = JOB_LABELS.alias(f"label_{number}")
            conditions.append(
                sa.exists().where(
                    also.c.uid == table.c.uid, also.c.name == other, also.c.value == its
                )
            )
    elif wanted.error:
        table = ATTEMPTS
        conditions = [table.c.error_group == wanted.error]
    elif wanted.name:
        table = JOBS
        end = wanted.name + "\U0010ffff"
        conditions = [table.c.name >= wanted.name, table.c.name < end]
    else:
        return None
    columns = table.c
    query = sa.select(columns.uid, columns.created_at).where(
        *conditions, *_recent(columns.created_at, wanted, now)
    )
    if table is not JOBS:
        query = query.where(*_after(columns.created_at, columns.uid, wanted)).order_by(
            columns.created_at.desc(), columns.uid.desc()
        )
    found = query.limit(COUNTED_TO).subquery()
    return sa.select(found.c.uid).distinct().subquery()


def _equal(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    conditions: list[sa.ColumnElement[bool]] = []
    if wanted.class_:
        conditions.append(_J["class"] == wanted.class_)
    if wanted.namespace:
        conditions.append(_J.namespace == wanted.namespace)
    if wanted.labels or wanted.error or wanted.name:
        conditions.append(_J.priority.in_(_priorities(wanted)))
        if wanted.name:
            conditions.append(_J.name.startswith(wanted.name, autoescape=True))
    if wanted.labels and wanted.error:
        attempts = ATTEMPTS.c
        conditions.append(
            sa.exists().where(attempts.uid == _J.uid, attempts.error_group == wanted.error)
        )
    return conditions


def _of_state(wanted: Filter) -> list[sa.ColumnElement[bool]]:
    if wanted.state is None and wanted.reason is None:
        return []
    return _in(_pairs(wanted))


def _in(pairs: Collection[tuple[Phase, Reason]]) -> list[sa.ColumnElement[bool]]:
    return [
        _J.phase.in_({str(phase) for phase, _ in pairs}),
        _J.reason.in_({str(reason) for _, reason in pairs}),
    ]


def _recent(
    created_at: sa.ColumnElement[datetime], wanted: Filter, now: datetime
) -> list[sa.ColumnElement[bool]]:
    since = wanted.since(now)
    return [created_at >= since] if since else []


def _after(
    created_at: sa.ColumnElement[datetime], uid: sa.ColumnElement[str], wanted: Filter
) -> list[sa.ColumnElement[bool]]:
    """Beyond the last row of the page before, in the form that an index serves."""
    if wanted.before is None:
        return []
    cursor: Cursor = wanted.before
    return [
        created_at <= cursor.created_at,
        sa.or_(created_at < cursor.created_at, uid < cursor.uid),
    ]


def choices(connection: sa.Connection) -> tuple[list[str], list[str]]:
    """The classes and the namespaces to choose from."""
    classes = sa.select(_J["class"]).distinct().order_by(_J["class"]).limit(500)
    namespaces = sa.select(_J.namespace).distinct().order_by(_J.namespace).limit(500)
    return (
        [row[0] for row in connection.execute(classes)],
        [row[0] for row in connection.execute(namespaces)],
    )


def parameters(connection: sa.Connection, uids: Sequence[str]) -> dict[str, str]:
    """JSON, by uid."""
    columns = JOB_DETAILS.c
    query = sa.select(columns.uid, columns.parameters).where(columns.uid.in_(uids))
    return {row[0]: row[1] for row in connection.execute(query)}


# One job.


def job(connection: sa.Connection, uid: str) -> Row | None:
    query = (
        sa.select(JOBS, JOB_DETAILS.c.spec, JOB_DETAILS.c.parameters, JOB_DETAILS.c.result)
        .outerjoin(JOB_DETAILS, JOB_DETAILS.c.uid == _J.uid)
        .where(_J.uid == uid)
    )
    return next(iter(_rows(connection, query)), None)


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
    return _rows(connection, query)


def log_tail(connection: sa.Connection, uid: str, run: int, attempt: int) -> str | None:
    columns = LOG_TAILS.c
    query = sa.select(columns.text).where(
        columns.uid == uid, columns.run == run, columns.attempt == attempt
    )
    return connection.execute(query).scalar()


def actions(connection: sa.Connection, uid: str) -> Rows:
    columns = ACTIONS.c
    query = sa.select(ACTIONS).where(columns.uid == uid).order_by(columns.at, columns.ordinal)
    return _rows(connection, query.limit(100))


# Errors.


def error_groups(connection: sa.Connection, since: datetime, class_: str | None = None) -> Rows:
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
        .limit(100)
    )
    if class_:
        query = query.where(columns["class"] == class_)
    return _rows(connection, query)


def latest_of_group(connection: sa.Connection, group: str) -> Row | None:
    """The latest attempt that failed so, with its job's name."""
    columns = ATTEMPTS.c
    query = (
        sa.select(ATTEMPTS, _J.name, _J.namespace)
        .join(JOBS, _J.uid == columns.uid)
        .where(columns.error_group == group)
        .order_by(columns.finished_at.desc())
        .limit(1)
    )
    return next(iter(_rows(connection, query)), None)


def first_seen(connection: sa.Connection, groups: Sequence[str]) -> dict[str, datetime]:
    """The first failure of each group that the mirror still has."""
    columns = ATTEMPTS.c
    query = (
        sa.select(columns.error_group, sa.func.min(columns.finished_at))
        .where(columns.error_group.in_(groups))
        .group_by(columns.error_group)
    )
    return {row[0]: row[1] for row in connection.execute(query)} if groups else {}


def error_buckets(
    connection: sa.Connection, groups: Sequence[str], since: datetime
) -> dict[str, list[tuple[datetime, int, int]]]:
    """Of each group, by time: the bucket, failed attempts, failed jobs."""
    columns = ERROR_ROLLUPS.c
    query = (
        sa.select(
            columns.error_group,
            columns.bucket_at,
            sa.func.sum(columns.attempts),
            sa.func.sum(columns.failed),
        )
        .where(columns.error_group.in_(groups), columns.bucket_at >= since)
        .group_by(columns.error_group, columns.bucket_at)
        .order_by(columns.bucket_at)
    )
    found: dict[str, list[tuple[datetime, int, int]]] = {group: [] for group in groups}
    for row in connection.execute(query) if groups else ():
        found[row[0]].append((row[1], int(row[2]), int(row[3])))
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
            sa.func.min(_J.next_attempt_at).label("next"),
        )
        .where(_J.phase.in_(UNFINISHED), _J.deleted_at.is_(None))
        .group_by(_J.phase, _J.reason, _J.priority)
    )
    return _rows(connection, query)


def slots(connection: sa.Connection) -> list[tuple[str, int]]:
    """Which classes hold how many slots, the most first."""
    pairs = [
        pair for state in STATES.values() if state.group == "In a slot" for pair in state.pairs
    ]
    query = (
        sa.select(_J["class"], sa.func.count().label("count"))
        .where(*_in(pairs), _J.deleted_at.is_(None))
        .group_by(_J["class"])
        .order_by(sa.desc("count"), _J["class"])
    )
    return [(row[0], row[1]) for row in connection.execute(query)]


def waiting(connection: sa.Connection, states: Sequence[str], rows: int) -> Rows:
    """Jobs of these states in the queue's order: by priority, then how long they could start."""
    pairs = [pair for name in states for pair in STATES[name].pairs]
    query = (
        sa.select(JOBS)
        .where(*_in(pairs), _J.deleted_at.is_(None))
        .order_by(_J.priority, _J.could_start_at, _J.uid)
        .limit(rows)
    )
    return _rows(connection, query)


_SUMS = (
    *("attempts", "failed_attempts", "disrupted_attempts"),
    *("succeeded", "failed", "cancelled", "run_seconds", "cpu_seconds"),
    *WAIT_STEPS,
    *RUN_STEPS,
)
_HIGHEST = ("peak_memory_bytes", "memory_limit_bytes", "memory_share")


def rollups(
    connection: sa.Connection,
    since: datetime,
    until: datetime,
    by: Sequence[str] = (),
    class_: str | None = None,
    priority: int | None = None,
) -> Rows:
    """Sums over the buckets of a time, by some of bucket_at, class and priority."""
    columns = ROLLUPS.c
    keys = [columns[key] for key in by]
    query = sa.select(
        *keys,
        *(sa.func.sum(columns[name]).label(name) for name in _SUMS),
        *(sa.func.max(columns[name]).label(name) for name in _HIGHEST),
    ).where(columns.bucket_at >= since, columns.bucket_at < until)
    if class_:
        query = query.where(columns["class"] == class_)
    if priority:
        query = query.where(columns.priority == priority)
    return _rows(connection, query.group_by(*keys).order_by(*keys))
