"""Which changes a BackgroundJob takes: what is fixed, and what its phase lets be asked for."""

from typing import Any

import pytest
from tests.server import Jobs, created, patch, patch_spec, patch_status, request

WAITING = ("Pending", "Retrying")
ACTIVE = (*WAITING, "Running", "Cancelling")
RETRYABLE = ("Failed", "Cancelled", "Rejected")
FINISHED = ("Succeeded", *RETRYABLE)
PHASES = (*ACTIVE, *FINISHED)

_REASONS = {
    "Pending": "Queued",
    "Retrying": "BackingOff",
    "Running": "Running",
    "Cancelling": "Cancelling",
    "Succeeded": "Succeeded",
    "Failed": "Error",
    "Cancelled": "Cancelled",
    "Rejected": "NotAllowed",
}
_NO_UNDO = (
    "spec.cancelled: Forbidden: a cancel cannot be taken back: once the job is Cancelled, run it "
    'again by setting "cancelled: false" and raising retryRequests by one in the same change '
    "(kubectl bgjob retry does)"
)
_BY_ONE = (
    "Forbidden: this counts requests and can only be raised by one: write 2 to keep it as it is"
)
_RETRY_OF_CANCELLED = (
    'spec.retryRequests: Forbidden: a cancelled job is retried by setting "cancelled: false" and '
    "raising retryRequests by one in the same change (kubectl bgjob retry does)"
)


def _job_in(jobs: Jobs, name: str, phase: str, **spec: Any) -> None:
    """A job whose operator has brought it into this phase."""
    created(jobs, name, **spec)
    answer = patch_status(
        jobs,
        name,
        {
            "phase": phase,
            "reason": _REASONS[phase],
            "message": "set by a test",
            "observedRetryRequests": spec.get("retryRequests", 0),
        },
    )
    assert answer.status == 200, answer.message


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param(
            {"class": "contract.jobs.Other"},
            "spec.class: Forbidden: class cannot be changed, create a new BackgroundJob instead",
            id="class",
        ),
        pytest.param(
            {"method": "other"},
            "spec.method: Forbidden: method cannot be changed, create a new BackgroundJob instead",
            id="method",
        ),
    ],
)
def test_what_runs_is_fixed(jobs: Jobs, name: str, spec: dict[str, Any], message: str) -> None:
    created(jobs, name)
    answer = patch_spec(jobs, name, **spec)
    assert (answer.status, message in answer.message) == (422, True), answer.message


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("priority", "High"),
        ("delay", "2h"),
        ("startAt", "2030-01-31T06:00:00Z"),
        ("retries", 7),
        ("backoff", {"seconds": 1, "factor": 1, "maxSeconds": 2}),
        ("adjustment", "Disabled"),
        ("activeDeadlineSeconds", 60),
        ("pendingDeadlineSeconds", 60),
        ("ttlSecondsAfterFinished", 60),
        ("suspend", True),
        ("cancelReason", "a mistake"),
    ],
)
def test_how_and_when_it_runs_can_be_changed(jobs: Jobs, name: str, field: str, value: Any) -> None:
    created(jobs, name)
    answer = patch_spec(jobs, name, **{field: value})
    assert answer.body["spec"][field] == value, answer.message


