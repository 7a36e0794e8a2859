"""python -m tests.bench.pages: the dashboard's queries over a long history, with 20 viewers.

Prints p50 and p99 and the slowest pages, writes .local/bench/, fails beyond the limits.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests import mariadb
from tests.bench.figures import (
    Figure,
    exit_code,
    figures_table,
    median,
    percentile,
    table,
    write,
)
from tests.bench.history import fill

from bgjobs.dashboard import lists, queries, statistics
from bgjobs.dashboard.error_groups import error_groups
from bgjobs.dashboard.filters import PERIODS, Cursor, Filter
from bgjobs.dashboard.pages.analytics import of_classes, over_time
from bgjobs.dashboard.states import STATES
from bgjobs.domain.resource import Priority
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import ATTEMPTS

_VIEWERS = 20
_LOOKS_AT_EACH = 4
_SECONDS_BETWEEN_LOOKS = 1.0
"""In which a viewer reads the page: twenty who never did would measure a queue."""
_SEED = 7
_MEMORY_BYTES = 2 * 1024**3
"""Of the database, as for ten million jobs."""
_SLOWEST_SHOWN = 10
_CLASS = "shop.jobs.Class0"
"""The busiest."""

Page = Callable[[sa.Connection], object]
Times = Mapping[str, Sequence[float]]
"""Milliseconds of each look at a page, by its name."""


def every_list(now: datetime, group: str) -> Mapping[str, Page]:
    """The list by every combination of its filters, by the address of each.

    A reason is offered with its state alone, and an end bounds what a page before bounds, too.
    """
    choices: dict[str, Sequence[Any]] = {
        "state": [*STATES],
        "priority": (1, 3),
        "class_": (_CLASS, "shop.jobs.Class49"),
        "namespace": ("team-0", "team-19"),
        "name": ("mail-1", "scan", "bill-77"),
        "labels": ((("team", "0"),), (("customer", "77"),), (("team", "4"), ("customer", "8"))),
        "error": (group,),
        "created": ("24h", "30d"),
        "before": (Cursor(now - timedelta(hours=20), "8"),),
    }
    rng = random.Random(_SEED)
    found = []
    for names in _combinations([*choices, "reason"]):
        chosen = {name: rng.choice(choices[name]) for name in names if name != "reason"}
        if "reason" in names:
            chosen["reason"] = str(rng.choice([*STATES[chosen["state"]].reasons]))
        found.append(Filter(**chosen))
    pages: dict[str, Page] = {
        f"/jobs{wanted.query(before=wanted.before)}": partial(_list, wanted=wanted, now=now)
        for wanted in found
    }
    pages["/jobs?columns=all"] = lambda c: lists.parameters(c, _list(c, Filter(), now))
    return pages


def _combinations(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for count in range(len(names) + 1):
        for chosen in itertools.combinations(names, count):
            if "reason" not in chosen or "state" in chosen:
                yield chosen


def _list(connection: sa.Connection, wanted: Filter, now: datetime) -> list[str]:
    rows = lists.page(connection, wanted, now).rows
    lists.counts(connection, wanted, now)
    lists.choices(connection)
    if wanted.error:
        queries.latest_of_group(connection, wanted.error)
    return [row["uid"] for row in rows]


def others(now: datetime, group: str, uid: str) -> Mapping[str, Page]:
    """`group` is of errors; `uid` is of a job that failed so."""
    day = PERIODS["24h"][0]
    pages: dict[str, Page] = {
        "/": partial(_overview, now=now),
        f"/jobs/{uid}": lambda c: (
            queries.job(c, uid),
            queries.labels(c, uid),
            queries.attempts(c, uid),
            queries.actions(c, uid),
            queries.log_tail(c, uid, 1, 1),
            queries.error_steps(c, [group], now - day, day),
        ),
        f"/errors/{group}": lambda c: (
            queries.latest_of_group(c, group),
            queries.error_steps(c, [group], now - day, timedelta(minutes=25)),
            lists.page(c, Filter(error=group), now),
            lists.page(c, Filter(error=group, state="Failed"), now),
            queries.first_seen(c, [group]),
            queries.group_classes(c, group, now - PERIODS["30d"][0]),
            queries.log_tail(c, uid, 1, 1),
        ),
    }
    for key, (period, _) in PERIODS.items():
        of_period = partial(error_groups, now=now, period=period)
        pages[f"/errors?period={key}"] = of_period
        pages[f"/errors?period={key}&class={_CLASS}"] = partial(of_period, class_=_CLASS)
        shape = statistics.span(now, period)
        for priority in (None, Priority.HIGH):
            query = f"?period={key}" + (f"&priority={priority.word}" if priority else "")
            pages[f"/analytics{query}"] = partial(_analytics, shape=shape, priority=priority)
    return pages


def _overview(connection: sa.Connection, now: datetime) -> None:
    day = statistics.span(now, PERIODS["24h"][0])
    queries.active(connection)
    queries.rollups(connection, day.begin, day.end, step=day.step)
    queries.rollups(connection, now - PERIODS["1h"][0], day.end, by=["priority"])
    queries.slots(connection)
    error_groups(connection, now, PERIODS["24h"][0], rows=5)
    for state, rows in (("Queued", 5), ("Held", 5), ("Starting", 25)):
        queries.waiting(connection, [state], rows)


def _analytics(
    connection: sa.Connection, shape: statistics.Span, priority: Priority | None
) -> None:
    of_classes(connection, shape, priority)
    over_time(connection, shape, _CLASS, priority)


def measure(engine: sa.Engine) -> Times:
    """Of every page once alone, then by viewers who look once a second."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.connect() as connection:
        columns = ATTEMPTS.c
        query = sa.select(columns.error_group, columns.uid).limit(1)
        group, uid = connection.execute(query.where(columns.error_group.is_not(None))).one()
    pages = {**every_list(now, group), **others(now, group, uid)}
    taken: dict[str, list[float]] = {name: [] for name in pages}

    def look(connection: sa.Connection, name: str) -> None:
        start = time.monotonic()
        pages[name](connection)
        taken[name].append((time.monotonic() - start) * 1000)
        connection.rollback()

    def view(names: Sequence[str]) -> None:
        with engine.connect() as connection:
            for name in names:
                look(connection, name)
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    with engine.connect() as connection:
        for name in pages:
            look(connection, name)
    looks = [*pages] * _LOOKS_AT_EACH
    random.Random(_SEED).shuffle(looks)
    with ThreadPoolExecutor(_VIEWERS) as viewers:
        [*viewers.map(view, (looks[number::_VIEWERS] for number in range(_VIEWERS)))]
    return taken


