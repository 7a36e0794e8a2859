"""Cancel, suspend and resume while an attempt is under way, and runs that were asked for again."""

from typing import Any

import msgspec
import pytest
from tests.unit.builders import (
    CONFIG,
    NOW,
    after,
    attempt,
    background_job,
    child_job,
    condition,
    failed,
    running,
    seconds,
    see,
    succeeded,
)

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision
from bgjobs.domain.resource import AttemptOutcome, BackgroundJob, Phase, Reason, Status

LATER = NOW + seconds(10)
RUNNING = Status(phase=Phase.RUNNING, reason=Reason.RUNNING)


def test_a_cancel_stops_the_attempt_and_is_shown_at_once() -> None:
    job = background_job(RUNNING, cancelled=True, cancel_reason="a mistake")
    decision = decide(see(job, child_job(), running()), CONFIG, LATER)
    assert (decision.status.phase, decision.status.reason) == (Phase.CANCELLING, Reason.CANCELLING)
    assert decision.status.message.startswith("Being cancelled (a mistake): attempt 1 is told")
    assert decision.stop == child_job()
    assert decision.urgent
    assert decision.look_again_at == LATER + seconds(1)


@pytest.mark.parametrize(
    ("child", "pod"),
    [
        pytest.param(child_job(deleted_at=LATER), running(), id="it runs"),
        pytest.param(
            child_job(deleted_at=LATER), failed(exit_code=143), id="its Job is still there"
        ),
        pytest.param(child_job(gone=True), running(), id="its pod is still there"),
    ],
)
def test_a_cancel_is_not_over_before_job_and_pod_are_gone(child: Any, pod: Any) -> None:
    job = background_job(RUNNING, cancelled=True)
    assert decide(see(job, child, pod), CONFIG, LATER).status.phase is Phase.CANCELLING


@pytest.mark.parametrize(
    "pod",
    [None, failed(exit_code=143), running(gone=True)],
    ids=["never seen", "ended", "gone without last words"],
)
def test_a_cancel_is_over_when_job_and_pod_are_gone(pod: Any) -> None:
    job = background_job(RUNNING, cancelled=True, cancel_reason="a mistake")
    status = decide(see(job, child_job(gone=True), pod), CONFIG, LATER).status
    assert (status.phase, status.reason) == (Phase.CANCELLED, Reason.CANCELLED)
    assert status.message == "Cancelled (a mistake) while attempt 1 was under way."
    assert status.attempts[0].outcome is AttemptOutcome.CANCELLED
    assert status.retries_used == 0
    assert status.completion_time == LATER


@pytest.mark.parametrize(
    "child",
    [child_job(), child_job(deleted_at=LATER), child_job(gone=True)],
    ids=["", "del", "gone"],
)
def test_a_cancel_that_came_too_late_leaves_the_success(child: Any) -> None:
    job = background_job(RUNNING, cancelled=True)
    status = decide(see(job, child, succeeded()), CONFIG, LATER).status
    assert (status.phase, status.result) == (Phase.SUCCEEDED, 42)
    assert status.message == "Attempt 1 of 4 succeeded. The cancel came too late."


def test_a_success_after_the_cancel_was_carried_out_is_none() -> None:
    job = background_job(RUNNING, cancelled=True)
    too_late = child_job(deleted_at=NOW + seconds(3))
    assert decide(see(job, too_late, succeeded()), CONFIG, LATER).status.phase is Phase.CANCELLING
    gone = msgspec.structs.replace(too_late, gone=True)
    status = decide(see(job, gone, succeeded()), CONFIG, LATER).status
    assert (status.phase, status.attempts[0].exit_code) == (Phase.CANCELLED, 0)


def test_a_cancel_says_how_long_the_attempt_took_to_end() -> None:
    job = background_job(RUNNING, cancelled=True)
    job = after(job, decide(see(job, child_job(), running()), CONFIG, NOW + seconds(1)))
    child = child_job(gone=True)
    status = decide(see(job, child, failed(exit_code=143)), CONFIG, LATER).status
    assert status.message == "Cancelled while attempt 1 was under way; it took 3 s to end."
    status = decide(see(job, child, running(gone=True)), CONFIG, LATER).status
    assert status.message == "Cancelled while attempt 1 was under way; it took 9 s to end."


def test_only_fifty_suspensions_of_a_run_are_free() -> None:
    job = background_job(RUNNING, suspend=True, retries=1)
    for number in range(1, 52):
        stopped = see(job, child_job(1, number, gone=True), running(1, number, gone=True))
        job = after(job, decide(stopped, CONFIG, LATER))
        assert job.status.reason is (Reason.SUSPENDED if number <= 50 else Reason.BACKING_OFF)
    assert (job.status.suspensions, job.status.retries_used) == (51, 1)


