"""What is changed before a start counts at once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.server import Jobs
from tests.watching import change, child_jobs, phase, reason, submit, wait, wait_finished

_HOUR = {"seconds": 3600, "factor": 1, "maxSeconds": 3600}
_FAILS = {"exitCode": 1}
_SUCCEEDS = {"exitCode": 0}


def _due(job: Any) -> datetime:
    return datetime.fromisoformat(job["status"]["nextAttemptTime"])


def test_a_delay_taken_away_starts_the_job(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    wait(jobs, name, reason("Delayed"))
    change(jobs, name, delay=0)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_a_longer_delay_holds_the_job(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, delay=3, adjustment="Disabled")
    before = _due(wait(jobs, name, reason("Delayed")))
    change(jobs, name, delay="1h")
    later = wait(jobs, name, lambda job: _due(job) > before)
    assert _due(later) - before == timedelta(hours=1) - timedelta(seconds=3)
    submit(jobs, f"{name}-after", delay=3, adjustment="Disabled")
    wait_finished(jobs, f"{name}-after")
    assert child_jobs(jobs, uid) == []


def test_a_start_moved_to_the_past_is_now(jobs: Jobs, name: str) -> None:
    submit(jobs, name, startAt="2999-12-31T23:59:59Z")
    wait(jobs, name, reason("Delayed"))
    change(jobs, name, startAt=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_another_priority_adjusts_retries_and_delay(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay=3600, retries=2, priority="Low")
    status = wait(jobs, name, reason("Delayed"))["status"]
    assert (status["effectiveRetries"], status["effectiveDelaySeconds"]) == (1, 3598)
    change(jobs, name, priority="High", retries=5)
    status = wait(jobs, name, lambda job: job["status"]["observedGeneration"] == 2)["status"]
    assert (status["effectiveRetries"], status["effectiveDelaySeconds"]) == (6, 3595)


def test_retries_taken_away_end_a_job_that_backs_off(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_FAILS], retries=3, backoff=_HOUR)
    wait(jobs, name, reason("BackingOff"))
    submit(jobs, f"{name}-after", delay=2, adjustment="Disabled")
    wait_finished(jobs, f"{name}-after")
    change(jobs, name, retries=0)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"], status["attemptsTotal"]) == ("Failed", "Error", 1)
    assert status["completionTime"] > status["attempts"][-1]["finish"]
    assert "No retry is left after a change of the spec" in status["message"]


def test_retries_added_are_used(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_FAILS], retries=1, backoff=_HOUR)
    wait(jobs, name, reason("BackingOff"))
    change(jobs, name, retries=2, backoff={"seconds": 0, "factor": 1, "maxSeconds": 0})
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["attemptsTotal"]) == ("Failed", 3)


def test_a_shorter_backoff_ends_the_wait(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_FAILS, _SUCCEEDS], backoff=_HOUR)
    wait(jobs, name, reason("BackingOff"))
    change(jobs, name, backoff={"seconds": 0, "factor": 1, "maxSeconds": 0})
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_a_job_suspended_before_its_time_is_held_beyond_it(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, delay=3, adjustment="Disabled")
    wait(jobs, name, reason("Delayed"))
    change(jobs, name, suspend=True)
    wait(jobs, name, reason("Suspended"))
    submit(jobs, f"{name}-after", delay=3, adjustment="Disabled")
    wait_finished(jobs, f"{name}-after")
    assert child_jobs(jobs, uid) == []
    change(jobs, name, suspend=False)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_a_job_suspended_between_two_attempts_is_held_and_goes_on(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[_FAILS, _SUCCEEDS], backoff=_HOUR)
    wait(jobs, name, reason("BackingOff"))
    change(jobs, name, suspend=True)
    held = wait(jobs, name, reason("Suspended"))
    assert (held["status"]["phase"], len(child_jobs(jobs, uid))) == ("Retrying", 1)
    change(jobs, name, suspend=False, startRequests=1)
    done = wait(jobs, name, phase("Succeeded"))
    assert [a["outcome"] for a in done["status"]["attempts"]] == ["Failed", "Succeeded"]
