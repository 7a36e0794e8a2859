"""What the dashboard answers from a mirror whose every row is known."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
import urllib3
from tests import dashboards
from tests.mariadb import fresh_database, limited_user
from tests.server import Server

from bgjobs.dashboard.lists import PAGE_ROWS
from bgjobs.dashboard.queries import MAX_ATTEMPTS
from bgjobs.dashboard.states import STATES
from bgjobs.domain.resource import TERMINAL_PHASES
from bgjobs.mirror import rollups
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    ERROR_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    ROLLUPS,
)

_ANSWERS_WITHIN_S = 60
_JOBS = PAGE_ROWS + 5
_CREATED = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=2)
_TRIES = MAX_ATTEMPTS + 5
_GROUP = "0123456789ab"
_NOTHING = {column.name: 0 for column in ROLLUPS.columns}
_STATES = [(state.name, *pair) for state in STATES.values() for pair in state.pairs]
_OF_STATES = 1000
"""Their first number."""


def _uid(number: int) -> str:
    return f"{number:08x}-3c1a-4e5f-9a06-3a1a2c9d0b11"


_UID, _OFTEN_TRIED = _uid(0), _uid(1)


@pytest.fixture(scope="module")
def mirror(mariadb: int) -> Iterator[sa.Engine]:
    """A mirror that no operator writes to: jobs, the newest with all that there is of a job."""
    engine = sa.create_engine(fresh_database(mariadb))
    upgrade(engine)
    with engine.begin() as connection:
        for table, rows in _rows().items():
            connection.execute(sa.insert(table), rows)
    yield engine
    engine.dispose()


def _rows() -> dict[sa.Table, list[dict[str, Any]]]:
    version = {"resource_version": "1"}
    of_job = {"uid": _UID, **version}
    of_class = {"class": "shop.Mail", "priority": 1}
    bucket = rollups.bucket_of(_CREATED)
    attempt = {
        "run": 1,
        "reason": "Error",
        "outcome": "Failed",
        "message": "failed with exit code 1",
        "finished_at": _CREATED,
        "created_at": _CREATED,
        **of_class,
        **version,
    }
    jobs = [_job(number) for number in range(_JOBS)]
    jobs[1]["attempts_total"] = _TRIES
    for number, (state, phase, reason) in enumerate(_STATES, _OF_STATES):
        job = _job(number) | {"class": "shop.States", "phase": phase, "reason": str(reason)}
        job["completed_at"] = _CREATED if phase in map(str, TERMINAL_PHASES) else None
        job["deleted_at"] = _CREATED if state == "Deleted" else None
        jobs.append(job)
    return {
        META: [{"id": 1, "as_of": _CREATED, "written_at": _CREATED}],
        JOBS: jobs,
        JOB_DETAILS: [
            {
                "parameters": '{"warehouse": 7, "api_token": "s3cret"}',
                "result": '{"rows": 2, "password": "s3cret"}',
                **of_job,
            },
            {
                "uid": _OFTEN_TRIED,
                "parameters": "{}",
                "result": "[" * 600 + "]" * 600,
                **version,
            },
        ],
        JOB_LABELS: [{"name": "customer", "value": "42", "created_at": _CREATED, **of_job}],
        ATTEMPTS: [
            {
                "uid": _UID,
                "attempt": 1,
                "job_name": "mail-0-1",
                "error_type": "ValueError",
                "error_group": _GROUP,
                **attempt,
            },
            *(
                {
                    "uid": _OFTEN_TRIED,
                    "attempt": number,
                    "job_name": f"mail-1-{number}",
                    "error_type": None,
                    "error_group": None,
                    **attempt,
                }
                for number in range(1, _TRIES + 1)
            ),
        ],
        LOG_TAILS: [{"uid": _UID, "run": 1, "attempt": 1, "text": "ERROR"}],
        ACTIONS: [
            {"uid": _UID, "action": "cancelled", "ordinal": 1, "by_user": "ann", "at": _CREATED}
        ],
        ROLLUPS: [{**_NOTHING, **of_class, "bucket_at": bucket, "attempts": 900, "failed": 777}],
        ERROR_ROLLUPS: [
            {
                "bucket_at": bucket,
                "error_group": _GROUP,
                "class": "shop.Mail",
                "attempts": 900,
                "failed": 777,
            }
        ],
    }


def _job(number: int) -> dict[str, Any]:
    return {
        "uid": _uid(number),
        "namespace": "shop",
        "name": f"mail-{number}",
        "class": "shop.Mail",
        "method": "handle",
        "priority": 1,
        "delay_seconds": 0,
        "retries": 3,
        "phase": "Failed",
        "reason": "Error",
        "message": "",
        "run": 1,
        "attempts_total": 1,
        "created_at": _CREATED - timedelta(seconds=number),
        "completed_at": _CREATED,
        "deleted_at": None,
        "resource_version": "1",
    }


@pytest.fixture(scope="module")
def headers(server: Server) -> dict[str, str]:
    dashboards.install(server)
    return {"Authorization": f"Bearer {dashboards.token(server, 'bgjobs-admin')}"}


@pytest.fixture(scope="module")
def url(
    server: Server,
    headers: dict[str, str],
    mirror: sa.Engine,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    assert headers
    reader = limited_user(mirror, "api_reader", "SELECT")
    with dashboards.running(server, reader, tmp_path_factory.mktemp("dashboard")) as running:
        yield running.url


def _get(address: str, headers: dict[str, str]) -> tuple[int, Any]:
    answer = urllib3.request("GET", address, headers=headers, timeout=_ANSWERS_WITHIN_S)
    return answer.status, answer.json() if "/api/" in address else answer.data.decode()


def _is(time: str, want: datetime) -> bool:
    """Whether it is that time, and says its zone."""
    return datetime.fromisoformat(time) == want.replace(tzinfo=UTC)


def test_the_number_of_failures_leads_to_a_page_that_counts_the_same(
    url: str, headers: dict[str, str]
) -> None:
    _, overview = _get(f"{url}/", headers)
    tile = re.search(r'href="([^"]+)">(?:(?!</a>).)*Failed, 24 h</span>[^>]*>777<', overview)
    assert tile
    status, page = _get(url + tile[1], headers)
    assert status == 200
    assert 'data-l="failed jobs">777<' in page


def test_many_who_look_at_once_are_answered_in_turn(url: str, headers: dict[str, str]) -> None:
    pages = [f"{url}{path}" for path in ("/", "/jobs", "/errors", "/analytics")] * 25
    with ThreadPoolExecutor(len(pages)) as viewers:
        answers = [*viewers.map(lambda page: _get(page, headers), pages)]
    assert [status for status, _ in answers] == [200] * len(pages)


def test_tables_of_another_version_are_told(
    url: str, headers: dict[str, str], mirror: sa.Engine
) -> None:
    def rename(old: str, new: str) -> None:
        with mirror.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE jobs RENAME COLUMN {old} TO {new}")

    rename("message", "message_then")
    try:
        status, page = _get(f"{url}/jobs", headers)
    finally:
        rename("message_then", "message")
    assert (status, "no tables of this version" in page) == (503, True)


def test_a_database_that_lets_nobody_in_is_told(
    url: str, headers: dict[str, str], mirror: sa.Engine
) -> None:
    def change(*statements: str) -> None:
        with mirror.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    what = f"SELECT ON {mirror.url.database}.*"
    change(f"REVOKE {what} FROM api_reader", "KILL CONNECTION USER api_reader")
    try:
        status, page = _get(f"{url}/jobs", headers)
    finally:
        change(f"GRANT {what} TO api_reader")
    assert (status, "does not let the dashboard in" in page) == (503, True)
    assert _get(f"{url}/jobs", headers)[0] == 200


def test_pages_of_jobs_follow_each_other(url: str, headers: dict[str, str]) -> None:
    found, before = [], ""
    for _ in range(2):
        status, page = _get(f"{url}/api/v1/jobs?class=shop.Mail{before}", headers)
        assert status == 200
        found += page["jobs"]
        before = f"&before={page['before']}"
    assert page["before"] is None
    assert [job["name"] for job in found] == [f"mail-{number}" for number in range(_JOBS)]
    assert (found[0]["class"], found[0]["state"]) == ("shop.Mail", "Failed")
    assert found[0]["result"] == {"rows": 2, "password": "••••••"}
    assert _is(found[0]["created_at"], _CREATED)
    assert found[0]["started_at"] is None


def test_a_job_is_told_with_its_attempts_and_without_its_secrets(
    url: str, headers: dict[str, str]
) -> None:
    status, job = _get(f"{url}/api/v1/jobs/{_UID}", headers)
    assert status == 200
    assert job["parameters"] == {"warehouse": 7, "api_token": "••••••"}
    assert job["labels"] == {"customer": "42"}
    [attempt] = job["attempts"]
    assert (attempt["error_group"], attempt["has_log"]) == (_GROUP, True)
    assert _is(attempt["finished_at"], _CREATED)
    [action] = job["actions"]
    assert (action["action"], action["by_user"]) == ("cancelled", "ann")
    assert _is(action["at"], _CREATED)


def test_a_page_says_that_a_job_has_more_attempts_than_it_shows(
    url: str, headers: dict[str, str]
) -> None:
    status, page = _get(f"{url}/jobs/{_OFTEN_TRIED}", headers)
    assert status == 200
    assert f"the latest {MAX_ATTEMPTS} of {_TRIES}; " in page
    assert f"; {_TRIES} attempts ended" in page
    # The first one shown has not waited since the job was created.
    assert f"attempt {_TRIES - MAX_ATTEMPTS + 1}: queued and starting" not in page
    status, page = _get(f"{url}/jobs/{_UID}", headers)
    assert status == 200
    assert "the latest 1 of" not in page


def test_a_job_of_every_state_has_a_page(url: str, headers: dict[str, str]) -> None:
    for number, (state, *_) in enumerate(_STATES, _OF_STATES):
        assert _get(f"{url}/jobs/{_uid(number)}", headers)[0] == 200, state
        status, job = _get(f"{url}/api/v1/jobs/{_uid(number)}", headers)
        assert (status, job["state"]) == (200, state)


def test_an_address_may_end_in_a_space(url: str, headers: dict[str, str]) -> None:
    """Which makes no difference to the database."""
    assert _get(f"{url}/errors/{_GROUP}%20", headers)[0] == 200


def test_error_groups_are_those_of_the_class_that_is_asked_for(
    url: str, headers: dict[str, str]
) -> None:
    status, [group] = _get(f"{url}/api/v1/error-groups?class=shop.Mail&period=7d", headers)
    assert status == 200
    assert (group["error_group"], group["type"]) == (_GROUP, "ValueError")
    assert (group["failed_attempts"], group["failed_jobs"]) == (900, 777)
    assert _is(group["last_seen"], _CREATED)
    assert _get(f"{url}/api/v1/error-groups?class=shop.Sync", headers) == (200, [])


def test_the_mirror_says_how_current_it_is(url: str, headers: dict[str, str]) -> None:
    status, mirror = _get(f"{url}/api/v1/mirror", headers)
    assert status == 200
    assert _is(mirror["as_of"], _CREATED)
    assert mirror["behind_seconds"] >= 7200
    assert "no sign of life" in mirror["problem"]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("/jobs?colour=a&colour=b", "There is no filter 'colour'"),
        ("/jobs?state=Failed&state=Sleeping", "use one of Scheduled"),
        ("/error-groups?colour=a", "There is no filter 'colour'"),
        ("/error-groups?period=1y", "is no period"),
    ],
)
def test_what_is_no_filter_is_refused(
    url: str, headers: dict[str, str], address: str, says: str
) -> None:
    status, answer = _get(f"{url}/api/v1{address}", headers)
    assert status == 400
    assert says in answer["error"]