@pytest.mark.parametrize("phase", ACTIVE)
def test_an_unfinished_job_can_be_cancelled(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    answer = patch_spec(jobs, name, cancelled=True, cancelReason="no longer wanted")
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("phase", FINISHED)
def test_a_finished_job_cannot_be_cancelled(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    answer = patch_spec(jobs, name, cancelled=True)
    assert answer.message.endswith(
        f"spec.cancelled: Forbidden: this job is already {phase}: nothing is left to cancel"
    )


def test_a_job_whose_retry_no_operator_took_up_yet_can_be_cancelled(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Failed")
    assert patch_spec(jobs, name, retryRequests=1).status == 200
    answer = patch_spec(jobs, name, cancelled=True)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_cannot_be_taken_back(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase, cancelled=True)
    assert patch_spec(jobs, name, cancelled=False).message.endswith(_NO_UNDO)


def test_cancelling_twice_changes_nothing(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Cancelled", cancelled=True)
    answer = patch_spec(jobs, name, cancelled=True)
    assert answer.body["metadata"]["generation"] == 1, answer.message


@pytest.mark.parametrize("phase", RETRYABLE)
def test_a_job_that_ended_without_success_can_be_retried(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    answer = patch_spec(jobs, name, retryRequests=1)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("phase", ACTIVE)
def test_an_unfinished_job_cannot_be_retried(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    assert patch_spec(jobs, name, retryRequests=1).message.endswith(
        f"spec.retryRequests: Forbidden: this job is {phase} and can only be retried once it is "
        "Failed, Cancelled or Rejected: wait for that, or cancel it first"
    )


def test_a_job_that_succeeded_cannot_be_retried(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Succeeded")
    assert patch_spec(jobs, name, retryRequests=1).message.endswith(
        "spec.retryRequests: Forbidden: this job has Succeeded and cannot be retried: to run it "
        "again, create a new BackgroundJob"
    )


@pytest.mark.parametrize("phase", RETRYABLE)
def test_a_cancelled_job_is_retried_by_both_fields_together(
    jobs: Jobs, name: str, phase: str
) -> None:
    _job_in(jobs, name, phase, cancelled=True)
    answer = patch_spec(jobs, name, cancelled=False, retryRequests=1)
    assert answer.status == 200, answer.message


def test_a_cancelled_job_is_not_retried_by_the_counter_alone(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Cancelled", cancelled=True)
    assert patch_spec(jobs, name, retryRequests=1).message.endswith(_RETRY_OF_CANCELLED)


def test_a_retry_cannot_cancel_in_the_same_change(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Failed")
    answer = patch_spec(jobs, name, retryRequests=1, cancelled=True)
    assert _RETRY_OF_CANCELLED in answer.message


@pytest.mark.parametrize("phase", WAITING)
def test_a_waiting_job_can_be_started(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    answer = patch_spec(jobs, name, startRequests=1)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("phase", [phase for phase in PHASES if phase not in WAITING])
def test_a_job_that_does_not_wait_cannot_be_started(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase)
    assert patch_spec(jobs, name, startRequests=1).message.endswith(
        f"spec.startRequests: Forbidden: this job is {phase} and only a waiting one (Pending or "
        "Retrying) can be started by hand: to run a Failed, Cancelled or Rejected one again, "
        "raise retryRequests by one"
    )


def test_a_waiting_job_that_is_cancelled_cannot_be_started(jobs: Jobs, name: str) -> None:
    _job_in(jobs, name, "Pending", cancelled=True)
    assert patch_spec(jobs, name, startRequests=1).message.endswith(
        "spec.startRequests: Forbidden: a cancelled job cannot be started: once it is Cancelled, "
        'raise retryRequests by one and set "cancelled: false"'
    )


@pytest.mark.parametrize("counter", ["startRequests", "retryRequests"])
@pytest.mark.parametrize("value", [0, 1, 4], ids=["back to 0", "lowered by one", "raised by two"])
def test_counters_only_rise_by_one(jobs: Jobs, name: str, counter: str, value: int) -> None:
    phase = "Pending" if counter == "startRequests" else "Failed"
    _job_in(jobs, name, phase, startRequests=2, retryRequests=2)
    answer = patch(jobs, name, {"spec": {counter: value}})
    assert answer.message.endswith(f"spec.{counter}: {_BY_ONE}")


@pytest.mark.parametrize("phase", PHASES)
def test_labels_of_a_job_can_be_changed_in_every_phase(jobs: Jobs, name: str, phase: str) -> None:
    _job_in(jobs, name, phase, cancelled=True, startRequests=1, retryRequests=1)
    answer = patch(jobs, name, {"metadata": {"labels": {"team": "shop"}}})
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("phase", PHASES)
def test_requests_already_made_never_hinder_the_operator(jobs: Jobs, name: str, phase: str) -> None:
    created(jobs, name, cancelled=True, startRequests=3, retryRequests=3)
    for step in (phase, *PHASES):
        answer = patch_status(jobs, name, {"phase": step, "reason": _REASONS[step]})
        assert answer.status == 200, answer.message


def test_the_status_of_a_spec_change_is_ignored(jobs: Jobs, name: str) -> None:
    """Nobody can slip past the rules by naming another phase in the same change."""
    _job_in(jobs, name, "Succeeded")
    body = {"spec": {"retryRequests": 1}, "status": {"phase": "Failed", "reason": "Error"}}
    assert "this job has Succeeded" in patch(jobs, name, body).message


def test_the_spec_of_a_status_change_is_ignored(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    answer = request(
        jobs.server,
        "PATCH",
        f"{jobs.path}/{name}/status",
        {"spec": {"class": "os.system", "cancelled": True}, "status": {"run": 1}},
        content_type="application/merge-patch+json",
    )
    assert answer.body["spec"]["cancelled"] is False, answer.message
