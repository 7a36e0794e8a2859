"""The pause between a failure and the next attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import background_job

from bgjobs.domain.backoff import backoff_seconds, retry_pause_seconds
from bgjobs.domain.resource import Backoff, Status


@pytest.mark.parametrize(
    ("seconds", "factor", "max_seconds", "failures", "around"),
    [
        pytest.param(5, 2, 300, 1, 5, id="first failure"),
        pytest.param(5, 2, 300, 2, 10, id="doubled after the second"),
        pytest.param(5, 2, 300, 3, 20, id="and again after the third"),
        pytest.param(5, 2, 300, 7, 300, id="capped: 320 is more than 300"),
        pytest.param(5, 1, 300, 50, 5, id="factor 1 never grows"),
        pytest.param(5, 1.5, 300, 3, 11.25, id="a broken factor"),
        pytest.param(0, 2, 300, 9, 0, id="no pause at all"),
        pytest.param(5, 10.0, 300, 100_000, 300, id="too large for a float"),
    ],
)
def test_grows_with_each_failure_up_to_its_cap(
    seconds: int, factor: float, max_seconds: int, failures: int, around: float
) -> None:
    backoff = Backoff(seconds=seconds, factor=factor, max_seconds=max_seconds)
    assert backoff_seconds(backoff, failures, "seed") == pytest.approx(around, rel=0.1)


@given(
    seconds=st.integers(0, 86_400),
    factor=st.floats(1, 10),
    max_seconds=st.integers(0, 86_400),
    failures=st.integers(1, 101),
    seed=st.text(),
)
def test_stays_within_ten_percent_of_the_formula(
    seconds: int, factor: float, max_seconds: int, failures: int, seed: str
) -> None:
    backoff = Backoff(seconds=seconds, factor=factor, max_seconds=max_seconds)
    exact = min(seconds * factor ** (failures - 1), max_seconds)
    # The relative tolerance is pytest's own for floats, beyond the 10 %.
    assert exact * 0.9 * (1 - 1e-9) <= backoff_seconds(backoff, failures, seed)
    assert backoff_seconds(backoff, failures, seed) <= exact * 1.1 * (1 + 1e-9)


def test_is_spread_over_the_whole_ten_percent() -> None:
    pauses = [backoff_seconds(Backoff(seconds=100), 1, f"seed {n}") for n in range(1000)]
    assert [min(pauses), max(pauses)] == pytest.approx([90, 110], abs=0.5)


def test_is_the_same_each_time_it_is_computed() -> None:
    job = background_job()
    status = Status(retries_used=2)
    assert retry_pause_seconds(job, status) == retry_pause_seconds(job, status)


def test_differs_between_jobs_and_between_runs() -> None:
    pauses = {
        retry_pause_seconds(background_job(uid=uid), Status(retries_used=1, run=run))
        for uid in ("a", "b")
        for run in (1, 2)
    }
    assert len(pauses) == 4
