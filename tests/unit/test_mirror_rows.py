"""A BackgroundJob as rows of the mirror."""

from datetime import datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from tests.unit.builders import CLASS, NOW, UID, attempt, background_job, seconds

from bgjobs.domain.resource import Backoff, Phase, Priority, Reason, Status, Who
from bgjobs.mirror.rows import action_rows, details_row, job_row, padded
from bgjobs.mirror.schema import ACTIONS, JOB_DETAILS, JOBS

FINISHED = Status(
    phase=Phase.SUCCEEDED,
    reason=Reason.SUCCEEDED,
    message="Attempt 1 of 4 succeeded.",
    effective_retries=3,
    effective_delay_seconds=12,
    start_time=NOW + seconds(1),
    completion_time=NOW + seconds(4),
    run_seconds=3.0,
    run=2,
    attempts_total=5,
    result={"updated": 12},
)


def test_a_row_says_what_the_job_is_and_how_it_stands() -> None:
    job = background_job(FINISHED, priority=Priority.HIGH, delay_seconds=15)
    assert job_row(job) == {
        "uid": UID,
        "namespace": "shop",
        "name": "stock",
        "class": CLASS,
        "method": "handle",
        "priority": 1,
        "delay_seconds": 15,
        "effective_delay_seconds": 12,
        "retries": 3,
        "effective_retries": 3,
        "phase": "Succeeded",
        "reason": "Succeeded",
        "message": "Attempt 1 of 4 succeeded.",
        "run": 2,
        "attempts_total": 5,
        "attempts_of_run": 0,
        "retries_used": 0,
        "disruptions": 0,
        "run_seconds": 3.0,
        "created_at": datetime(2030, 1, 31, 12, 0),
        "could_start_at": None,
        "next_attempt_at": None,
        "started_at": datetime(2030, 1, 31, 12, 0, 1),
        "completed_at": datetime(2030, 1, 31, 12, 0, 4),
        "error_group": None,
        "resource_version": "0" * 36 + "100",
    }


def test_the_rows_fill_every_column_but_those_that_are_not_of_the_state() -> None:
    job = background_job()
    assert set(job_row(job)) == set(JOBS.c.keys()) - {"deleted_at", "epoch"}
    assert set(details_row(job)) == set(JOB_DETAILS.c.keys()) - {"epoch"}
    [action] = action_rows(background_job(who=Who(created_by="ann")), NOW)
    assert set(action) == set(ACTIONS.c.keys())


def test_times_are_utc_whatever_their_zone() -> None:
    tokyo = NOW.astimezone(timezone(timedelta(hours=9)))
    row = job_row(background_job(Status(next_attempt_time=tokyo)))
    assert row["next_attempt_at"] == datetime(2030, 1, 31, 12, 0)


@pytest.mark.parametrize(
    ("result", "want"),
    [
        pytest.param(None, None, id="none"),
        pytest.param(0, "0", id="zero is one"),
        pytest.param(False, "false", id="false is one"),
        pytest.param("", '""', id="an empty text is one"),
        pytest.param({"a": ["é", "\0", "😀"]}, '{"a":["é","\\u0000","😀"]}', id="any JSON"),
    ],
)
def test_a_result_is_kept_as_json(result: object, want: str | None) -> None:
    job = background_job(msgspec.structs.replace(FINISHED, result=result))
    assert details_row(job)["result"] == want


@pytest.mark.parametrize(
    ("status", "spec", "want"),
    [
        pytest.param(Status(), {}, NOW, id="at once"),
        pytest.param(
            Status(), {"delay_seconds": 15, "retries": 3}, NOW + seconds(12), id="delayed"
        ),
        pytest.param(
            Status(),
            {"delay_seconds": 900, "start_requests": 1, "changed": NOW + seconds(60)},
            NOW + seconds(60),
            id="started by hand",
        ),
        pytest.param(
            Status(observed_start_requests=1, attempts=(attempt(finish=NOW + seconds(60)),)),
            {"start_requests": 1, "backoff": Backoff(seconds=0), "changed": NOW + seconds(30)},
            NOW + seconds(60),
            id="the attempt after one that was started by hand",
        ),
        pytest.param(Status(run=2), {}, NOW, id="a status that nobody of ours wrote"),
    ],
)
def test_ages_of_waiting_count_from_when_a_job_could_start(
    status: Status, spec: dict[str, Any], want: datetime
) -> None:
    assert job_row(background_job(status, **spec))["could_start_at"] == want.replace(tzinfo=None)


def test_the_spec_is_kept_but_for_its_parameters_which_are_large() -> None:
    row = details_row(background_job(parameters={"a": 1}, retries=7))
    assert msgspec.json.decode(row["spec"]) == {"class": CLASS, "retries": 7}


def test_parameters_are_kept_as_json() -> None:
    assert details_row(background_job(parameters={"a": [1, "$(X)"]}))["parameters"] == (
        '{"a":[1,"$(X)"]}'
    )


CREATED = ("created", 0, "ann", datetime(2030, 1, 31, 12, 0))
LATER = datetime(2030, 1, 31, 12, 5)


@pytest.mark.parametrize(
    ("who", "spec", "want"),
    [
        pytest.param(Who(), {}, [], id="no policy stamps anything"),
        pytest.param(Who(created_by="ann"), {}, [CREATED], id="created"),
        pytest.param(
            Who(created_by="ann", started_by="bob"),
            {"start_requests": 2},
            [CREATED, ("started", 2, "bob", LATER)],
            id="started by hand, for the second time",
        ),
        pytest.param(
            Who(created_by="ann", cancelled_by="bob"),
            {"cancelled": True},
            [CREATED, ("cancelled", 0, "bob", LATER)],
            id="cancelled",
        ),
        pytest.param(
            Who(created_by="ann", cancelled_by="bob", retried_by="eve"),
            {"retry_requests": 1},
            [CREATED, ("retried", 1, "eve", LATER)],
            id="cancelled, then retried",
        ),
    ],
)
def test_who_did_what_is_kept_with_its_time(
    who: Who, spec: dict[str, Any], want: list[tuple[object, ...]]
) -> None:
    job = background_job(who=who, changed=NOW + seconds(300), **spec)
    actions = action_rows(job, NOW + seconds(600))
    rows = [(r["action"], r["ordinal"], r["by_user"], r["at"]) for r in actions]
    assert rows == want


def test_versions_compare_as_texts_once_they_are_padded() -> None:
    versions = ["9", "10", "99", "100", str(2**64), str(2**127)]
    assert sorted(map(padded, versions)) == [padded(version) for version in versions]
    assert {len(padded(version)) for version in versions} == {39}
