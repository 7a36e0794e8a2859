"""python -m tests.bench: measures, prints tables, writes .local/bench/, fails beyond the limits."""

import argparse
import asyncio
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from tests import operating
from tests.bench import load, scenarios
from tests.bench.figures import exit_code, write
from tests.bench.place import INSTANT, Place, place
from tests.bench.report import Results, Sizes, as_json, ratio, summary, tables
from tests.bench.scenarios import Measured

from bgjobs_local.errors import LocalError

_WARM_UP_SHARE = 5
_MOST_IDLE_JOBS = 100

# The settings as shipped, but child Jobs go as soon as they may.
_EXPIRING_SOON = {"BGJOBS_CHILD_TTL_SECONDS_AFTER_SUCCESS": "60"}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="of one burst")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of bursts that count")
    parser.add_argument("--stored", type=int, default=10_000, help="waiting, then finished ones")
    sizes = Sizes(**vars(parser.parse_args()))
    began = datetime.now(UTC)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="bgjobs-bench-") as directory,
            place(Path(directory)) as here,
        ):
            results = asyncio.run(_measure(here, sizes))
    except LocalError as error:
        print(error, file=sys.stderr)
        return 2
    figures = summary(sizes, results)
    print(f"\n{tables(results, figures)}")
    write("jobs", began, figures, as_json(sizes, results))
    return exit_code(figures)


async def _measure(here: Place, sizes: Sizes) -> Results:
    began = time.monotonic()

    def tell(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    keep = min(scenarios.MOST_KEPT, sizes.jobs)
    async with load.connect(here.server) as client:
        tell("bursts that do not count")
        await _pair(here, client, 0, max(1, sizes.jobs // _WARM_UP_SHARE))
        pairs = []
        for number in range(1, sizes.rounds + 1):
            tell(f"round {number} of {sizes.rounds}: {sizes.jobs} BackgroundJobs and plain Jobs")
            left = keep if number == sizes.rounds else 0
            pairs.append(await _pair(here, client, number, sizes.jobs, left))
            tell(f"ratio {ratio(*pairs[-1]):.2f}")
        operating.kill(here.operator)
        operating.start(here.operator, **_EXPIRING_SOON)
        tell("single jobs on the idle cluster")
        singles = min(_MOST_IDLE_JOBS, sizes.jobs)
        to_child, _ = await scenarios.one_by_one(here, client, "idle", singles, INSTANT)
        tell("the deletion of child Jobs whose time is over")
        kept = scenarios.writes_of_kept_jobs(here, f"b{sizes.rounds}", keep)
        tell(f"urgent jobs alone, then behind {sizes.jobs} of Low priority")
        alone, behind = await scenarios.urgent(here, client, sizes.jobs)
        tell(f"{sizes.stored} BackgroundJobs that need nothing, and restarts")
        stored = await scenarios.stored(here, client, sizes.stored)
    return Results(
        plain=[plain for plain, _ in pairs],
        background=[background for _, background in pairs],
        seconds_to_child=to_child,
        seconds_alone=alone,
        seconds_behind=behind,
        writes_of_kept_jobs=kept,
        kept_jobs=keep,
        stored=stored,
    )


async def _pair(
    here: Place, client: load.Client, number: int, jobs: int, keep: int = 0
) -> tuple[Measured, Measured]:
    """A burst of plain Jobs and one of BackgroundJobs; which goes first takes turns."""
    plain_first = number % 2 == 0
    if plain_first:
        plain = await scenarios.burst_of_plain_jobs(here, client, f"p{number}", jobs)
    background = await scenarios.burst_of_background_jobs(here, client, f"b{number}", jobs, keep)
    if not plain_first:
        plain = await scenarios.burst_of_plain_jobs(here, client, f"p{number}", jobs)
    return plain, background


if __name__ == "__main__":
    sys.exit(main())
