"""What follows when an attempt ends otherwise than well."""

import json
from datetime import datetime
from typing import Any

import pytest
from tests import server as api
from tests.server import Jobs
from tests.watching import (
    change,
    child_jobs,
    jobs_path,
    phase,
    reason,
    submit,
    wait,
    wait_event,
    wait_finished,
)

_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}
_FAILS = {"exitCode": 1}
_SUCCEEDS = {"exitCode": 0}
_PREEMPTED = {"exitCode": 143, "disrupted": "preempted by a service"}
_LATER = {"exitCode": 75, "message": json.dumps({"retryAfterSeconds": 1})}


def _outcomes(job: Any) -> list[str]:
    return [attempt["outcome"] for attempt in job["status"]["attempts"]]


@pytest.mark.parametrize(
    ("priority", "attempts"),
    [
        pytest.param("High", 3, id="high gains a retry"),
        pytest.param("Medium", 2, id="medium has the retries as written"),
        pytest.param("Low", 1, id="low loses a retry"),
    ],
)
def test_a_job_that_always_fails_has_the_attempts_of_its_priority(
    jobs: Jobs, name: str, priority: str, attempts: int
) -> None:
    uid = submit(jobs, name, pods=[_FAILS], priority=priority, retries=1, backoff=_AT_ONCE)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "Error")
    assert status["attemptsTotal"] == attempts
    assert len(child_jobs(jobs, uid)) == attempts
    wait_event(jobs.server, jobs.namespace, name, "Failed")


def test_a_job_without_adjustment_has_the_retries_as_written(jobs: Jobs, name: str) -> None:
    spec: dict[str, Any] = {"priority": "High", "retries": 1, "adjustment": "Disabled"}
    submit(jobs, name, pods=[_FAILS], backoff=_AT_ONCE, **spec)
    assert wait_finished(jobs, name)["status"]["attemptsTotal"] == 2


def test_a_job_that_fails_twice_succeeds_in_its_third_attempt(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[_FAILS, _FAILS, _SUCCEEDS], backoff=_AT_ONCE)
    job = wait_finished(jobs, name)
    assert job["status"]["phase"] == "Succeeded"
    assert _outcomes(job) == ["Failed", "Failed", "Succeeded"]
    assert job["status"]["retriesUsed"] == 2
    made = {job["metadata"]["labels"]["bgjobs.dev/attempt"] for job in child_jobs(jobs, uid)}
    assert made == {"1", "2", "3"}


def test_the_error_of_the_program_is_told(jobs: Jobs, name: str) -> None:
    error = {"type": "shop.jobs.OutOfStock", "message": "nothing left of item 7"}
    submit(jobs, name, pods=[_FAILS | {"message": json.dumps({"error": error})}], retries=0)
    status = wait_finished(jobs, name)["status"]
    told = "failed with exit code 1: shop.jobs.OutOfStock: nothing left of item 7"
    assert status["attempts"][0]["message"] == told
    assert status["message"] == f"Attempt 1 of 1 {told}. No retry is left (0 retries)."


def test_a_failure_is_followed_by_its_backoff(jobs: Jobs, name: str) -> None:
    backoff = {"seconds": 3, "factor": 2, "maxSeconds": 60}
    submit(jobs, name, pods=[_FAILS, _SUCCEEDS], backoff=backoff)
    waiting = wait(jobs, name, phase("Retrying"))["status"]
    finish = datetime.fromisoformat(waiting["attempts"][0]["finish"])
    due = datetime.fromisoformat(waiting["nextAttemptTime"])
    assert waiting["reason"] == "BackingOff"
    assert 2.7 <= (due - finish).total_seconds() <= 3.3
    wait_event(jobs.server, jobs.namespace, name, "RetryScheduled")

    done = wait_finished(jobs, name)["status"]
    assert done["phase"] == "Succeeded"
    assert datetime.fromisoformat(done["attempts"][1]["start"]) >= due.replace(microsecond=0)


