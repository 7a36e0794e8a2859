"""Lists of jobs by any combination of filters. Nothing here scans: each is served by an index.

Lists page by keyset, newest first, and counts stop at COUNTED_TO. Equalities (state, reason,
priority, class, namespace) have an index in that order whatever their combination. Each label, an
error group and the beginning of a name have one of their own, which no other filter is in: a list
of several reads the way that has the fewest jobs and looks each of them up for the others. Where
every way is long and few jobs have all that is asked for, it says how far it has looked, and the
next page goes on from there: it leaves out nothing.

Statements are kept for each shape of a filter: what is asked for, without the values.
"""

import functools
import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from bgjobs.dashboard import sql
from bgjobs.dashboard.filters import Cursor, Filter
from bgjobs.dashboard.sql import Rows
from bgjobs.dashboard.states import STATES
from bgjobs.dashboard.words import COUNTED_TO
from bgjobs.domain.resource import Priority, Reason
from bgjobs.mirror.schema import ATTEMPTS, JOB_DETAILS, JOB_LABELS, JOBS

PAGE_ROWS = 25

_LOOKED_AT = (250, 2_500, 12_500)
"""Entries of a way, at most: few suffice nearly always, and the last take a tenth of a second."""
_SORTED = 1_000_000
"""Entries that are all read in the end where they are only to be put in order."""

_J = JOBS.c
_Conditions = Sequence[sa.ColumnElement[bool]]


class Page(NamedTuple):
    """Jobs of a list, newest first."""

    rows: Rows
    older: Cursor | None
    """Where the next page begins, if there may be one."""
    searched_to: datetime | None
    """How far back it looked, where it stopped before the page was full."""


class Counts(NamedTuple):
    """How many jobs there are of each phase and reason."""

    by_pair: Mapping[tuple[str, str], int]
    is_exact: bool
    """Else there are at least so many."""


class _Way(NamedTuple):
    """The jobs that some of the filters hold for, by an index, and what is left to check."""

    table: sa.FromClause
    stretches: Sequence[_Conditions]
    """Of the index; each is in the list's order."""
    checks: _Conditions = ()
    is_in_order: bool = True
    """Else its only stretch is not in the list's order, and is read as a whole or not at all."""

    @property
    def order(self) -> list[sa.UnaryExpression[Any]]:
        return [self.table.c.created_at.desc(), self.table.c.uid.desc()]


def page(connection: sa.Connection, wanted: Filter, now: datetime) -> Page:
    """The jobs after `wanted.before`."""
    shape = _shape(wanted)
    for most in _LOOKED_AT:
        way, end = _shortest_way(connection, wanted, now, most)
        query = sql.text(connection.dialect, _page_query, shape, way, end is not None)
        rows = sql.rows_of(connection, query, _values(wanted, now, end))
        if len(rows) > PAGE_ROWS:
            last = rows[PAGE_ROWS - 1]
            return Page(rows[:PAGE_ROWS], Cursor(last["created_at"], last["uid"]), None)
        if end is None:
            break
    return Page(rows, end, end and end.created_at)


def _page_query(shape: Filter, way: int, is_part: bool) -> sa.Select[Any]:
    keys = _keys(shape, way, is_part, PAGE_ROWS + 1).subquery()
    return (
        sa.select(JOBS, JOB_DETAILS.c.result)
        .join(keys, keys.c.uid == _J.uid)
        .outerjoin(JOB_DETAILS, JOB_DETAILS.c.uid == _J.uid)
        .order_by(_J.created_at.desc(), _J.uid.desc())
    )


def counts(connection: sa.Connection, wanted: Filter, now: datetime) -> Counts:
    """Of all pages, whatever state is asked for."""
    wanted = msgspec.structs.replace(wanted, state=None, reason=None, before=None)
    end, shape, dialect = None, _shape(wanted), connection.dialect
    if _is_search(wanted):
        for most in _LOOKED_AT[:2]:
            way, end = _shortest_way(connection, wanted, now, most)
            if end is None:
                break
        query = sql.text(dialect, _searched_counts_query, shape, way, end is not None)
    else:
        query = sql.text(dialect, _counts_query, shape)
    rows = connection.execute(query, _values(wanted, now, end))
    return Counts({(row.phase, row.reason): row[2] for row in rows if row[2]}, end is None)


