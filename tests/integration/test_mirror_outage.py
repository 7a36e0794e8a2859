"""The database away while many jobs finish: none is delayed, and its rows catch up."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import sqlalchemy as sa
from tests import operating
from tests import server as api
from tests.mariadb import refusing
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import submit

from bgjobs.domain.resource import BackgroundJob, parse
from bgjobs.mirror.rows import attempt_rows, details_row, job_row, label_rows
from bgjobs.mirror.schema import ATTEMPTS, JOB_DETAILS, JOB_LABELS, JOBS

_JOBS = 1000
_FINISHED_WITHIN_S = 300
_CAUGHT_UP_WITHIN_S = 60
_SENDERS = 8


def test_1000_jobs_finish_without_the_database_and_are_all_in_it_within_a_minute_of_its_return(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    def send(number: int) -> str:
        return submit(jobs, f"{name}-{number}")

    with refusing(database, operating.DATABASE_USER):
        with ThreadPoolExecutor(_SENDERS) as senders:
            uids = set(senders.map(send, range(_JOBS)))
        api.wait_until(
            lambda: _count(jobs, "Succeeded", uids) == _JOBS,
            lambda: f"{_count(jobs, 'Succeeded', uids)} have succeeded",
            _FINISHED_WITHIN_S,
        )
        assert operating.metric(operator, "bgjobs_mirror_pending") >= _JOBS
    api.wait_until(
        lambda: operating.metric(operator, "bgjobs_mirror_pending") == 0,
        lambda: "the mirror is still behind",
        _CAUGHT_UP_WITHIN_S,
    )
    there = [parse(raw) for raw in _all(jobs) if raw["metadata"]["uid"] in uids]
    assert len(there) == _JOBS
    assert _rows(database, JOBS, uids) == _wanted(there, lambda job: [job_row(job)])
    assert _rows(database, JOB_DETAILS, uids) == _wanted(there, lambda job: [details_row(job)])
    assert _rows(database, JOB_LABELS, uids) == _wanted(there, label_rows)
    attempts = _rows(database, ATTEMPTS, uids)
    assert attempts == _wanted(there, attempt_rows)
    assert len(attempts) == _JOBS


def _all(jobs: Jobs) -> list[Any]:
    return list(api.request(jobs.server, "GET", jobs.path).body["items"])


def _count(jobs: Jobs, phase: str, uids: set[str]) -> int:
    path = f"{jobs.path}?fieldSelector=status.phase={phase}"
    found = api.request(jobs.server, "GET", path).body["items"]
    return sum(job["metadata"]["uid"] in uids for job in found)


def _wanted(there: list[BackgroundJob], rows_of: Any) -> list[str]:
    rows = [row | {"epoch": 0, "deleted_at": None} for job in there for row in rows_of(job)]
    return sorted(map(_text, rows))


def _rows(database: sa.Engine, table: sa.Table, uids: set[str]) -> list[str]:
    with database.connect() as connection:
        rows = connection.execute(sa.select(table)).mappings()
        found = [dict(row) | {"deleted_at": row.get("deleted_at")} for row in rows]
    return sorted(_text(row) for row in found if row["uid"] in uids)


def _text(row: dict[str, Any]) -> str:
    return json.dumps(row, sort_keys=True, default=str)
