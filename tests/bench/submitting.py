"""python -m tests.bench.submitting: what a student waits for who hands in and watches the page.

While the API server answers, is silent, and is away. Prints p50 and p99, writes .local/bench/,
fails beyond the limits.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

import urllib3
from playwright.sync_api import expect
from tests import academics, browsing, mariadb, watching
from tests.bench.figures import Figure, exit_code, figures_table, median, percentile, write
from tests.bench.place import Place, place
from tests.proxying import Way, proxy
from tests.server import Jobs

from academic.web.context import COOKIE

_WARM_UP = 20
_WATCHED = 20

Times = Mapping[str, Sequence[float]]
"""Milliseconds, by what took them."""


def measure(here: Place, directory: Path, submissions: int) -> Times:
    port, way = here.database.url.port, Way()
    assert port is not None
    school = academics.school(mariadb.fresh_database(port))
    jobs = academics.deploy(here.server)
    pool, headers = urllib3.PoolManager(), academics.bearer(school, academics.STUDENT)
    states: Mapping[str, Callable[[], None]] = {
        "answers": way.open,
        "is silent": way.hang,
        "is away": way.close,
    }
    with (
        proxy(here.server, way.pass_on) as api_url,
        academics.serving(here.server, school, directory, api_url) as (url, _),
    ):

        def submit(what: str, number: int) -> str:
            key = f"{what.replace(' ', '-')}-{number:05}"
            return str(academics.post(pool, url, school, headers, key)["id"])

        watched = (submit("watched", number) for number in range(_WATCHED))
        taken = {
            "an open page shows that a job is over after": _showing(url, headers, jobs, watched)
        }
        for state, begin in states.items():
            begin()
            milliseconds = []
            for number in range(_WARM_UP + submissions):
                start = time.monotonic()
                submit(state, number)
                milliseconds.append((time.monotonic() - start) * 1000)
            taken[f"submitting while the API server {state}"] = milliseconds[_WARM_UP:]
            print(f"{submissions} submissions while the API server {state}", flush=True)
        way.open()
    school.engine.dispose()
    return taken


def _showing(
    url: str, headers: Mapping[str, str], jobs: Jobs, submissions: Iterable[str]
) -> list[float]:
    """From when the API server says that a grading has succeeded until the page says so."""
    milliseconds = []
    session = headers["Authorization"].removeprefix("Bearer ")
    with browsing.browser() as browser, browsing.page_in(browser) as page:
        page.context.add_cookies([{"name": COOKIE, "value": session, "url": url}])
        grading = page.locator("#jobs li", has_text="Grade").locator(".st")
        for submission in submissions:
            page.goto(f"{url}/submissions/{submission}")
            watching.wait(jobs, f"grade-{submission}", watching.phase("Succeeded"))
            start = time.monotonic()
            expect(grading).to_have_text("Done", timeout=30_000)
            milliseconds.append((time.monotonic() - start) * 1000)
    print(f"{len(milliseconds)} pages watched", flush=True)
    return milliseconds


def figures(taken: Times) -> list[Figure]:
    limits = [2000, *[300] * (len(taken) - 1)]
    return [
        figure
        for (what, milliseconds), limit in zip(taken.items(), limits, strict=True)
        for figure in (
            Figure(f"{what} p50, ms", median(milliseconds)),
            Figure(f"{what} p99, ms", percentile(milliseconds, 99), aim=limit, limit=limit),
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
