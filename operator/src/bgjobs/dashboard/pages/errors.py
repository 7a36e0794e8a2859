"""The error groups, and one of them."""

from datetime import timedelta
from http import HTTPStatus

from fastapi import APIRouter, HTTPException, Response

from bgjobs.dashboard import charts, lists, queries, statistics, view
from bgjobs.dashboard.charts import Series
from bgjobs.dashboard.context import Visited
from bgjobs.dashboard.error_groups import error_groups
from bgjobs.dashboard.filters import PERIODS, Filter, FilterError, utc_now
from bgjobs.dashboard.pages.choices import choice, period_of

router = APIRouter()


_COUNTED = ("attempts", "failed")
_SHOWN = {"": "All", "still": "Still happening, 15 min", "new": "New in 24 hours"}
_STILL_HAPPENS = timedelta(minutes=15)


@router.get("/errors")
def errors(visit: Visited) -> Response:
    chosen = choice(visit.request, ("class", "period", "show"))
    key, period = period_of(chosen)
    show, now = chosen.get("show", ""), utc_now()
    if show not in _SHOWN:
        raise FilterError(f"{show!r} cannot be shown: use still or new.")
    found = error_groups(visit.connection, now, period, chosen.get("class"))
    since = now - _STILL_HAPPENS
    groups = {
        "": found,
        "still": [group for group in found if group.latest["finished_at"] >= since],
        "new": [group for group in found if group.is_new],
    }
    classes, _ = lists.choices(visit.connection)
    return visit.page(
        "errors.html",
        groups=groups[show],
        shown=_SHOWN,
        show=show,
        counts={name: len(those) for name, those in groups.items()},
        total=[sum(int(group.row[name]) for group in groups[show]) for name in _COUNTED],
        classes=classes,
        class_=chosen.get("class", ""),
        period=key,
        periods=PERIODS,
    )


@router.get("/errors/{group}")
def error(visit: Visited, group: str) -> Response:
    wanted = Filter.parse({"error": group})
    group = wanted.error or ""
    chosen = choice(visit.request, ("period",))
    key, period = period_of(chosen)
    now = utc_now()
    latest = queries.latest_of_group(visit.connection, group)
    if latest is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such error group here.")
    shape = statistics.span(now, period, 60)
    steps = queries.error_steps(visit.connection, [group], shape.begin, shape.step)[group]
    attempts = shape.series(steps, statistics.total("attempts"))
    failed = shape.series(steps, statistics.total("failed"))
    rows = lists.page(visit.connection, wanted, now).rows[:10]
    newest = lists.page(visit.connection, Filter(error=group, state="Failed"), now)
    may_be_retried = newest.older is not None or any(
        row["error_group"] == group and row["deleted_at"] is None for row in newest.rows
    )
    log = queries.log_tail(visit.connection, latest["uid"], latest["run"], latest["attempt"])
    return visit.page(
        "error.html",
        group=group,
        latest=latest,
        first_seen=queries.first_seen(visit.connection, [group]).get(group),
        classes=queries.group_classes(visit.connection, group, now - PERIODS["30d"][0]),
        sums=(int(sum(attempts)), int(sum(failed))),
        chart=charts.over_time(
            shape.begin,
            shape.step,
            [
                Series("Failed attempts", "t-failed", "bar", attempts),
                Series("Failed jobs", "f-failed", "bar", failed),
            ],
            "Failures of this group over time",
            width=560,
            height=150,
        ),
        lines=[view.line(row) for row in rows],
        wanted=wanted,
        period=key,
        periods=PERIODS,
        log=None if log is None else view.log_lines(log),
        may_be_retried=may_be_retried,
    )
