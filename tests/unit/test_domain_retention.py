"""How long finished BackgroundJobs and recorded child Jobs stay."""

import msgspec
import pytest
from tests.unit.builders import NOW, attempt, background_job, child_job, seconds

from bgjobs.domain.observation import ChildJob
from bgjobs.domain.resource import AttemptOutcome, Phase, Status
from bgjobs.domain.retention import (
    Retention,
    child_has_expired,
    child_is_astray,
    job_has_expired,
    surplus,
)

_RETENTION = Retention(
    succeeded_seconds=10,
    unsuccessful_seconds=100,
    child_succeeded_seconds=60,
    child_unsuccessful_seconds=600,
    max_finished=2,
)


@pytest.mark.parametrize(
    ("phase", "ttl", "age", "expired"),
    [
        pytest.param(Phase.SUCCEEDED, None, 9, False, id="a success stays its time"),
        pytest.param(Phase.SUCCEEDED, None, 10, True, id="and then goes"),
        pytest.param(Phase.FAILED, None, 99, False, id="a failure stays longer"),
        pytest.param(Phase.CANCELLED, None, 100, True, id="a cancelled one goes as a failure does"),
        pytest.param(Phase.FAILED, 0, 0, True, id="the job's own time wins: at once"),
        pytest.param(Phase.SUCCEEDED, 1000, 999, False, id="the job's own time wins: later"),
        pytest.param(Phase.RUNNING, 0, 1000, False, id="what has not finished stays"),
    ],
)
def test_a_finished_job_expires(phase: Phase, ttl: int | None, age: int, expired: bool) -> None:
    status = Status(phase=phase, completion_time=NOW - seconds(age))
    job = background_job(status, ttl_seconds_after_finished=ttl)
    assert job_has_expired(job, _RETENTION, NOW) is expired


def test_a_finished_job_that_is_to_run_again_does_not_expire() -> None:
    status = Status(phase=Phase.FAILED, completion_time=NOW - seconds(1000))
    assert not job_has_expired(background_job(status, retry_requests=1), _RETENTION, NOW)


@pytest.mark.parametrize(
    ("succeeded", "age", "expired"),
    [
        pytest.param(True, 59, False, id="after a success it stays"),
        pytest.param(True, 60, True, id="and then goes"),
        pytest.param(False, 599, False, id="after a failure it stays longer"),
        pytest.param(False, 600, True, id="and then goes, too"),
    ],
)
def test_a_recorded_child_job_expires(succeeded: bool, age: int, expired: bool) -> None:
    job = background_job(Status(run=2))
    child = msgspec.structs.replace(
        child_job(), run=1, succeeded=succeeded, ended=NOW - seconds(age)
    )
    assert child_has_expired(child, job, _RETENTION, NOW) is expired


def test_a_child_job_stays_until_its_outcome_is_recorded() -> None:
    child = msgspec.structs.replace(child_job(), succeeded=True, ended=NOW - seconds(10_000))
    assert not child_has_expired(child, background_job(), _RETENTION, NOW)


def test_a_child_job_that_is_being_deleted_is_let_be() -> None:
    child = msgspec.structs.replace(child_job(), deleted_at=NOW, ended=NOW - seconds(10_000))
    assert not child_has_expired(child, background_job(Status(run=2)), _RETENTION, NOW)


_RECORDED = attempt(AttemptOutcome.FAILED, finish=NOW - seconds(61))
_JUST_RECORDED = attempt(AttemptOutcome.FAILED, finish=NOW - seconds(60))
_ELEVENTH = attempt(AttemptOutcome.FAILED, number=11)


@pytest.mark.parametrize(
    ("child", "status", "astray"),
    [
        pytest.param(child_job(), Status(), False, id="under way"),
        pytest.param(child_job(2), Status(), False, id="of a run that the status lags behind"),
        pytest.param(child_job(), Status(attempts=(_RECORDED,)), True, id="recorded"),
        pytest.param(child_job(), Status(attempts=(_JUST_RECORDED,)), False, id="just recorded"),
        pytest.param(child_job(1, 2), Status(attempts=(_RECORDED,)), False, id="the next attempt"),
        pytest.param(child_job(), Status(attempts=(_ELEVENTH,)), True, id="no longer listed"),
        pytest.param(child_job(), Status(run=2), True, id="of an earlier run"),
        pytest.param(
            child_job(created=NOW - seconds(61)),
            Status(phase=Phase.CANCELLED),
            True,
            id="the job has finished",
        ),
        pytest.param(
            child_job(created=NOW - seconds(60)),
            Status(phase=Phase.CANCELLED),
            False,
            id="the job has just finished",
        ),
        pytest.param(child_job(ended=NOW), Status(attempts=(_RECORDED,)), False, id="it has ended"),
        pytest.param(
            child_job(deleted_at=NOW), Status(run=2), False, id="it is being deleted already"
        ),
    ],
)
def test_a_child_job_that_goes_on_past_its_end_strays(
    child: ChildJob, status: Status, astray: bool
) -> None:
    assert child_is_astray(child, background_job(status), NOW) is astray


def test_the_oldest_beyond_the_limit_go() -> None:
    metadata = [background_job(uid=uid).metadata for uid in "abcd"]
    ended = zip([NOW + seconds(n) for n in (3, 1, 4, 2)], metadata, strict=True)
    assert [each.uid for each in surplus(ended, _RETENTION)] == ["d", "b"]


def test_without_a_limit_all_stay() -> None:
    unlimited = msgspec.structs.replace(_RETENTION, max_finished=0)
    assert surplus([(NOW, background_job().metadata)] * 9, unlimited) == ()
