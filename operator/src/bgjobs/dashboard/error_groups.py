"""Failures by what was raised and where, as the pages list them."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import sqlalchemy as sa

from bgjobs.dashboard import charts, queries, statistics

_DAY = timedelta(days=1)


class Group(NamedTuple):
    row: Mapping[str, Any]
    latest: Mapping[str, Any]
    first_seen: datetime | None
    is_new: bool
    spark: charts.Chart


def error_groups(
    connection: sa.Connection,
    now: datetime,
    period: timedelta,
    class_: str | None = None,
    rows: int = queries.MAX_GROUPS,
) -> list[Group]:
    groups = queries.error_groups(connection, now - period, class_, rows)
    names = [row["error_group"] for row in groups]
    first = queries.first_seen(connection, names, class_)
    shape = statistics.span(now, period, 40)
    steps = queries.error_steps(connection, names, shape.begin, shape.step, class_)
    found = []
    for row in groups:
        name = row["error_group"]
        latest = queries.latest_of_group(connection, name, class_)
        if latest is None:
            continue
        values = shape.series(steps[name], statistics.total("attempts"))
        found.append(
            Group(
                row=row,
                latest=latest,
                first_seen=first.get(name),
                is_new=name in first and first[name] >= now - _DAY,
                spark=charts.spark(values, "failed", f"{row['attempts']} over time", bars=True),
            )
        )
    return found