def test_exit_code_66_ends_retrying(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"exitCode": 66}], backoff=_AT_ONCE)
    job = wait_finished(jobs, name)
    assert (job["status"]["phase"], job["status"]["reason"]) == ("Failed", "PermanentFailure")
    assert _outcomes(job) == ["Failed"]
    assert "ends retrying" in job["status"]["message"]


def test_exit_code_75_defers_without_costing_a_retry(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_LATER, _LATER, _SUCCEEDS], retries=0)
    job = wait_finished(jobs, name)
    assert job["status"]["phase"] == "Succeeded"
    assert _outcomes(job) == ["Deferred", "Deferred", "Succeeded"]
    assert job["status"].get("retriesUsed", 0) == 0


def test_running_out_of_memory_is_named_and_retried(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"exitCode": 137, "reason": "OOMKilled"}], retries=1, backoff=_AT_ONCE)
    job = wait_finished(jobs, name)
    assert (job["status"]["phase"], job["status"]["reason"]) == ("Failed", "OOMKilled")
    assert [a["reason"] for a in job["status"]["attempts"]] == ["OOMKilled", "OOMKilled"]


def test_a_disruption_costs_no_retry(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_PREEMPTED, _SUCCEEDS], retries=0)
    job = wait_finished(jobs, name)
    assert job["status"]["phase"] == "Succeeded"
    assert _outcomes(job) == ["Disrupted", "Succeeded"]
    assert job["status"]["disruptions"] == 1


@pytest.mark.parametrize(
    ("count", "bound", "pod", "outcome"),
    [
        pytest.param("disruptions", 5, _PREEMPTED, "Disrupted", id="disruptions"),
        pytest.param("deferrals", 50, _LATER, "Deferred", id="deferrals"),
    ],
)
def test_what_costs_no_retry_does_so_beyond_its_bound(
    jobs: Jobs, name: str, count: str, bound: int, pod: Any, outcome: str
) -> None:
    submit(jobs, name, pods=[pod], retries=0, delay="1h")
    wait(jobs, name, reason("Delayed"))
    assert api.patch_status(jobs, name, {count: bound - 1}).status == 200
    change(jobs, name, delay=0)
    job = wait_finished(jobs, name)
    assert (job["status"]["phase"], _outcomes(job)) == ("Failed", [outcome, outcome])


def test_a_suspension_costs_a_retry_beyond_its_bound(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"lasts": "1h"}], retries=0, delay="1h")
    wait(jobs, name, reason("Delayed"))
    assert api.patch_status(jobs, name, {"suspensions": 50}).status == 200
    change(jobs, name, delay=0)
    wait(jobs, name, phase("Running"))
    change(jobs, name, suspend=True)
    job = wait_finished(jobs, name)
    assert (job["status"]["phase"], _outcomes(job)) == ("Failed", ["Suspended"])


def test_a_failed_job_can_be_run_again_and_keeps_its_history(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_FAILS, _SUCCEEDS], retries=0)
    wait(jobs, name, phase("Failed"))
    change(jobs, name, retryRequests=1)
    job = wait(jobs, name, phase("Succeeded"))
    status = job["status"]
    assert [(a["run"], a["attempt"], a["outcome"]) for a in status["attempts"]] == [
        (1, 1, "Failed"),
        (2, 1, "Succeeded"),
    ]
    assert (status["run"], status["observedRetryRequests"], status["attemptsTotal"]) == (2, 1, 2)
    wait_event(jobs.server, jobs.namespace, name, "RetryRequested")


def test_a_job_whose_child_job_is_deleted_by_somebody_is_retried(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[{"lasts": "1h"}, _SUCCEEDS], retries=1, backoff=_AT_ONCE)
    wait(jobs, name, reason("Running"))
    [child] = child_jobs(jobs, uid)
    path = f"{jobs_path(jobs)}/{child['metadata']['name']}?propagationPolicy=Background"
    assert api.request(jobs.server, "DELETE", path).status == 200
    job = wait_finished(jobs, name)
    assert _outcomes(job) == ["JobDeleted", "Succeeded"]
    assert job["status"]["retriesUsed"] == 1