def _searched_counts_query(shape: Filter, way: int, is_part: bool) -> sa.Select[Any]:
    keys = _keys(shape, way, is_part).subquery()
    return (
        # Or the optimizer may begin with all the jobs of a class.
        sa.select(_J.phase, _J.reason, sa.func.count())
        .select_from(keys.join(JOBS, keys.c.uid == _J.uid))
        .group_by(_J.phase, _J.reason)
        .prefix_with("STRAIGHT_JOIN", dialect="mysql")
        .prefix_with("STRAIGHT_JOIN", dialect="mariadb")
    )


def _counts_query(shape: Filter) -> sa.Select[Any]:
    pairs = [pair for state in STATES.values() for pair in state.pairs]
    each = sa.union_all(*(_count(shape, *pair) for pair in pairs)).subquery()
    return sa.select(each)


def _count(shape: Filter, phase: str, reason: Reason) -> sa.Select[Any]:
    # Each priority, so that the index's next column, the time, bounds what is counted.
    some = (
        sa.select(sql.fixed(1))
        .where(
            _J.phase == sql.fixed(phase),
            _J.reason == sql.fixed(reason),
            _J.priority.in_(sql.one_of(_priorities(shape))),
            *_same(JOBS, shape),
            *_window(JOBS, shape),
        )
        .limit(sql.fixed(COUNTED_TO + 1))
        .subquery()
    )
    return sa.select(
        sql.fixed(str(phase)).label("phase"),
        sql.fixed(str(reason)).label("reason"),
        sa.select(sa.func.count()).select_from(some).scalar_subquery().label("count"),
    )


# How a list's jobs are found.


def _is_search(wanted: Filter) -> bool:
    """Whether there is a filter that the indexes of equalities do not have."""
    return bool(wanted.labels or wanted.error or wanted.name)


def _shape(wanted: Filter) -> Filter:
    """The filter without what _values has of it."""
    return msgspec.structs.replace(
        wanted,
        class_=wanted.class_ and "",
        namespace=wanted.namespace and "",
        name=wanted.name and "",
        labels=(("", ""),) * len(wanted.labels),
        error=wanted.error and "",
        created=wanted.created and "",
        until=wanted.until and datetime.min,
        before=wanted.before and _NOWHERE,
    )


_NOWHERE = Cursor(datetime.min, "")


def _values(wanted: Filter, now: datetime, end: Cursor | None) -> dict[str, Any]:
    """Of the parameters of a statement for a filter of this shape."""
    before, name = wanted.before or _NOWHERE, wanted.name or ""
    labels = {
        f"{what}_{number}": text
        for number, label in enumerate(wanted.labels)
        for what, text in zip(("label", "value"), label, strict=True)
    }
    return {
        "class": wanted.class_,
        "namespace": wanted.namespace,
        "error": wanted.error,
        "since": wanted.since(now),
        "until": wanted.until,
        "name": name,
        "name_end": name + "\U0010ffff",
        "name_length": len(name),
        **labels,
        "before_at": before.created_at,
        "before_uid": before.uid,
        "end_at": end and end.created_at,
        "end_uid": end and end.uid,
    }


def _given(name: str, type_: type[sa.types.TypeEngine[Any]] | None = None) -> sa.BindParameter[Any]:
    """A value of `_values`."""
    return sa.bindparam(name, None, type_)


def _shortest_way(
    connection: sa.Connection, wanted: Filter, now: datetime, most: int
) -> tuple[int, Cursor | None]:
    """The way to read, and how far for so many of its entries; None: all of it is no more.

    Of ways that are longer, the one whose entries reach the furthest back.
    """
    if not _is_search(wanted):
        return 0, None
    shape, found = _shape(wanted), []
    values = _values(wanted, now, None)
    for number, (is_in_order, has_checks) in enumerate(_traits(shape)):
        is_all_sorted = not (is_in_order or has_checks) and most == _LOOKED_AT[-1]
        entries = _SORTED if is_all_sorted else most
        query = sql.text(connection.dialect, _end_query, shape, number, entries)
        end = max((Cursor(*row) for row in connection.execute(query, values)), default=None)
        if end is None:
            return number, None
        if is_in_order:
            found.append((end, number))
    end, number = min(found)
    return number, end


