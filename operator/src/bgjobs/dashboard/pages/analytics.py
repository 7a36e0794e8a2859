"""What each class does over time, and how that differs from before."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import sqlalchemy as sa
from fastapi import APIRouter, Response

from bgjobs.dashboard import charts, queries, statistics, words
from bgjobs.dashboard.charts import Series
from bgjobs.dashboard.context import Visited
from bgjobs.dashboard.filters import PERIODS, Filter, utc_now
from bgjobs.dashboard.pages.choices import choice, period_of
from bgjobs.dashboard.sql import Rows
from bgjobs.domain.resource import Priority
from bgjobs.mirror.schema import RUN_STEPS, WAIT_STEPS

router = APIRouter()


class OfClass(NamedTuple):
    name: str
    row: Mapping[str, Any]
    before: Mapping[str, Any] | None
    percentiles: Mapping[str, float | None]
    percentiles_before: Mapping[str, float | None]
    spark: charts.Chart


@router.get("/analytics")
def analytics(visit: Visited) -> Response:
    asked = choice(visit.request, ("class", "priority", "period"))
    key, period = period_of(asked)
    priority = Filter.parse({"priority": asked.get("priority", "")}).priority
    shape = statistics.span(utc_now(), period)
    classes = of_classes(visit.connection, shape, priority)
    class_ = asked.get("class") or (classes[0].name if classes else None)
    chosen = next((each for each in classes if each.name == class_), None)
    return visit.page(
        "analytics.html",
        classes=classes,
        class_=class_,
        sums={
            name: sum(int(each.row[name]) for each in classes)
            for name in ("succeeded", "failed", "failed_attempts")
        },
        asked=asked.get("class", ""),
        panels=_panels(shape, over_time(visit.connection, shape, chosen.name, priority), chosen.row)
        if chosen
        else [],
        priority=priority and Priority(priority).word,
        period=key,
        periods=PERIODS,
        step=words.duration(shape.step.total_seconds()),
    )


def of_classes(
    connection: sa.Connection, shape: statistics.Span, priority: int | None
) -> list[OfClass]:
    """The busiest first."""
    sums, earlier = partial(queries.rollups, connection, priority=priority), shape.before
    rows = sums(shape.begin, shape.end, ["class"])
    before = {row["class"]: row for row in sums(earlier.begin, earlier.end, ["class"])}
    attempts = defaultdict(list)
    for row in sums(shape.begin, shape.end, ["class"], step=shape.step, figures=["attempts"]):
        attempts[row["class"]].append(row)
    found = []
    for row in sorted(rows, key=lambda row: -int(row["attempts"])):
        name, was = row["class"], before.get(row["class"])
        values = shape.series(attempts[name], statistics.total("attempts"))
        found.append(
            OfClass(
                name,
                row,
                was,
                statistics.percentiles(row),
                statistics.percentiles(was) if was else {},
                charts.spark(values, "running", "Attempts over time"),
            )
        )
    return found


def over_time(
    connection: sa.Connection, shape: statistics.Span, class_: str, priority: int | None
) -> Rows:
    """All figures of one class, of each step."""
    return queries.rollups(
        connection, shape.begin, shape.end, step=shape.step, class_=class_, priority=priority
    )


class _Panel(NamedTuple):
    """A chart, and what of the whole period its legend says of each series."""

    title: str
    chart: charts.Chart
    legend: Sequence[tuple[Series, str]]


def _panels(
    shape: statistics.Span, rows: Sequence[Mapping[str, Any]], whole: Mapping[str, Any]
) -> list[_Panel]:
    """`rows` are those of one class by time, `whole` is their sum."""
    total, p, highest = statistics.total, statistics.percentile_of, statistics.highest
    limit, peak = whole["memory_limit_bytes"], whole["peak_memory_bytes"]

    def series(name: str, style: str, kind: str, value: statistics.Value) -> Series:
        return Series(name, style, kind, shape.series(rows, value))

    def panel(
        title: str, label: str, *legend: tuple[Series, str], unit: str, limit: float | None = None
    ) -> _Panel:
        drawn = [each for each, _ in legend]
        chart = charts.over_time(
            shape.begin, shape.step, drawn, label, unit, width=400, height=150, limit=limit
        )
        return _Panel(title, chart, legend)

    def seconds(steps: Sequence[str], share: float) -> str:
        found = statistics.percentile(whole, steps, share)
        return "–" if found is None else words.duration(found)

    def halves(steps: Sequence[str]) -> list[tuple[Series, str]]:
        return [
            (series("p50", "running", "line", p(steps, 0.5)), seconds(steps, 0.5)),
            (series("p95", "scheduled", "line", p(steps, 0.95)), seconds(steps, 0.95)),
        ]

    failed_attempts, attempts = int(whole["failed_attempts"]), int(whole["attempts"])
    return [
        panel(
            "Throughput, jobs",
            "Jobs that ended, over time",
            (
                series("Succeeded", "succeeded", "area", total("succeeded")),
                f"{int(whole['succeeded']):,}",
            ),
            (series("Failed", "f-failed", "bar", total("failed")), f"{int(whole['failed']):,}"),
            unit="count",
        ),
        panel(
            "Failure rate of attempts",
            "Share of attempts that failed, over time",
            (
                series(
                    "Failed", "t-failed", "bar", statistics.ratio("failed_attempts", "attempts")
                ),
                words.share(failed_attempts, attempts),
            ),
            unit="share",
        ),
        panel(
            "Wait until it runs",
            "Wait, median and 95th percentile, over time",
            *halves(WAIT_STEPS),
            unit="seconds",
        ),
        panel(
            "Run time of an attempt",
            "Run time, median and 95th percentile, over time",
            *halves(RUN_STEPS),
            unit="seconds",
        ),
        panel(
            "Peak memory",
            "The highest peak of memory, over time, and the limit",
            (
                series("Highest", "running", "area", highest("peak_memory_bytes")),
                f"{words.size(peak)} of {words.size(limit)}"
                if peak and limit
                else words.size(peak or 0),
            ),
            unit="bytes",
            limit=limit,
        ),
        panel(
            "CPU of an attempt",
            "CPU seconds of an attempt on average, over time",
            (
                series("Average", "running", "line", statistics.ratio("cpu_seconds", "attempts")),
                words.duration((whole["cpu_seconds"] or 0) / (attempts or 1)),
            ),
            unit="seconds",
        ),
    ]
