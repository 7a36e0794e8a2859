"""The operator killed, the database away: nothing is lost and nothing runs twice."""

from typing import Any

import sqlalchemy as sa
from tests import operating, watching
from tests import server as api
from tests.mariadb import refusing
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import child_jobs, phase, submit, wait, wait_finished

_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}


def test_an_operator_killed_while_jobs_run_makes_one_child_job_for_each_attempt(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    names = [f"{name}-{number}" for number in range(6)]
    script: list[Any] = [{"lasts": "2s", "exitCode": 1}, {"lasts": "1s"}]
    uids = [submit(jobs, each, pods=script, backoff=_AT_ONCE) for each in names]
    for each in names:
        wait(jobs, each, phase("Running"))
    operating.kill(operator)
    operating.start(operator)
    for each, uid in zip(names, uids, strict=True):
        status = wait_finished(jobs, each)["status"]
        assert status["phase"] == "Succeeded"
        assert [a["outcome"] for a in status["attempts"]] == ["Failed", "Succeeded"]
        made = sorted(job["metadata"]["name"] for job in child_jobs(jobs, uid))
        assert made == [attempt["jobName"] for attempt in status["attempts"]]


def test_an_attempt_that_ended_while_no_operator_ran_is_recorded(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    uid = submit(jobs, name, pods=[{"lasts": "2s"}])
    wait(jobs, name, phase("Running"))
    operating.kill(operator)
    try:
        path = watching.pods_path(jobs)
        ended = watching.watch(
            jobs.server, path, "status.phase=Succeeded", 20, f"bgjobs.dev/uid={uid}"
        )
        assert next(ended)["type"] == "ADDED"
    finally:
        operating.start(operator)
    status = wait_finished(jobs, name)["status"]
    assert status["phase"] == "Succeeded"
    assert len(child_jobs(jobs, uid)) == 1


def test_a_job_deleted_while_no_operator_ran_is_marked_in_its_row(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    uid = submit(jobs, name)
    watching.wait_row(database, wait_finished(jobs, name))
    operating.kill(operator)
    try:
        assert api.request(jobs.server, "DELETE", f"{jobs.path}/{name}").status == 200
    finally:
        operating.start(operator)
    row = watching.wait_row_where(database, uid, lambda row: row["deleted_at"] is not None)
    assert row["phase"] == "Succeeded"


def test_an_operator_killed_while_it_starts_jobs_starts_each_once(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    names = [f"{name}-{number}" for number in range(20)]
    uids = [submit(jobs, each) for each in names]
    first = f"bgjobs.dev/uid={uids[0]}"
    assert next(watching.watch(jobs.server, watching.jobs_path(jobs), "", 20, first))
    operating.kill(operator)
    operating.start(operator)
    for each, uid in zip(names, uids, strict=True):
        assert wait_finished(jobs, each)["status"]["phase"] == "Succeeded"
        assert len(child_jobs(jobs, uid)) == 1


def test_an_operator_that_is_told_to_end_ends_in_order(operator: Operator) -> None:
    exit_code = operating.end(operator, within_s=4)
    operating.start(operator)
    assert exit_code == 0


def test_the_database_being_away_delays_no_job_and_its_row_follows(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    with refusing(database, operating.DATABASE_USER):
        uid = submit(jobs, name)
        job = wait_finished(jobs, name)
        assert job["status"]["phase"] == "Succeeded"
        assert operating.metric(operator, "bgjobs_mirror_pending") > 0
    row = watching.wait_row(database, job)
    assert (row["uid"], row["phase"]) == (uid, "Succeeded")