def _end_query(shape: Filter, number: int, most: int) -> sa.Select[Any]:
    """Where so many first entries of each stretch of a way end; nothing if there are no more."""
    way = _ways(shape)[number]
    query = _select(way, way.table.c.created_at, way.table.c.uid)
    if not way.is_in_order:
        [stretch] = way.stretches
        return query.where(*stretch).limit(1).offset(most)
    window, each = _window(way.table, shape), most // len(way.stretches)
    return sql.merged(
        [
            query.where(*stretch, *window).order_by(*way.order).limit(1).offset(each)
            for stretch in way.stretches
        ]
    )


def _keys(shape: Filter, number: int, is_part: bool, rows: int | None = None) -> sa.Select[Any]:
    """The uids of the first jobs of a way that have all that is wanted, in the list's order."""
    way = _ways(shape)[number]
    columns = way.table.c
    query = _select(way, columns.created_at, columns.uid)
    if way.table is ATTEMPTS:
        query = query.group_by(columns.created_at, columns.uid)  # a job may have failed twice
    within = [*_window(way.table, shape), *(_down_to_end(way.table) if is_part else ())]
    parts = [query.where(*stretch, *within, *way.checks) for stretch in way.stretches]
    if rows is None:
        return sql.merged(parts)
    parts = [part.order_by(*way.order).limit(rows) for part in parts]
    merged = sql.merged(parts)
    if len(parts) > 1:
        inner = merged.selected_columns
        merged = merged.order_by(inner.created_at.desc(), inner.uid.desc()).limit(rows)
    return merged


