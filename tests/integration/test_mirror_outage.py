"""The database away while many jobs finish: none is delayed, and its rows catch up."""

import json
import statistics
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from tests import operating
from tests import server as api
from tests.mariadb import refusing
from tests.operating import Operator
from tests.proxying import NoAnswerError, Request, proxy
from tests.server import Jobs, Server
from tests.watching import CLASS, submit

from bgjobs.domain.resource import BackgroundJob, parse
from bgjobs.mirror.rows import attempt_rows, details_row, job_row, label_rows
from bgjobs.mirror.schema import ATTEMPTS, JOB_DETAILS, JOB_LABELS, JOBS

_JOBS = 1000
_FINISHED_WITHIN_S = 300
_CAUGHT_UP_WITHIN_S = 60
_SENDERS = 8
_FINISHED = 2000
_ALL = "/apis/bgjobs.dev/v1alpha1/backgroundjobs"


def test_1000_jobs_finish_without_the_database_and_are_all_in_it_within_a_minute_of_its_return(
    jobs: Jobs, name: str, operator: Operator, database: sa.Engine
) -> None:
    with_it = _run_to_the_end(jobs, f"{name}-with-it")
    with refusing(database, operating.DATABASE_USER):
        uids = _run_to_the_end(jobs, name)
        assert operating.metric(operator, "bgjobs_mirror_pending") >= _JOBS
    api.wait_until(
        lambda: operating.metric(operator, "bgjobs_mirror_pending") == 0,
        lambda: "the mirror is still behind",
        _CAUGHT_UP_WITHIN_S,
    )
    there, before = _of(jobs, uids), _of(jobs, with_it)
    assert len(there) == len(before) == _JOBS
    # Times are in whole seconds, and other programs use this machine.
    assert _median_wait_seconds(there) <= 2 * _median_wait_seconds(before) + 1
    assert _rows(database, JOBS, uids) == _wanted(there, lambda job: [job_row(job)])
    assert _rows(database, JOB_DETAILS, uids) == _wanted(there, lambda job: [details_row(job)])
    assert _rows(database, JOB_LABELS, uids) == _wanted(there, label_rows)
    attempts = _rows(database, ATTEMPTS, uids)
    assert attempts == _wanted(there, attempt_rows)
    assert len(attempts) == _JOBS


def _run_to_the_end(jobs: Jobs, name: str) -> set[str]:
    """The uids of 1,000 jobs that were submitted at once, and have succeeded."""
    uids = set(_at_once(lambda number: submit(jobs, f"{name}-{number}"), range(_JOBS)))
    api.wait_until(
        lambda: _count(jobs, "Succeeded", uids) == _JOBS,
        lambda: f"{_count(jobs, 'Succeeded', uids)} have succeeded",
        _FINISHED_WITHIN_S,
    )
    return uids


def _of(jobs: Jobs, uids: set[str]) -> list[BackgroundJob]:
    return [parse(raw) for raw in _all(jobs) if raw["metadata"]["uid"] in uids]


def _median_wait_seconds(there: list[BackgroundJob]) -> float:
    """From their creation until they ran."""
    starts = [(job.status.start_time, job.metadata.creation_timestamp) for job in there]
    return statistics.median(
        (start - created).total_seconds() for start, created in starts if start
    )


@pytest.fixture(scope="module")
def finished(jobs: Jobs, operator: Operator, database: sa.Engine) -> Mapping[str, str]:
    """The names by uid of jobs that have succeeded, and that the mirror has got by a sweep."""
    status = {
        "phase": "Succeeded",
        "reason": "Succeeded",
        "message": "Attempt 1 of 4 succeeded.",
        "completionTime": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }

    def make(number: int) -> tuple[str, str]:
        name = f"finished-{number:04}"
        uid = api.created(jobs, name, class_=CLASS)["metadata"]["uid"]
        assert api.patch_status(jobs, name, status).status == 200
        return uid, name

    operating.kill(operator)
    try:
        finished = dict(_at_once(make, range(_FINISHED)))
    finally:
        operating.start(operator)
    _wait_live(database, finished)
    return finished