def figures(times: Times, jobs: int) -> list[Figure]:
    every = [milliseconds for looks in times.values() for milliseconds in looks]
    name, slowest = max(times.items(), key=lambda each: median(each[1]))
    return [
        Figure(f"{len(times)} pages of {jobs} jobs p50, ms", median(every)),
        Figure(
            f"{len(times)} pages of {jobs} jobs p99, ms", percentile(every, 99), aim=50, limit=500
        ),
        Figure(f"the slowest page p50, ms: {name}", median(slowest), aim=50, limit=1000),
    ]


def slowest_table(times: Times) -> str:
    slowest = sorted(times.items(), key=lambda each: -median(each[1]))[:_SLOWEST_SHOWN]
    rows = [(name, f"{median(t):.0f}", f"{percentile(t, 99):.0f}") for name, t in slowest]
    return table(("the slowest pages", "p50, ms", "p99, ms"), rows)


@contextmanager
def history(jobs: int, url: str | None) -> Iterator[sa.Engine]:
    """A mirror with so many jobs; of the URL, one that is filled already."""
    if url:
        engine = sa.create_engine(url, pool_size=_VIEWERS)
        yield engine
        engine.dispose()
        return
    with (
        tempfile.TemporaryDirectory(prefix="bgjobs-pages-") as directory,
        mariadb.running(Path(directory)) as server,
    ):
        server.execute(f"SET GLOBAL innodb_buffer_pool_size = {_MEMORY_BYTES}")
        engine = sa.create_engine(mariadb.fresh_database(server.port), pool_size=_VIEWERS)
        upgrade(engine)
        began = time.monotonic()
        fill(engine, jobs)
        print(f"{jobs} jobs made up in {time.monotonic() - began:.0f} s", flush=True)
        yield engine
        engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="that the mirror has")
    parser.add_argument("--url", help="of a database that tests.bench.history has filled so")
    options = parser.parse_args()
    began = datetime.now(UTC)
    with history(options.jobs, options.url) as engine:
        times = measure(engine)
    found = figures(times, options.jobs)
    print(f"\n{figures_table(found)}\n\n{slowest_table(times)}")
    write("pages", began, found, {"jobs": options.jobs, "milliseconds": times})
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