def test_what_a_pod_ends_with_because_it_was_cancelled_is_no_success() -> None:
    job = background_job(RUNNING, cancelled=True)
    told = msgspec.structs.replace(succeeded(), told_to_end=True)
    decision = decide(see(job, child_job(deleted_at=LATER), told), CONFIG, LATER)
    assert decision.status.phase is Phase.CANCELLING
    status = decide(see(job, child_job(gone=True), told), CONFIG, LATER).status
    assert (status.phase, status.result) == (Phase.CANCELLED, None)


def test_a_cancel_ends_a_job_whose_attempt_failed_by_itself() -> None:
    job = background_job(RUNNING, cancelled=True)
    job = after(job, decide(see(job, child_job(), failed()), CONFIG, LATER))
    assert job.status.attempts[0].outcome is AttemptOutcome.FAILED
    decision = decide(see(job), CONFIG, LATER)
    assert (decision.status.phase, decision.start) == (Phase.CANCELLED, None)


def test_a_cancel_counts_for_more_than_a_suspend() -> None:
    job = background_job(RUNNING, cancelled=True, suspend=True)
    status = decide(see(job, child_job(gone=True)), CONFIG, LATER).status
    assert status.phase is Phase.CANCELLED


def suspended_while_running() -> tuple[BackgroundJob, Decision]:
    job = background_job(RUNNING, suspend=True)
    return job, decide(see(job, child_job(), running()), CONFIG, LATER)


def test_a_suspend_stops_the_attempt_and_is_remembered() -> None:
    _, decision = suspended_while_running()
    assert decision.stop == child_job()
    assert decision.status.reason is Reason.SUSPENDED
    assert decision.urgent
    assert decision.look_again_at == LATER + seconds(1)


@pytest.mark.parametrize("stop", [{"cancelled": True}, {"suspend": True}], ids=str)
def test_what_stops_an_attempt_names_its_job_since_it_will_be_gone(stop: Any) -> None:
    decision = decide(see(background_job(**stop), child_job()), CONFIG, LATER)
    assert decision.status.job_ref is not None
    assert decision.status.job_ref.uid == child_job().uid


def test_a_suspended_attempt_costs_no_retry_and_the_job_waits() -> None:
    job, decision = suspended_while_running()
    job = after(job, decision)
    gone = see(job, child_job(gone=True), failed(exit_code=143))
    status = decide(gone, CONFIG, LATER).status
    assert (status.phase, status.reason) == (Phase.RETRYING, Reason.SUSPENDED)
    assert (status.retries_used, status.attempts_total, status.job_ref) == (0, 1, None)
    assert status.attempts[0].outcome is AttemptOutcome.SUSPENDED


def test_a_resumed_job_starts_its_next_attempt_at_once() -> None:
    job, decision = suspended_while_running()
    job = after(job, decision)
    job = after(job, decide(see(job, child_job(gone=True)), CONFIG, LATER))
    assert decide(see(job), CONFIG, LATER).start is None
    start = decide(see(after(job, decide(see(job), CONFIG, LATER), suspend=False)), CONFIG, LATER)
    assert start.start is not None
    assert start.start.attempt == 2


def test_a_resume_before_the_attempt_has_ended_costs_no_retry_either() -> None:
    job, decision = suspended_while_running()
    resumed = after(job, decision, suspend=False)
    ending = decide(see(resumed, child_job(deleted_at=LATER), running()), CONFIG, LATER)
    assert ending.status.reason is Reason.SUSPENDED
    gone = see(after(resumed, ending), child_job(gone=True), failed(exit_code=143))
    status = decide(gone, CONFIG, LATER).status
    assert status.attempts[0].outcome is AttemptOutcome.SUSPENDED
    assert status.retries_used == 0


def test_nor_does_a_deletion_that_is_carried_out_after_the_job_went_on() -> None:
    job, decision = suspended_while_running()
    resumed = after(job, decision, suspend=False)
    resumed = after(resumed, decide(see(resumed, child_job(), running()), CONFIG, LATER))
    assert resumed.status.reason is Reason.RUNNING
    ending = decide(see(resumed, child_job(deleted_at=LATER), running()), CONFIG, LATER)
    assert ending.status.reason is Reason.SUSPENDED
    for late in (resumed, after(resumed, ending)):
        gone = see(late, child_job(gone=True), failed(exit_code=143))
        status = decide(gone, CONFIG, LATER).status
        assert status.attempts[0].outcome is AttemptOutcome.SUSPENDED
        assert status.retries_used == 0


