"""python -m tests.bench.submitting: how long a student who hands in waits for the page.

While the API server answers, is silent, and is away. Prints p50 and p99, writes .local/bench/,
fails beyond the limit.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from tests import academics, mariadb
from tests.bench.figures import Figure, exit_code, figures_table, median, percentile, write
from tests.bench.place import Place, place
from tests.proxying import Way, proxy

_WARM_UP = 20


def measure(here: Place, directory: Path, submissions: int) -> Mapping[str, Sequence[float]]:
    """Milliseconds of each submission, by what the API server does meanwhile."""
    port, way = here.database.url.port, Way()
    assert port is not None
    school = academics.school(mariadb.fresh_database(port))
    academics.deploy(here.server)
    headers, pool = academics.bearer(school, academics.STUDENT), urllib3.PoolManager()
    states: Mapping[str, Callable[[], None]] = {
        "answers": way.open,
        "is silent": way.hang,
        "is away": way.close,
    }
    taken: dict[str, list[float]] = {}
    with (
        proxy(here.server, way.pass_on) as api_url,
        academics.serving(here.server, school, directory, api_url) as (url, _),
    ):
        for state, begin in states.items():
            begin()
            milliseconds = []
            for number in range(_WARM_UP + submissions):
                start = time.monotonic()
                key = f"{state.replace(' ', '-')}-{number:05}"
                academics.post(pool, url, school, headers, key)
                milliseconds.append((time.monotonic() - start) * 1000)
            taken[state] = milliseconds[_WARM_UP:]
            print(f"{submissions} submissions while the API server {state}", flush=True)
        way.open()
    school.engine.dispose()
    return taken


def figures(taken: Mapping[str, Sequence[float]]) -> list[Figure]:
    return [
        figure
        for state, milliseconds in taken.items()
        for figure in (
            Figure(f"submitting while the API server {state} p50, ms", median(milliseconds)),
            Figure(
                f"submitting while the API server {state} p99, ms",
                percentile(milliseconds, 99),
                aim=100,
                limit=300,
            ),
        )
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.submitting", description=__doc__)
    parser.add_argument("--submissions", type=int, default=200, help="in each state")
    options = parser.parse_args()
    began = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="bgjobs-submitting-") as name:
        directory = Path(name)
        with place(directory) as here:
            taken = measure(here, directory, options.submissions)
    found = figures(taken)
    print(f"\n{figures_table(found)}")
    write("submitting", began, found, {"milliseconds": taken})
    return exit_code(found)


if __name__ == "__main__":
    sys.exit(main())
