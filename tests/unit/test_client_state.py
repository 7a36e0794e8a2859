"""What a BackgroundJob's status comes to for an application."""

from datetime import UTC, datetime
from typing import Any

import pytest

from bgjobs.client import JobFailedError, Phase, ResultTooLargeError
from bgjobs.client.state import result_of, state_of


def job(spec: Any = None, **status: Any) -> Any:
    return {"spec": spec or {}, "status": {"phase": "Pending", "reason": "Queued", **status}}


def test_a_new_job_has_told_nothing() -> None:
    state = state_of(job(message="Waiting for the operator to start it."))
    assert (state.phase, state.reason) == (Phase.PENDING, "Queued")
    assert state.message == "Waiting for the operator to start it."
    assert (state.run, state.attempt, state.attempts_at_most) == (1, 1, None)
    assert not state.is_finished


@pytest.mark.parametrize(
    ("phase", "attempts", "want"),
    [
        pytest.param("Running", [], 1, id="the first is under way"),
        pytest.param("Retrying", [(2, 1)], 2, id="the second comes next"),
        pytest.param("Failed", [(2, 1), (2, 2)], 2, id="the last one"),
        pytest.param("Pending", [(1, 4)], 1, id="of this run"),
        pytest.param("Cancelled", [(1, 4)], 0, id="none in this run"),
    ],
)
def test_the_attempt_that_counts(phase: str, attempts: list[tuple[int, int]], want: int) -> None:
    made = [{"run": run, "attempt": attempt} for run, attempt in attempts]
    state = state_of(job(phase=phase, run=2, attempts=made, effectiveRetries=3))
    assert (state.attempt, state.attempts_at_most) == (want, 4)


def test_a_retry_that_is_asked_for_makes_it_unfinished() -> None:
    assert state_of(job(phase="Failed", observedRetryRequests=1)).is_finished
    assert not state_of(job({"retryRequests": 1}, phase="Failed")).is_finished
    cancelled = {"retryRequests": 1, "cancelled": True}
    assert state_of(job(cancelled, phase="Cancelled")).is_finished


def test_times_are_those_of_the_server() -> None:
    state = state_of(job(nextAttemptTime="2030-01-31T06:00:00Z"))
    assert state.next_attempt_time == datetime(2030, 1, 31, 6, tzinfo=UTC)
    assert state.start_time is state.completion_time is None


def test_a_reason_that_this_client_does_not_know_is_passed_on() -> None:
    assert state_of(job(reason="SunSpots")).reason == "SunSpots"


@pytest.mark.parametrize("result", [None, 7, {"truncated": True, "bytes": 5000, "more": 1}])
def test_the_result_is_what_the_method_returned(result: object) -> None:
    assert result_of(state_of(job(phase="Succeeded", result=result))) == result


def test_a_result_that_was_not_kept_is_an_error() -> None:
    kept = {"truncated": True, "bytes": 5000}
    with pytest.raises(ResultTooLargeError, match="5000 bytes"):
        result_of(state_of(job(phase="Succeeded", result=kept)))


@pytest.mark.parametrize("phase", ["Failed", "Cancelled", "Rejected"])
def test_a_job_without_success_has_no_result(phase: str) -> None:
    with pytest.raises(JobFailedError, match=f"{phase} \\(OOMKilled\\): too much") as failed:
        result_of(state_of(job(phase=phase, reason="OOMKilled", message="too much")))
    assert (failed.value.phase, failed.value.reason) == (phase, "OOMKilled")