def test_a_cancel_after_a_resume_takes_its_own_time() -> None:
    job, decision = suspended_while_running()
    job = after(job, decision, suspend=False)
    job = after(job, decide(see(job, child_job(), running()), CONFIG, LATER), cancelled=True)
    job = after(job, decide(see(job, child_job(), running()), CONFIG, LATER + seconds(60)))
    gone = see(job, child_job(gone=True), running(gone=True))
    status = decide(gone, CONFIG, LATER + seconds(62)).status
    assert status.message == "Cancelled while attempt 1 was under way; it took 2 s to end."


def test_an_attempt_that_is_given_up_after_a_resume_never_started() -> None:
    job = background_job(suspend=True, retries=0)
    job = after(job, decide(see(job, child_job()), CONFIG, LATER), suspend=False)
    job = after(job, decide(see(job, child_job()), CONFIG, NOW + seconds(600)))
    status = decide(see(job, child_job(gone=True)), CONFIG, NOW + seconds(601)).status
    assert status.reason is Reason.PENDING_DEADLINE_EXCEEDED


def test_a_suspend_that_was_over_before_the_attempt_started_does_not_count_for_it() -> None:
    job = background_job(suspend=True)
    resumed = after(job, decide(see(job), CONFIG, LATER), suspend=False)
    assert resumed.status.reason is Reason.SUSPENDED
    decision = decide(see(resumed, child_job(deleted_at=LATER), running()), CONFIG, LATER)
    assert decision.stop is None
    status = decide(see(resumed, child_job(gone=True)), CONFIG, LATER).status
    assert (status.attempts[0].outcome, status.retries_used) == (AttemptOutcome.JOB_DELETED, 1)


def test_a_resume_that_finds_its_job_untouched_lets_it_run() -> None:
    job, decision = suspended_while_running()
    resumed = after(job, decision, suspend=False)
    decision = decide(see(resumed, child_job(), running()), CONFIG, LATER)
    assert (decision.status.reason, decision.stop) == (Reason.RUNNING, None)


def test_an_attempt_that_succeeded_while_it_was_suspended_has_succeeded() -> None:
    job = background_job(RUNNING, suspend=True)
    decision = decide(see(job, child_job(deleted_at=LATER), succeeded()), CONFIG, LATER)
    assert decision.status.phase is Phase.SUCCEEDED


# Runs that were asked for again.


def finished_job(phase: Phase = Phase.FAILED, **spec: Any) -> BackgroundJob:
    """A job that failed in its first run with all that a run leaves."""
    job = background_job(retries=0, start_at=NOW - seconds(60))
    status = decide(see(job, child_job(), failed()), CONFIG, LATER).status
    status = msgspec.structs.replace(status, phase=phase, disruptions=5, deferrals=50, result=1)
    return msgspec.structs.replace(
        job, status=status, spec=msgspec.structs.replace(job.spec, **spec)
    )


@pytest.mark.parametrize("phase", [Phase.FAILED, Phase.CANCELLED, Phase.REJECTED])
def test_a_raised_retry_request_runs_a_finished_job_again_at_once(phase: Phase) -> None:
    job = finished_job(phase, retry_requests=1, retries=3)
    decision = decide(see(job), CONFIG, LATER)
    assert (decision.status.phase, decision.status.reason) == (Phase.PENDING, Reason.QUEUED)
    assert decision.status.message == "Run 2 was asked for and is queued."
    assert (decision.urgent, decision.look_again_at) == (True, LATER)
    start = decide(see(after(job, decision)), CONFIG, LATER).start
    assert start is not None
    assert (start.run, start.attempt) == (2, 1)
    assert start.job_name.endswith("-2-1")


def test_a_rerun_keeps_the_history_and_starts_its_counts_anew() -> None:
    job = finished_job(retry_requests=1, retries=3)
    status = decide(see(job), CONFIG, LATER).status
    assert (status.run, status.next_attempt) == (2, 1)
    [last] = job.status.attempts
    assert status.attempts == (msgspec.structs.replace(last, ended_as=Phase.FAILED),)
    assert status.attempts_total == 1
    assert (status.retries_used, status.disruptions, status.deferrals) == (0, 0, 0)
    assert (status.start_time, status.completion_time) == (None, None)
    assert (status.run_seconds, status.result) == (None, None)
    assert status.observed_retry_requests == 1
    finished = condition(status, "Finished")
    assert finished is not None
    assert (finished.status, finished.reason) == ("False", "Retried")