def test_an_operator_started_without_the_database_takes_no_finished_jobs_into_memory(
    finished: Mapping[str, str], jobs: Jobs, operator: Operator, database: sa.Engine
) -> None:
    """It compares what there is with the rows as soon as it can read them."""
    operating.kill(operator)
    with database.begin() as connection:
        connection.execute(sa.delete(JOBS).where(JOBS.c.uid.in_(finished)))
    said = len(operator.log.read_text())
    with refusing(database, operating.DATABASE_USER):
        operating.start(operator)
        api.wait_until(
            lambda: "the sweep of BackgroundJobs failed" in operator.log.read_text()[said:],
            lambda: "it has not missed the database",
            _CAUGHT_UP_WITHIN_S,
        )
        # A watch tells of all others, which other tests have left, too.
        assert operating.metric(operator, "bgjobs_mirror_pending") <= _unsucceeded(jobs.server)
        assert operating.metric(operator, "bgjobs_mirror_lag_seconds") > 0
    _wait_live(database, finished)
    api.wait_until(
        lambda: operating.metric(operator, "bgjobs_mirror_lag_seconds") == 0,
        lambda: "the mirror still says that it is behind",
        _CAUGHT_UP_WITHIN_S,
    )


def test_a_sweep_that_breaks_off_ends_no_row(
    finished: Mapping[str, str], jobs: Jobs, operator: Operator, database: sa.Engine
) -> None:
    """Of what was listed before, and of what would have come, be it gone or not."""
    gone, *there = finished
    breaks_off, broken_off = True, 0

    def asked(request: Request) -> None:
        nonlocal broken_off
        path, _, query = request.target.partition("?")
        is_of_sweep = path == _ALL and "fieldSelector" not in query
        if breaks_off and is_of_sweep and "continue=" in query:
            broken_off += 1
            raise NoAnswerError

    with proxy(jobs.server, asked) as url:
        settings = {"BGJOBS_SWEEP_SECONDS": "1"}
        with operating.otherwise(operator, url, operator.arguments, **settings):
            # No watch tells of it: it had succeeded.
            assert api.request(jobs.server, "DELETE", f"{jobs.path}/{finished[gone]}").status == 200
            api.wait_until(
                lambda: broken_off >= 3, lambda: f"only {broken_off} broke off", _CAUGHT_UP_WITHIN_S
            )
            assert _live(database, finished) == {gone, *there}
            breaks_off = False
            api.wait_until(
                lambda: _live(database, finished) == {*there},
                lambda: "the row of what is gone still looks alive",
                _CAUGHT_UP_WITHIN_S,
            )


def _at_once(do: Callable[[int], Any], numbers: Iterable[int]) -> list[Any]:
    with ThreadPoolExecutor(_SENDERS) as senders:
        return [*senders.map(do, numbers)]


def _wait_live(database: sa.Engine, uids: Collection[str]) -> None:
    api.wait_until(
        lambda: len(_live(database, uids)) == len(uids),
        lambda: f"the mirror has {len(_live(database, uids))} of {len(uids)}",
        _CAUGHT_UP_WITHIN_S,
    )


def _live(database: sa.Engine, uids: Iterable[str]) -> set[str]:
    """Those that the mirror takes for BackgroundJobs in the cluster."""
    with database.connect() as connection:
        alive = connection.scalars(sa.select(JOBS.c.uid).where(JOBS.c.deleted_at.is_(None)))
        return {*alive} & {*uids}


def _all(jobs: Jobs) -> list[Any]:
    return list(api.request(jobs.server, "GET", jobs.path).body["items"])


def _count(jobs: Jobs, phase: str, uids: set[str]) -> int:
    path = f"{jobs.path}?fieldSelector=status.phase={phase}"
    found = api.request(jobs.server, "GET", path).body["items"]
    return sum(job["metadata"]["uid"] in uids for job in found)


def _unsucceeded(server: Server) -> int:
    found = api.request(server, "GET", f"{_ALL}?fieldSelector=status.phase!=Succeeded").body
    return len(found["items"])


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
