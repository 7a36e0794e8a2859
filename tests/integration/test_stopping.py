"""Cancel, suspend and delete: nothing goes on running, and what happened is recorded."""

import sqlalchemy as sa
from tests import operating
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import (
    change,
    child_jobs,
    phase,
    pods,
    reason,
    submit,
    wait,
    wait_event,
    wait_finished,
    wait_row_where,
)

_HANGS = {"lasts": "1h"}
_SUCCEEDS = {"exitCode": 0}

_GARBAGE_COLLECTED_WITHIN_S = 60
"""The garbage collector looks for new kinds, such as BackgroundJob, only every 30 s."""


def test_cancelling_a_waiting_job_starts_nothing(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, delay="1h")
    wait(jobs, name, reason("Delayed"))
    change(jobs, name, cancelled=True, cancelReason="ordered by mistake")
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert "ordered by mistake" in status["message"]
    assert child_jobs(jobs, uid) == []


def test_cancelling_a_running_job_stops_its_pod(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[_HANGS])
    wait(jobs, name, phase("Running"))
    change(jobs, name, cancelled=True)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Cancelled", "Cancelled")
    assert [attempt["outcome"] for attempt in status["attempts"]] == ["Cancelled"]
    assert (child_jobs(jobs, uid), pods(jobs, uid)) == ([], [])
    wait_event(jobs.server, jobs.namespace, name, "Cancelled")


def test_what_a_program_ends_with_because_it_was_cancelled_is_no_success(
    jobs: Jobs, name: str
) -> None:
    submit(jobs, name, pods=[_HANGS], parameters={"told": True})
    wait(jobs, name, phase("Running"))
    change(jobs, name, cancelled=True)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], "result" in status) == ("Cancelled", False)


def test_a_cancelled_job_can_be_run_again(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[_HANGS, _SUCCEEDS])
    wait(jobs, name, phase("Running"))
    change(jobs, name, cancelled=True)
    wait(jobs, name, phase("Cancelled"))
    change(jobs, name, cancelled=False, retryRequests=1)
    status = wait(jobs, name, phase("Succeeded"))["status"]
    assert [(a["run"], a["outcome"]) for a in status["attempts"]] == [
        (1, "Cancelled"),
        (2, "Succeeded"),
    ]


def test_a_suspended_job_does_not_start_until_it_is_resumed(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, suspend=True)
    wait(jobs, name, reason("Suspended"))
    assert child_jobs(jobs, uid) == []
    change(jobs, name, suspend=False)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_suspending_a_running_job_stops_its_pod_and_costs_no_retry(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[_HANGS, _SUCCEEDS], retries=0)
    wait(jobs, name, phase("Running"))
    change(jobs, name, suspend=True)
    held = wait(jobs, name, lambda job: len(job["status"].get("attempts", ())) == 1)
    assert held["status"]["attempts"][0]["outcome"] == "Suspended"
    assert (child_jobs(jobs, uid), pods(jobs, uid)) == ([], [])
    wait(jobs, name, lambda job: job["status"]["message"].startswith("Suspended:"))
    change(jobs, name, suspend=False)
    status = wait_finished(jobs, name)["status"]
    assert status["phase"] == "Succeeded"
    assert status.get("retriesUsed", 0) == 0


def test_a_deleted_job_leaves_no_job_and_no_pod(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=[_HANGS])
    wait(jobs, name, phase("Running"))
    _delete(jobs, name)
    _wait_nothing_left(jobs, uid)


def test_nor_does_one_that_is_deleted_while_no_operator_runs(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    uid = submit(jobs, name, pods=[_HANGS])
    wait(jobs, name, phase("Running"))
    operating.kill(operator)
    try:
        _delete(jobs, name)
    finally:
        operating.start(operator)
    _wait_nothing_left(jobs, uid)


def test_nor_do_those_that_are_deleted_while_they_start_and_are_made_again(
    jobs: Jobs, name: str
) -> None:
    names = [f"{name}-{number}" for number in range(10)]
    uids = []
    for each in names:
        uids.append(submit(jobs, each, pods=[_HANGS]))
        _delete(jobs, each)
        submit(jobs, each)
    for each in names:
        assert wait_finished(jobs, each)["status"]["phase"] == "Succeeded"
    for uid in uids:
        _wait_nothing_left(jobs, uid)


def _delete(jobs: Jobs, name: str) -> None:
    assert api.request(jobs.server, "DELETE", f"{jobs.path}/{name}").status == 200


def _wait_nothing_left(jobs: Jobs, uid: str) -> None:
    api.wait_until(
        lambda: (child_jobs(jobs, uid), pods(jobs, uid)) == ([], []),
        lambda: f"are left: {child_jobs(jobs, uid)}, {pods(jobs, uid)}",
        within_s=_GARBAGE_COLLECTED_WITHIN_S,
    )


def test_the_row_outlives_its_job_and_says_when_it_was_deleted(
    jobs: Jobs, name: str, database: sa.Engine
) -> None:
    uid = submit(jobs, name, pods=[_HANGS])
    wait(jobs, name, phase("Running"))
    _delete(jobs, name)
    row = wait_row_where(database, uid, lambda row: row["deleted_at"] is not None)
    assert row["phase"] == "Deleted"