def _select(way: _Way, *columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    query = sa.select(*columns)
    if way.is_in_order:
        return query
    # Or the optimizer may read all jobs in the list's order and check their names.
    hint = "FORCE INDEX (jobs_by_name)"
    return query.with_hint(way.table, hint, "mysql").with_hint(way.table, hint, "mariadb")


@functools.lru_cache(maxsize=100)
def _ways(shape: Filter) -> Sequence[_Way]:
    """One for each filter that has an index of its own, then that by the equalities."""
    return [*_searches(shape), _by_equality(shape)]


@functools.lru_cache(maxsize=1_000)
def _traits(shape: Filter) -> Sequence[tuple[bool, bool]]:
    """Of each way, whether it is in order and whether there is something to check."""
    return [(way.is_in_order, bool(way.checks)) for way in _ways(shape)]


def _by_equality(shape: Filter) -> _Way:
    same = _same(JOBS, shape)
    checks = [*_label_checks(JOBS, range(len(shape.labels))), *_error_check(JOBS, shape)]
    if shape.name is not None:
        # Not so that an index could serve it: the optimizer would take that of names.
        length = _given("name_length", sa.Integer)
        checks.append(sa.func.substr(_J.name, 1, length) == _given("name"))
    stretches = [(*conditions, *same) for conditions in _combinations(shape)]
    return _Way(JOBS, stretches, checks)


def _searches(shape: Filter) -> Iterator[_Way]:
    labels = range(len(shape.labels))
    for number in labels:
        table = JOB_LABELS
        checks = (
            *_job_check(table, shape),
            *_label_checks(table, [other for other in labels if other != number]),
            *_error_check(table, shape),
        )
        yield _Way(table, [_has_label(table, number)], checks)
    if shape.error is not None:
        checks = (*_job_check(ATTEMPTS, shape), *_label_checks(ATTEMPTS, labels))
        yield _Way(ATTEMPTS, [[ATTEMPTS.c.error_group == _given("error")]], checks)
    if shape.name is not None:
        checks = (
            *_same(JOBS, shape),
            *_of_state(JOBS, shape),
            *_label_checks(JOBS, labels),
            *_error_check(JOBS, shape),
        )
        yield _Way(JOBS, [_begins_with_name(JOBS)], checks, is_in_order=False)


# What is checked of an entry of a way. Each is a scalar subquery by its table's key, which an
# optimizer does not turn round to begin with.


_ITS_JOB, _ITS_LABEL, _ITS_ATTEMPT = (
    table.alias(f"its_{name}")
    for table, name in ((JOBS, "job"), (JOB_LABELS, "label"), (ATTEMPTS, "attempt"))
)


def _job_check(table: sa.FromClause, shape: Filter) -> _Conditions:
    conditions = [*_same(_ITS_JOB, shape), *_of_state(_ITS_JOB, shape)]
    if shape.name is not None:
        conditions += _begins_with_name(_ITS_JOB)
    return [_has(_ITS_JOB, table, *conditions)] if conditions else []


def _label_checks(table: sa.FromClause, numbers: Sequence[int]) -> _Conditions:
    return [_has(_ITS_LABEL, table, *_has_label(_ITS_LABEL, number)) for number in numbers]


def _error_check(table: sa.FromClause, shape: Filter) -> _Conditions:
    if shape.error is None:
        return []
    # A job may have failed so more than once.
    return [_has(_ITS_ATTEMPT, table, _ITS_ATTEMPT.c.error_group == _given("error"), most=1)]


def _has(
    its: sa.FromClause,
    table: sa.FromClause,
    *conditions: sa.ColumnElement[bool],
    most: int | None = None,
) -> sa.ColumnElement[bool]:
    query = sa.select(sql.fixed(1)).where(its.c.uid == table.c.uid, *conditions)
    if most is not None:
        query = query.limit(sql.fixed(most))
    return query.scalar_subquery() == sql.fixed(1)


def _has_label(table: sa.FromClause, number: int) -> _Conditions:
    return [
        table.c.name == _given(f"label_{number}"),
        table.c.value == _given(f"value_{number}"),
    ]


def _begins_with_name(table: sa.FromClause) -> _Conditions:
    return [table.c.name >= _given("name"), table.c.name < _given("name_end")]


def _same(table: sa.FromClause, shape: Filter) -> _Conditions:
    pairs = (("class", shape.class_), ("namespace", shape.namespace))
    return [table.c[name] == _given(name) for name, value in pairs if value is not None]


def _of_state(table: sa.FromClause, shape: Filter) -> _Conditions:
    conditions = []
    if shape.priority:
        conditions.append(table.c.priority == sql.fixed(shape.priority))
    if shape.state or shape.reason:
        conditions += sql.of_pairs(table, _pairs(shape))
    return conditions


def _combinations(shape: Filter) -> Iterator[_Conditions]:
    """Equalities that lead to one stretch of an index each, and together to what is wanted."""
    if shape.state is None and shape.reason is None:
        if (shape.class_, shape.namespace, shape.priority) != (None, None, None):
            yield from ((_J.priority == sql.fixed(each),) for each in _priorities(shape))
        else:
            yield ()
        return
    pairs = _pairs(shape)
    for (phase, reason), priority in itertools.product(pairs, _priorities(shape)):
        yield (
            _J.phase == sql.fixed(phase),
            _J.reason == sql.fixed(reason),
            _J.priority == sql.fixed(priority),
        )


def _pairs(shape: Filter) -> list[tuple[str, Reason]]:
    states = [STATES[shape.state]] if shape.state else STATES.values()
    pairs = (pair for state in states for pair in state.pairs)
    return [pair for pair in pairs if shape.reason in (None, pair[1])]


def _priorities(shape: Filter) -> list[int]:
    return [shape.priority] if shape.priority else [int(each) for each in Priority]


def _window(table: sa.FromClause, shape: Filter) -> _Conditions:
    """The time, and beyond the last row of the page before, in the form that an index serves."""
    created_at, uid = table.c.created_at, table.c.uid
    conditions = []
    if shape.created is not None:
        conditions.append(created_at >= _given("since"))
    if shape.until is not None:
        conditions.append(created_at < _given("until"))
    if shape.before is not None:
        at = _given("before_at", sa.DateTime)
        conditions.append(created_at <= at)
        conditions.append(sa.or_(created_at < at, uid < _given("before_uid")))
    return conditions


def _down_to_end(table: sa.FromClause) -> _Conditions:
    created_at, uid = table.c.created_at, table.c.uid
    at = _given("end_at", sa.DateTime)
    return [created_at >= at, sa.or_(created_at > at, uid >= _given("end_uid"))]


# What there is to choose from, and to show beside.


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