@pytest.mark.parametrize(
    "spec", [{"delay_seconds": 9000}, {"start_at": NOW + seconds(9000)}], ids=["delay", "startAt"]
)
def test_a_rerun_waits_for_no_delay(spec: dict[str, Any]) -> None:
    job = finished_job(retry_requests=1, **spec)
    job = after(job, decide(see(job), CONFIG, LATER))
    assert decide(see(job), CONFIG, LATER).start is not None


def test_a_rerun_could_start_since_it_was_asked_for() -> None:
    """Or a day-old job that is retried would pass every other one of its priority."""
    retried = NOW + seconds(86_400)
    job = finished_job(retry_requests=1)
    job = after(job, decide(see(job), CONFIG, retried))
    start = decide(see(job), CONFIG, retried + seconds(5)).start
    assert start is not None
    assert start.candidate.could_start_since == retried


def test_a_rerun_counts_its_attempts_from_one_and_all_in_the_total() -> None:
    job = finished_job(retry_requests=1)
    job = after(job, decide(see(job), CONFIG, LATER))
    job = after(job, decide(see(job, child_job(2, 1), failed(2, 1)), CONFIG, LATER))
    assert [(a.run, a.attempt) for a in job.status.attempts] == [(1, 1), (2, 1)]
    assert job.status.attempts_total == 2


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(finished_job(), id="nobody asked"),
        pytest.param(finished_job(retry_requests=1, cancelled=True), id="it is still cancelled"),
        pytest.param(finished_job(start_requests=1), id="a start request is none"),
        pytest.param(finished_job(suspend=True), id="suspend is none"),
        pytest.param(finished_job(retries=50), id="more retries are none"),
        pytest.param(finished_job(Phase.SUCCEEDED), id="succeeded"),
    ],
)
def test_any_other_finished_job_stays_as_it_is(job: BackgroundJob) -> None:
    config = Configuration()
    assert decide(see(job), config, LATER) == Decision.keep(job.status)


@pytest.mark.parametrize("pod", [failed(), succeeded()], ids=["fails", "succeeds"])
def test_a_number_of_retry_requests_that_a_job_was_created_with_asks_for_nothing(pod: Any) -> None:
    job = background_job(retries=0, retry_requests=3)
    job = after(job, decide(see(job, child_job(), pod), CONFIG, LATER))
    assert decide(see(job), CONFIG, LATER) == Decision.keep(job.status)


def test_the_run_after_such_a_number_is_the_second() -> None:
    job = background_job(retries=0, retry_requests=3)
    job = after(job, decide(see(job, child_job(), failed()), CONFIG, LATER), retry_requests=4)
    assert decide(see(job), CONFIG, LATER).status.run == 2


def test_of_a_run_without_attempts_no_earlier_one_tells_the_end() -> None:
    job = finished_job(retry_requests=1)
    job = after(job, decide(see(job), CONFIG, LATER), cancelled=True)
    job = after(job, decide(see(job), CONFIG, LATER), cancelled=False, retry_requests=2)
    status = decide(see(job), CONFIG, LATER).status
    assert (status.run, [each.ended_as for each in status.attempts]) == (3, [Phase.FAILED])


def test_a_rejected_job_runs_once_it_is_allowed_and_retried() -> None:
    refused = msgspec.structs.replace(CONFIG, allowlist={})
    job = background_job()
    job = after(job, decide(see(job), refused, NOW))
    assert decide(see(job), CONFIG, LATER) == Decision.keep(job.status)
    job = after(job, Decision.keep(job.status), retry_requests=1)
    job = after(job, decide(see(job), CONFIG, LATER))
    decision = decide(see(job), CONFIG, LATER)
    assert decision.start is not None
    accepted = condition(decision.status, "Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.last_transition_time) == ("True", LATER)


def test_a_cancelled_rerun_is_cancelled_again() -> None:
    job = finished_job(Phase.CANCELLED, retry_requests=1)
    job = after(job, decide(see(job), CONFIG, LATER), cancelled=True)
    status = decide(see(job), CONFIG, LATER + seconds(60)).status
    assert status.phase is Phase.CANCELLED
    finished = condition(status, "Finished")
    assert finished is not None
    assert finished.last_transition_time == LATER + seconds(60)


def test_a_job_whose_retries_were_lowered_after_a_suspend_fails_with_a_reason_of_failures() -> None:
    status = Status(
        attempts=(attempt(), attempt(AttemptOutcome.SUSPENDED, number=2, reason=Reason.SUSPENDED)),
        attempts_total=2,
        retries_used=1,
    )
    decision = decide(see(background_job(status, retries=0)), CONFIG, LATER)
    assert (decision.status.phase, decision.status.reason) == (Phase.FAILED, Reason.ERROR)
