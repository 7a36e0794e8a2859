"""From bursts to ratios, shares and verdicts."""

from collections import Counter

import pytest
from tests.bench.figures import Figure, Verdict
from tests.bench.load import Burst
from tests.bench.report import Results, Sizes, as_json, summary, tables
from tests.bench.scenarios import Measured, Stored

_SIZES = Sizes(jobs=2, rounds=3, stored=10)
_TWO_A_JOB = {"POST jobs": 2, "PATCH status Succeeded": 2, "POST events Succeeded": 2}


def _burst(seconds: float, operators_writes: dict[str, int] | None = None) -> Measured:
    return Measured(
        burst=Burst(sent={"a": 10.0, "b": 11.0}, finished={"a": 10.5, "b": 10.0 + seconds}),
        cpu_seconds={"operator": 0.007},
        writes=Counter({"POST pods": 2}),
        operators_writes=Counter(operators_writes or {}),
        mirror_lag_seconds=[0.0, 0.2],
    )


def _results(
    plain_seconds: tuple[float, ...] = (10.0,),
    background_seconds: tuple[float, ...] = (10.0,),
    operators_writes: dict[str, int] = _TWO_A_JOB,
    writes_of_kept_jobs: dict[str, int] | None = None,
    seconds_behind: tuple[float, ...] = (1.0,),
) -> Results:
    return Results(
        plain=[_burst(seconds) for seconds in plain_seconds],
        background=[_burst(seconds, operators_writes) for seconds in background_seconds],
        seconds_to_child=[0.010, 0.012, 0.060],
        seconds_alone=[1.0, 1.0, 1.2],
        seconds_behind=seconds_behind,
        writes_of_kept_jobs=Counter(writes_of_kept_jobs or {"DELETE jobs": 1}),
        kept_jobs=1,
        stored=Stored(
            active_rss_mb=100,
            finished_rss_mb=120,
            restart_seconds=3,
            caught_up_jobs_per_second=2000,
            caught_up_rows_per_second=6000,
        ),
    )


def _figure(name: str, results: Results) -> Figure:
    [figure] = [each for each in summary(_SIZES, results) if name in each.name]
    return figure


def test_the_ratio_is_of_all_rounds_together() -> None:
    results = _results(plain_seconds=(9.0, 20.0, 8.0), background_seconds=(10.0, 20.0, 10.0))
    ratio = _figure("throughput", results)
    assert (ratio.value, ratio.spread) == (37 / 40, (0.8, 1.0))
    assert ratio.verdict is Verdict.MISSED


def test_a_burst_that_takes_much_longer_fails() -> None:
    results = _results(plain_seconds=(5.9,), background_seconds=(10.0,))
    assert _figure("throughput", results).verdict is Verdict.FAILED


def test_jobs_per_second_run_from_the_first_request_to_the_last_end() -> None:
    assert _figure("plain Jobs, jobs/s", _results(plain_seconds=(4.0,))).value == 0.5


@pytest.mark.parametrize(
    ("operators_writes", "want"),
    [
        pytest.param(_TWO_A_JOB, Verdict.MET, id="Events are not counted"),
        pytest.param({**_TWO_A_JOB, "DELETE jobs": 1}, Verdict.FAILED, id="half a write too many"),
    ],
)
def test_the_operator_may_write_twice_a_job_in_the_burst(
    operators_writes: dict[str, int], want: Verdict
) -> None:
    results = _results(operators_writes=operators_writes)
    assert _figure("a job, in the burst", results).verdict is want


def test_a_few_hints_in_a_burst_do_not_count() -> None:
    writes = {"POST jobs": 200, "PATCH status Succeeded": 200, "PATCH status Pending Queued": 9}
    results = _results(operators_writes=writes)
    [figure] = [
        each
        for each in summary(Sizes(jobs=200, rounds=1, stored=10), results)
        if "a job, in the burst" in each.name
    ]
    assert figure.verdict is Verdict.MET


def test_the_operator_may_write_three_times_a_job_in_all() -> None:
    three = {"POST jobs": 1, "PATCH status Succeeded": 1, "DELETE jobs": 1}
    assert _figure("in all", _results(writes_of_kept_jobs=three)).verdict is Verdict.MET
    hinted = {**three, "PATCH status Pending Queued": 1}
    assert _figure("in all", _results(writes_of_kept_jobs=hinted)).verdict is Verdict.MET
    four = {**three, "PATCH status Succeeded": 2}
    assert _figure("in all", _results(writes_of_kept_jobs=four)).verdict is Verdict.FAILED


def test_urgent_jobs_are_compared_with_the_same_jobs_alone() -> None:
    urgent = _figure("urgent job behind", _results(seconds_behind=(2.0, 3.0, 2.6)))
    assert (urgent.value, urgent.spread) == (2.6, (2.0, 3.0))
    assert urgent.verdict is Verdict.FAILED


def test_latencies_and_cpu_are_shown_in_milliseconds() -> None:
    results = _results()
    assert _figure("child Job p50", results).value == pytest.approx(12)
    assert _figure("child Job p99", results).value == pytest.approx(60)
    assert _figure("operator's CPU", results).value == pytest.approx(3.5)


def test_tables_and_json_hold_every_figure_and_round() -> None:
    results = _results(plain_seconds=(9.0, 10.0), background_seconds=(10.0, 10.0))
    figures = summary(_SIZES, results)
    text = tables(results, figures)
    written = as_json(_SIZES, results)
    assert all(figure.name in text for figure in figures)
    assert [each["plainJobs"]["seconds"] for each in written["rounds"]] == [9.0, 10.0]
    assert written["rounds"][0]["backgroundJobs"]["operatorsWritesPerJob"]["POST jobs"] == 1
