"""python -m tests.bench.pages: the dashboard's queries over a long history, with 20 viewers."""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests import mariadb
from tests.bench.figures import Figure, Verdict, figures_table, median, percentile
from tests.bench.history import fill

from bgjobs.dashboard import queries
from bgjobs.dashboard.filters import Cursor, Filter
from bgjobs.mirror.migrate import upgrade

_VIEWERS = 20
_LOOKS_EACH = 40
_SECONDS_BETWEEN_LOOKS = 1.0
"""In which a viewer reads the page: twenty who never did would measure a queue."""
_SEED = 7
_MEMORY_BYTES = 2 * 1024**3
"""Of the database, as for ten million jobs."""
_SLOWEST_SHOWN = 10

Page = Callable[[sa.Connection], object]


def lists(now: datetime, group: str) -> Mapping[str, Page]:
    """The list by every combination of its filters, by the address of each."""
    choices: dict[str, Sequence[Any]] = {
        "state": ("Failed", "Succeeded", "Queued"),
        "priority": (1, 3),
        "class_": ("shop.jobs.Class0", "shop.jobs.Class49"),
        "namespace": ("team-0", "team-19"),
        "name": ("mail-1", "bill"),
        "labels": ((("team", "0"),), (("customer", "77"),)),
        "error": (group,),
        "created": ("24h", "30d"),
        "before": (Cursor(now - timedelta(hours=20), "8"),),
    }
    pages: dict[str, Page] = {}
    rng = random.Random(_SEED)
    for count in range(len(choices) + 1):
        for names in itertools.combinations(choices, count):
            wanted = Filter(**{name: rng.choice(choices[name]) for name in names})
            key = "/".join(f"{name}={getattr(wanted, name)}" for name in names)
            pages[f"list {key}"] = lambda c, wanted=wanted: queries.page(c, wanted, now)  # type: ignore[misc]
    return pages


def others(now: datetime) -> Mapping[str, Page]:
    day_ago = now - timedelta(days=1)
    return {
        "counts": lambda c: queries.counts(c, Filter(), now),
        "active": queries.active,
        "queue": lambda c: queries.waiting(c, ["Queued"], 5),
        "errors": lambda c: queries.error_groups(c, day_ago),
        "analytics": lambda c: queries.rollups(c, day_ago, now, by=["class"]),
    }


def measure(url: str, jobs: int) -> dict[str, list[float]]:
    """Milliseconds of each page, with 20 viewers who look once a second, by its name."""
    engine = sa.create_engine(url, pool_size=_VIEWERS)
    upgrade(engine)
    began = time.monotonic()
    fill(engine, jobs)
    print(f"{jobs} jobs made up in {time.monotonic() - began:.0f} s", flush=True)
    now = datetime.now(UTC).replace(tzinfo=None)
    with engine.connect() as connection:
        [group] = connection.scalars(
            sa.text("SELECT error_group FROM attempts WHERE error_group IS NOT NULL LIMIT 1")
        )
    pages = {**lists(now, group), **others(now)}
    taken: dict[str, list[float]] = {name: [] for name in pages}

    def look(viewer: int) -> None:
        order = random.Random(viewer)
        with engine.connect() as connection:
            for _ in range(_LOOKS_EACH):
                name = order.choice([*pages])
                start = time.monotonic()
                pages[name](connection)
                taken[name].append((time.monotonic() - start) * 1000)
                connection.rollback()
                time.sleep(_SECONDS_BETWEEN_LOOKS)

    with engine.connect() as connection:
        for name, page in pages.items():
            start = time.monotonic()
            page(connection)
            taken[name].append((time.monotonic() - start) * 1000)
    with ThreadPoolExecutor(_VIEWERS) as viewers:
        [*viewers.map(look, range(_VIEWERS))]
    engine.dispose()
    return taken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.pages", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000, help="that the mirror has")
    jobs = parser.parse_args().jobs
    with (
        tempfile.TemporaryDirectory(prefix="bgjobs-pages-") as directory,
        mariadb.running(Path(directory)) as server,
    ):
        server.execute(f"SET GLOBAL innodb_buffer_pool_size = {_MEMORY_BYTES}")
        taken = measure(mariadb.fresh_database(server.port), jobs)
    every = [milliseconds for times in taken.values() for milliseconds in times]
    figures = [
        Figure(f"{len(taken)} pages of {jobs} jobs p50, ms", median(every)),
        Figure(f"{len(taken)} pages of {jobs} jobs p99, ms", percentile(every, 99), aim=50),
        *(
            Figure(f"the slowest: {name}, ms", max(times))
            for name, times in sorted(taken.items(), key=lambda each: -max(each[1]))[
                :_SLOWEST_SHOWN
            ]
        ),
    ]
    print(f"\n{figures_table(figures)}")
    return int(any(figure.verdict is Verdict.FAILED for figure in figures))


if __name__ == "__main__":
    sys.exit(main())
