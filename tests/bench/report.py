"""From what was measured to figures with their aims, tables and JSON."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.bench.figures import Figure, comparison, figures_table, median, percentile, spread
from tests.bench.scenarios import Measured, Stored

_EVENTS = "POST events"
_HINTS = "PATCH status Pending"
_LEAST_RATIO = 0.6
"""On two cores that do everything. A BackgroundJob is created and its end written beside its Job's:
13.3 writes to 11.2, and without any CPU of the operator's the cluster's own would make 0.79."""


@dataclass(frozen=True)
class Sizes:
    """How many jobs a burst has, how many pairs of bursts count, and how many are only stored."""

    jobs: int
    rounds: int
    stored: int


@dataclass(frozen=True)
class Results:
    """The bursts by round, and the seconds of single jobs."""

    plain: Sequence[Measured]
    background: Sequence[Measured]
    seconds_to_child: Sequence[float]
    seconds_alone: Sequence[float]
    seconds_behind: Sequence[float]
    writes_of_kept_jobs: Counter[str]
    kept_jobs: int
    stored: Stored


def summary(sizes: Sizes, results: Results) -> list[Figure]:
    """Figures with their aims; those with a limit decide whether the benchmark fails."""
    plain, background = results.plain, results.background
    ratios = [ratio(*pair) for pair in zip(plain, background, strict=True)]
    alone, behind = median(results.seconds_alone), results.seconds_behind
    lags = [lag for measured in background for lag in measured.mirror_lag_seconds]
    # Hints of why jobs wait come by the second, not by the job: more of them on a slower machine.
    in_burst = [round(_by_the_job(m.operators_writes) / sizes.jobs, 1) for m in background]
    in_all = round(_by_the_job(results.writes_of_kept_jobs) / results.kept_jobs, 1)
    to_child_ms = [seconds * 1000 for seconds in results.seconds_to_child]
    operator_ms = [_cpu_ms(measured)["operator"] for measured in background]
    stored = results.stored
    return [
        Figure(
            "BackgroundJobs' throughput / plain Jobs'",
            *(_ratio_of_all(plain, background), spread(ratios)),
            at_least=True,
            aim=1.0,
            limit=_LEAST_RATIO,
        ),
        *_burst_figures("plain Jobs", plain),
        *_burst_figures("BackgroundJobs", background),
        Figure(
            "operator's writes a job, in the burst", max(in_burst), spread(in_burst), aim=2, limit=2
        ),
        Figure("operator's writes a job, in all", in_all, aim=3, limit=3),
        Figure(
            f"urgent job behind {sizes.jobs} Low ones / alone",
            median(behind) / alone,
            (min(behind) / alone, max(behind) / alone),
            aim=1.5,
            limit=2.5,
        ),
        Figure("urgent job alone, s", alone, spread(results.seconds_alone)),
        Figure("idle: create to child Job p50, ms", median(to_child_ms), aim=15),
        Figure("idle: create to child Job p99, ms", percentile(to_child_ms, 99), aim=50),
        Figure("operator's CPU, ms a job", median(operator_ms), spread(operator_ms), aim=4),
        Figure(f"operator's RSS, {sizes.stored} active, MB", stored.active_rss_mb, aim=200),
        Figure(f"operator's RSS, {sizes.stored} finished, MB", stored.finished_rss_mb, aim=300),
        Figure(f"restart to ready, {sizes.stored} finished, s", stored.restart_seconds, aim=15),
        Figure("mirror's lag in the burst p99, s", percentile(lags, 99), aim=1),
        Figure("mirror catching up, jobs/s", stored.caught_up_jobs_per_second),
        Figure(
            "mirror catching up, rows/s",
            stored.caught_up_rows_per_second,
            at_least=True,
            aim=5000,
        ),
    ]


def ratio(plain: Measured, background: Measured) -> float:
    """Of the throughputs: 1 where BackgroundJobs take as long as plain Jobs."""
    return plain.burst.seconds / background.burst.seconds


def _ratio_of_all(plain: Sequence[Measured], background: Sequence[Measured]) -> float:
    """Of all rounds together: a machine that others share is quicker in one minute than in the
    next, by more than what is to be told apart."""
    seconds = [sum(measured.burst.seconds for measured in kind) for kind in (plain, background)]
    return seconds[0] / seconds[1]


def _burst_figures(what: str, bursts: Sequence[Measured]) -> list[Figure]:
    rates = [len(measured.burst.sent) / measured.burst.seconds for measured in bursts]
    each = [seconds for measured in bursts for seconds in measured.burst.each_seconds]
    return [
        Figure(f"{what}, jobs/s", median(rates), spread(rates)),
        Figure(f"{what}, create to complete p50, s", median(each)),
        Figure(f"{what}, create to complete p99, s", percentile(each, 99)),
    ]


def tables(results: Results, figures: Sequence[Figure]) -> str:
    plain, background = results.plain, results.background
    heads = ("plain Jobs", "BackgroundJobs")
    cpu = [_middle(plain, _cpu_ms), _middle(background, _cpu_ms)]
    writes = [_middle(plain, _writes), _middle(background, _writes)]
    operators = [_middle(background, _operators_writes)]
    return "\n\n".join(
        (
            figures_table(figures),
            comparison(("CPU, ms a job", *heads), cpu),
            comparison(("writes a job", *heads), writes),
            comparison(("the operator's", "BackgroundJobs"), operators),
        )
    )


def as_json(sizes: Sizes, results: Results) -> dict[str, Any]:
    return {
        "sizes": asdict(sizes),
        "rounds": [
            {"plainJobs": _as_json(plain), "backgroundJobs": _as_json(background)}
            for plain, background in zip(results.plain, results.background, strict=True)
        ],
        "secondsToChildJob": results.seconds_to_child,
        "secondsAlone": results.seconds_alone,
        "secondsBehind": results.seconds_behind,
    }


def _as_json(measured: Measured) -> dict[str, Any]:
    return {
        "seconds": measured.burst.seconds,
        "cpuMillisecondsPerJob": _cpu_ms(measured),
        "writesPerJob": _writes(measured),
        "operatorsWritesPerJob": _operators_writes(measured),
        "mirrorLagSeconds": measured.mirror_lag_seconds,
    }


def _cpu_ms(measured: Measured) -> dict[str, float]:
    return _per_job(measured, measured.cpu_seconds, 1000)


def _writes(measured: Measured) -> dict[str, float]:
    return _per_job(measured, measured.writes)


def _operators_writes(measured: Measured) -> dict[str, float]:
    return _per_job(measured, measured.operators_writes)


def _per_job(
    measured: Measured, totals: Mapping[str, float], factor: float = 1
) -> dict[str, float]:
    return {what: total * factor / len(measured.burst.sent) for what, total in totals.items()}


def _middle(
    bursts: Sequence[Measured], per_job: Callable[[Measured], Mapping[str, float]]
) -> dict[str, float]:
    """The median of the rounds."""
    rounds = [per_job(measured) for measured in bursts]
    return {key: median([each.get(key, 0) for each in rounds]) for key in set().union(*rounds)}


def _by_the_job(writes: Mapping[str, int]) -> int:
    return sum(count for what, count in writes.items() if not what.startswith((_EVENTS, _HINTS)))
