"""What is going on, what failed over a day, and what needs somebody."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, Response

from bgjobs.dashboard import charts, queries, statistics, view
from bgjobs.dashboard.charts import Series
from bgjobs.dashboard.context import Configured, Leadership, Visited
from bgjobs.dashboard.error_groups import error_groups
from bgjobs.dashboard.filters import utc_now
from bgjobs.dashboard.tiles import tiles
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.resource import Priority, Reason

router = APIRouter()

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)


@router.get("/")
def overview(lease: Leadership, found: Configured, visit: Visited) -> Response:
    now = utc_now()
    day = statistics.span(now, _DAY)
    active = queries.active(visit.connection)
    rows = queries.rollups(visit.connection, day.begin, day.end, step=day.step)
    hour = queries.rollups(visit.connection, now - _HOUR, day.end, by=["priority"])
    return visit.page(
        "overview.html",
        tiles=tiles(active),
        sums={
            name: int(sum(row[name] or 0 for row in rows))
            for name in ("succeeded", "failed", "cancelled", "failed_attempts")
        },
        finished=_finished_chart(day, rows),
        slots=queries.slots(visit.connection),
        limit=lease.report.max_concurrent if lease and lease.report else 0,
        paused=_paused(found),
        paused_jobs=sum(row["count"] for row in active if row["reason"] == Reason.PAUSED),
        percentiles=[(Priority(row["priority"]).word, statistics.percentiles(row)) for row in hour],
        groups=error_groups(visit.connection, now, _DAY, rows=5),
        queue=[*map(view.line, queries.waiting(visit.connection, ["Queued"], 5))],
        stuck=_stuck(visit.connection),
    )


def _stuck(connection: sa.Connection) -> list[view.Line]:
    """A few that are held, and that cannot start for a reason of their own."""
    held = [view.line(row) for row in queries.waiting(connection, ["Held"], 5)]
    starting = [view.line(row) for row in queries.waiting(connection, ["Starting"], 25)]
    return [*held, *[line for line in starting if line.note][:5]]


def _finished_chart(
    day: statistics.Span, rows: Sequence[Mapping[str, Any]]
) -> tuple[charts.Chart, charts.Chart]:
    total = statistics.total
    succeeded = Series("Succeeded", "succeeded", "area", day.series(rows, total("succeeded")))
    attempts = day.series(rows, total("failed_attempts"))
    failed = day.series(rows, total("failed"))
    return (
        charts.over_time(
            day.begin,
            day.step,
            [succeeded],
            "Jobs that succeeded, over 24 hours",
            height=150,
            style="chart wide",
            has_times=False,
        ),
        charts.over_time(
            day.begin,
            day.step,
            [
                Series("Failed attempts", "t-failed", "bar", attempts),
                Series("Failed jobs", "f-failed", "bar", failed),
            ],
            "Attempts and jobs that failed, over 24 hours",
            height=96,
            style="chart wide",
        ),
    )


def _paused(found: Configuration) -> list[tuple[str, str]]:
    """Which runtimes hold their jobs, and why."""
    runtimes = (found.runtimes or {}).items()
    reasons = ((key, runtime.settings.paused) for key, runtime in runtimes)
    return [(key, reason) for key, reason in reasons if reason]
