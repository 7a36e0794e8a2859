"""A finished BackgroundJob goes when its time is over; its row stays."""

import sqlalchemy as sa
from tests import operating, watching
from tests import server as api
from tests.mariadb import refusing
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import submit, wait_finished


def test_a_job_is_deleted_after_its_time_and_leaves_its_row(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    with operating.restarted(operator, BGJOBS_SWEEP_SECONDS="1"):
        uid = submit(jobs, name, ttlSecondsAfterFinished=3)
        wait_finished(jobs, name)
        row = watching.wait_row_where(database, uid, lambda row: row["deleted_at"] is not None)
        assert (row["phase"], row["attempts_total"]) == ("Succeeded", 1)
        assert row["deleted_at"] >= row["completed_at"]
        assert api.request(jobs.server, "GET", f"{jobs.path}/{name}").status == 404


def test_no_job_is_deleted_that_the_database_does_not_hold(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    with operating.restarted(operator, BGJOBS_SWEEP_SECONDS="1"):
        with refusing(database, operating.DATABASE_USER):
            uid = submit(jobs, name, ttlSecondsAfterFinished=0)
            wait_finished(jobs, name)
            submit(jobs, f"{name}-later", pods=[{"lasts": "3s"}])
            wait_finished(jobs, f"{name}-later")
            assert api.request(jobs.server, "GET", f"{jobs.path}/{name}").status == 200
        row = watching.wait_row_where(database, uid, lambda row: row["deleted_at"] is not None)
        assert row["phase"] == "Succeeded"


def test_too_many_finished_jobs_go_even_while_the_database_is_down(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    with refusing(database, operating.DATABASE_USER):
        submit(jobs, f"{name}-older")
        wait_finished(jobs, f"{name}-older")
        # Its end is later by a second at least: times are whole seconds.
        submit(jobs, f"{name}-newer", pods=[{"lasts": "1500ms"}])
        wait_finished(jobs, f"{name}-newer")
        with operating.restarted(operator, BGJOBS_SWEEP_SECONDS="1", BGJOBS_MAX_FINISHED="1"):
            api.wait_until(
                lambda: api.request(jobs.server, "GET", f"{jobs.path}/{name}-older").status == 404,
                lambda: "the older one stays",
                within_s=20,
            )
            assert api.request(jobs.server, "GET", f"{jobs.path}/{name}-newer").status == 200
            assert operating.metric(operator, "bgjobs_deleted_above_limit_total") >= 1
