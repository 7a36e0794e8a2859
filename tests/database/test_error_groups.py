"""Error groups are counted and described for what was asked for, and no more of them are read."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from bgjobs.dashboard import queries, sql
from bgjobs.dashboard.error_groups import error_groups
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.rollups import bucket_of, refresh
from bgjobs.mirror.schema import ATTEMPTS, JOBS, STALE_BUCKETS

_NOW = datetime(2030, 1, 31, 12, 7)
_DAY, _HOUR = timedelta(days=1), timedelta(hours=1)
_SHARED, _OTHER = "0123456789ab", "ba9876543210"


@pytest.fixture
def engine(empty: sa.Engine) -> sa.Engine:
    """An error that jobs of two classes have, and one of Mail alone."""
    upgrade(empty)
    _fail(empty, "shop.Mail", _SHARED, 30 * _HOUR, 1 * _HOUR)
    _fail(empty, "shop.Sync", _SHARED, 5 * _HOUR, 3 * _HOUR)
    _fail(empty, "shop.Mail", _OTHER, 2 * _HOUR)
    with empty.begin() as connection:
        refresh(connection, 100)
    return empty


def _fail(engine: sa.Engine, class_: str, group: str, *ago: timedelta) -> None:
    """An attempt of a job of its own at each time."""
    for each in ago:
        at = _NOW - each
        uid = f"{class_}-{group}-{at:%d%H}"
        both: dict[str, Any] = {
            "uid": uid,
            "run": 1,
            "class": class_,
            "priority": 2,
            "reason": "Error",
            "message": "",
            "created_at": at,
            "resource_version": "1",
            "error_group": group,
        }
        job = {
            "namespace": "shop",
            "name": uid,
            "method": "handle",
            "delay_seconds": 0,
            "retries": 0,
            "phase": "Failed",
            "attempts_total": 1,
        }
        attempt = {"attempt": 1, "job_name": "x", "outcome": "Failed", "finished_at": at}
        with engine.begin() as connection:
            connection.execute(sa.insert(JOBS).values(**both, **job))
            connection.execute(sa.insert(ATTEMPTS).values(**both, **attempt, ended_as="Failed"))
            connection.execute(sa.insert(STALE_BUCKETS).values(bucket_at=bucket_of(at)))


def test_the_groups_of_a_class_tell_of_no_other_class(engine: sa.Engine) -> None:
    with engine.connect() as connection:
        [sync] = error_groups(connection, _NOW, _DAY, "shop.Sync")
        every = {group.row["error_group"]: group for group in error_groups(connection, _NOW, _DAY)}
    assert sync.row["attempts"] == 2
    assert sync.latest["class"] == "shop.Sync"
    assert sync.first_seen == _NOW - 5 * _HOUR
    assert sync.is_new
    assert len([mark for mark in sync.spark.marks if mark.attributes["class"] == "m f-failed"]) == 2
    assert every[_SHARED].row["attempts"] == 3
    assert every[_SHARED].latest["class"] == "shop.Mail"
    assert every[_SHARED].first_seen == _NOW - 30 * _HOUR
    assert not every[_SHARED].is_new


def test_no_more_groups_are_read_than_are_shown(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    described: list[str] = []
    latest_of_group = queries.latest_of_group

    def noted(connection: sa.Connection, group: str, *others: Any) -> sql.Row | None:
        described.append(group)
        return latest_of_group(connection, group, *others)

    monkeypatch.setattr(queries, "latest_of_group", noted)
    with engine.connect() as connection:
        [most] = error_groups(connection, _NOW, _DAY, rows=1)
    assert most.row["error_group"] == _SHARED
    assert described == [_SHARED]
