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

from bgjobs.dashboard import queries
from bgjobs.dashboard.filters import PERIODS, Cursor, Filter
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

Page = Callable[[sa.Connection], object]
Times = Mapping[str, Sequence[float]]
"""Milliseconds of each look at a page, by its name."""


def lists(now: datetime, group: str) -> Mapping[str, Page]:
    """The list by every combination of its filters, by the address of each."""
    choices: dict[str, Sequence[Any]] = {
        "state": ("Failed", "Succeeded", "Queued"),
        "priority": (1, 3),
        "class_": ("shop.jobs.Class0", "shop.jobs.Class49"),
        "namespace": ("team-0", "team-19"),
        "name": ("mail-1", "scan", "bill-77"),
        "labels": ((("team", "0"),), (("customer", "77"),), (("team", "4"), ("customer", "8"))),
        "error": (group,),
        "created": ("24h", "30d"),
        "before": (Cursor(now - timedelta(hours=20), "8"),),
    }
    rng = random.Random(_SEED)
    found = [
        Filter(**{name: rng.choice(choices[name]) for name in names})
        for count in range(len(choices) + 1)
        for names in itertools.combinations(choices, count)
    ]
    return {
        f"/jobs{wanted.query(before=wanted.before)}": lambda c, wanted=wanted: (  # type: ignore[misc]
            queries.page(c, wanted, now),
            queries.counts(c, wanted, now),
            queries.choices(c),
        )
        for wanted in found
    }


def others(now: datetime) -> Mapping[str, Page]:
    day_ago = now - PERIODS["24h"][0]
    pages: dict[str, Page] = {
        "/ active": queries.active,
        "/ slots": queries.slots,
        "/ queue": lambda c: queries.waiting(c, ["Queued"], 5),
        "/ stuck": lambda c: queries.waiting(c, ["Starting"], 25),
        "/ chart": lambda c: queries.rollups(c, day_ago, now, by=["bucket_at"]),
    }
    for key, (period, _) in PERIODS.items():
        since = now - period
        pages[f"/errors?period={key}"] = lambda c, since=since: queries.error_groups(c, since)  # type: ignore[misc]
        pages[f"/analytics?period={key}"] = lambda c, since=since: queries.rollups(  # type: ignore[misc]
            c, since, now, by=["class"]
        )
    return pages


def measure(engine: sa.Engine) -> Times:
    """Of every page once alone, then by viewers who look once a second."""
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.connect() as connection:
        column = ATTEMPTS.c.error_group
        group = connection.scalar(sa.select(column).where(column.is_not(None)).limit(1))
    pages = {**lists(now, str(group)), **others(now)}
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
