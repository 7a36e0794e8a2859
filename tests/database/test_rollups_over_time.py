"""Charts read a row a step: the database adds up the buckets, of which there may be very many."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bgjobs.dashboard import queries, sql, statistics
from bgjobs.dashboard.pages.analytics import of_classes, over_time
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.rollups import add_up_hours
from bgjobs.mirror.schema import ERROR_ROLLUPS, ROLLUPS

_NOW = datetime(2030, 1, 31, 12, 7)
_BUCKETS = [datetime(2030, 1, 31, 12, 5) - timedelta(minutes=5) * number for number in range(600)]
_SHAPE = statistics.span(_NOW, timedelta(days=1))
_CLASSES = [f"shop.jobs.Class{number}" for number in range(5)]
_GROUPS = ["0123456789ab", "ba9876543210"]
_ONE_EACH = {column.name: 1 for column in ROLLUPS.columns}


@pytest.fixture
def engine(empty: sa.Engine) -> sa.Engine:
    """An attempt of each class in every bucket of two days, and a failure of each group."""
    upgrade(empty)
    some = [
        {**_ONE_EACH, "bucket_at": at, "class": name, "priority": 2}
        for at in _BUCKETS
        for name in _CLASSES
    ]
    errors = [
        {"bucket_at": at, "class": name, "error_group": group, "attempts": 2, "failed": 1}
        for at in _BUCKETS
        for name in _CLASSES[:2]
        for group in _GROUPS
    ]
    with empty.begin() as connection:
        connection.execute(sa.insert(ROLLUPS), some)
        connection.execute(sa.insert(ERROR_ROLLUPS), errors)
    return empty


def _buckets_of_steps() -> Counter[datetime]:
    begin, step = _SHAPE.begin, _SHAPE.step
    return Counter(begin + (at - begin) // step * step for at in _BUCKETS if at >= begin)


def test_a_step_is_the_sum_of_its_buckets(engine: sa.Engine) -> None:
    assert max(_buckets_of_steps().values()) > 1
    with engine.connect() as connection:
        rows = over_time(connection, _SHAPE, _CLASSES[0], priority=2)
        none = over_time(connection, _SHAPE, _CLASSES[0], priority=1)
    assert {row["bucket_at"]: row["attempts"] for row in rows} == _buckets_of_steps()
    assert {row["peak_memory_bytes"] for row in rows} == {1}
    assert none == []


@pytest.mark.parametrize("days", [1, 7])
def test_a_long_period_is_read_from_hours_and_is_the_same(engine: sa.Engine, days: int) -> None:
    shape = statistics.span(_NOW, timedelta(days=days))
    assert statistics.has_hours(shape.begin, shape.end) is (days == 7)
    with engine.begin() as connection:
        if days == 7:
            assert of_classes(connection, shape, priority=None) == []
            add_up_hours(connection, {at.replace(minute=0) for at in _BUCKETS})
        [first, *_] = classes = of_classes(connection, shape, priority=None)
    within = sum(at >= shape.begin for at in _BUCKETS)
    assert len(classes) == len(_CLASSES)
    assert first.row["attempts"] == within


def test_a_step_of_errors_is_the_sum_of_its_buckets(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        steps = queries.error_steps(connection, [*_GROUPS, "none"], _SHAPE.begin, _SHAPE.step)
    assert steps.keys() == {*_GROUPS, "none"}
    want = {at: (4 * count, 2 * count) for at, count in _buckets_of_steps().items()}
    for group in _GROUPS:
        got = {row["bucket_at"]: (row["attempts"], row["failed"]) for row in steps[group]}
        assert got == want


def test_analytics_read_a_row_for_each_class_and_step(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[sql.Row] = []
    rows_of = sql.rows_of

    def noted(*query: Any) -> sql.Rows:
        rows = rows_of(*query)
        read.extend(rows)
        return rows

    monkeypatch.setattr(sql, "rows_of", noted)
    with engine.connect() as connection:
        classes = of_classes(connection, _SHAPE, None)
    assert [each.name for each in classes] == _CLASSES
    a_class = _SHAPE.steps * len(["bucket_at", "class", "step", "attempts"]) + 2 * len(_ONE_EACH)
    assert sum(map(len, read)) <= len(_CLASSES) * a_class
