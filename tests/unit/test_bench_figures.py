"""The arithmetic of the benchmark: percentiles, verdicts, tables."""

import pytest
from tests.bench.figures import Figure, Verdict, comparison, figures_table, percentile


@pytest.mark.parametrize(
    ("values", "percent", "want"),
    [
        pytest.param([5.0], 99, 5.0, id="one value is every percentile"),
        pytest.param([3.0, 1.0, 2.0], 50, 2.0, id="the order does not matter"),
        pytest.param([1.0, 2.0, 3.0, 4.0], 50, 2.0, id="of two in the middle the lower"),
        pytest.param([float(n) for n in range(1, 101)], 99, 99.0, id="the 99th of a hundred"),
        pytest.param([float(n) for n in range(1, 11)], 99, 10.0, id="of few values the highest"),
        pytest.param([1.0, 2.0], 0, 1.0, id="none is the lowest"),
    ],
)
def test_a_percentile_is_a_value_that_was_measured(
    values: list[float], percent: float, want: float
) -> None:
    assert percentile(values, percent) == want


@pytest.mark.parametrize(
    ("value", "want"),
    [
        pytest.param(1.5, Verdict.MET, id="the aim itself"),
        pytest.param(1.6, Verdict.MISSED, id="between aim and limit"),
        pytest.param(2.5, Verdict.MISSED, id="the limit itself"),
        pytest.param(2.6, Verdict.FAILED, id="beyond the limit"),
    ],
)
def test_what_should_be_low_fails_above_its_limit(value: float, want: Verdict) -> None:
    assert Figure("urgent", value, aim=1.5, limit=2.5).verdict is want


@pytest.mark.parametrize(
    ("value", "want"),
    [(1.0, Verdict.MET), (0.9, Verdict.MISSED), (0.8, Verdict.MISSED), (0.79, Verdict.FAILED)],
)
def test_what_should_be_high_fails_below_its_limit(value: float, want: Verdict) -> None:
    assert Figure("ratio", value, aim=1.0, limit=0.8, at_least=True).verdict is want


def test_what_has_no_aim_gets_no_verdict() -> None:
    assert Figure("jobs/s", 40.0).verdict is Verdict.NONE


def test_what_has_no_limit_never_fails() -> None:
    assert Figure("latency", 1e9, aim=15).verdict is Verdict.MISSED


def test_the_table_shows_value_spread_bounds_and_verdict() -> None:
    figures = [
        Figure("ratio", 0.7512, (0.7, 0.9), aim=1.0, limit=0.8, at_least=True),
        Figure("rows/s", 5123.4),
    ]
    assert figures_table(figures).splitlines() == [
        "figure  value     spread   aim   limit  verdict",
        "------  -----  ---------  ----  ------  -------",
        "ratio   0.751  0.7 - 0.9  >= 1  >= 0.8   FAILED",
        "rows/s   5123",
    ]


def test_a_comparison_lists_the_largest_first_and_ends_with_the_total() -> None:
    plain = {"pods": 1.0, "jobs": 4.0, "leases": 0.001}
    background = {"pods": 1.0, "jobs": 4.25, "statuses": 2.0}
    assert comparison(("a job", "plain", "background"), [plain, background]).splitlines() == [
        "a job     plain  background",
        "--------  -----  ----------",
        "jobs       4.00        4.25",
        "statuses   0.00        2.00",
        "pods       1.00        1.00",
        "in all     5.00        7.25",
    ]
