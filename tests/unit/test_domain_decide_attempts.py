"""From the start of an attempt to its record, and to what follows from how it ended."""

from datetime import datetime
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
    pod,
    running,
    seconds,
    see,
    succeeded,
)

from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision, EventType
from bgjobs.domain.observation import Pod, PodPhase, Waiting
from bgjobs.domain.policies.changes import ref_to
from bgjobs.domain.resource import (
    AttemptOutcome,
    BackgroundJob,
    Backoff,
    JobRef,
    Phase,
    Priority,
    Reason,
    Status,
)

LATER = NOW + seconds(10)


def waiting(reason: str, message: str = "") -> Pod:
    return pod(PodPhase.PENDING, waiting=Waiting(reason=reason, message=message))


def test_an_attempt_without_a_pod_is_starting() -> None:
    decision = decide(see(background_job(), child_job()), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.STARTING)
    assert status.message == (
        "Attempt 1 of 4 starts: its pod is being created. "
        "It is given up at 2030-01-31T12:10:00Z (pendingDeadlineSeconds)."
    )
    assert status.job_ref == JobRef(name="stock-1-1", uid="job-1-1", run=1, attempt=1)
    assert not decision.urgent


def test_a_later_attempt_that_starts_is_retrying() -> None:
    status = Status(attempts=(attempt(),), attempts_total=1, retries_used=1)
    decision = decide(see(background_job(status), child_job(1, 2)), CONFIG, NOW)
    assert (decision.status.phase, decision.status.reason) == (Phase.RETRYING, Reason.STARTING)


def test_a_running_attempt_says_where_and_since_when() -> None:
    decision = decide(see(background_job(), child_job(), running()), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.RUNNING, Reason.RUNNING)
    assert status.message == "Attempt 1 of 4 runs on node-1 since 2030-01-31T12:00:01Z."
    assert status.start_time == NOW + seconds(1)
    assert decision.stop is None


def test_a_start_uses_up_its_start_request() -> None:
    job = background_job(start_requests=2)
    assert decide(see(job, child_job()), CONFIG, NOW).status.observed_start_requests == 2


@pytest.mark.parametrize(
    ("reason", "want"),
    [
        ("Unschedulable", Reason.UNSCHEDULABLE),
        ("SchedulingGated", Reason.UNSCHEDULABLE),
        ("ErrImagePull", Reason.IMAGE_PULL_BACK_OFF),
        ("ImagePullBackOff", Reason.IMAGE_PULL_BACK_OFF),
        ("ErrImageNeverPull", Reason.IMAGE_PULL_BACK_OFF),
        ("InvalidImageName", Reason.IMAGE_PULL_BACK_OFF),
        ("CreateContainerConfigError", Reason.CONTAINER_CONFIG_ERROR),
        ("CreateContainerError", Reason.CONTAINER_CONFIG_ERROR),
        ("ContainerCreating", Reason.STARTING),
        ("PodInitializing", Reason.STARTING),
    ],
)
def test_a_pod_that_does_not_start_says_why(reason: str, want: Reason) -> None:
    decision = decide(see(background_job(), child_job(), waiting(reason)), CONFIG, NOW)
    assert (decision.status.phase, decision.status.reason) == (Phase.PENDING, want)


def test_a_pod_that_cannot_start_says_when_it_is_given_up() -> None:
    stuck = waiting("Unschedulable", "0/1 nodes are available")
    decision = decide(see(background_job(), child_job(), stuck), CONFIG, NOW)
    assert decision.status.message == (
        "Attempt 1 of 4 cannot start: 0/1 nodes are available. "
        "It is given up at 2030-01-31T12:10:00Z (pendingDeadlineSeconds)."
    )
    assert (decision.stop, decision.look_again_at) == (None, NOW + seconds(600))


def test_a_scheduler_that_says_much_fits_the_status() -> None:
    stuck = waiting("Unschedulable", "node is full, " * 500)
    message = decide(see(background_job(), child_job(), stuck), CONFIG, NOW).status.message
    assert len(message) <= 1024
    assert message.endswith("(pendingDeadlineSeconds).")


def test_a_pod_that_cannot_start_is_given_up_by_its_node_if_that_is_sooner() -> None:
    stuck = msgspec.structs.replace(waiting("ErrImagePull", "no such image"), deadline=LATER)
    decision = decide(see(background_job(), child_job(), stuck), CONFIG, NOW)
    assert decision.status.message == (
        "Attempt 1 of 4 cannot start: no such image. "
        "It is given up at 2030-01-31T12:00:10Z (activeDeadlineSeconds)."
    )
    assert decide(see(background_job(), child_job(), stuck), CONFIG, LATER).stop is None


def test_a_node_that_gives_nothing_up_leaves_that_to_the_pending_deadline() -> None:
    stuck = msgspec.structs.replace(waiting("ErrImagePull"), deadline=LATER)
    decision = decide(see(background_job(), child_job(), stuck), CONFIG, NOW + seconds(600))
    assert decision.stop == child_job()


@pytest.mark.parametrize("stuck", [None, waiting("ImagePullBackOff")], ids=["no pod", "no image"])
def test_an_attempt_that_never_starts_is_stopped_at_its_deadline(stuck: Pod | None) -> None:
    job, child = background_job(), child_job()
    assert decide(see(job, child, stuck), CONFIG, NOW + seconds(599)).stop is None
    assert decide(see(job, child, stuck), CONFIG, NOW + seconds(600)).stop == child


@pytest.mark.parametrize("deleted_at", [None, NOW])
def test_a_stopped_attempt_is_not_looked_at_in_a_hot_loop(deleted_at: Any) -> None:
    now = NOW + seconds(900)
    seen = see(background_job(), child_job(deleted_at=deleted_at), waiting("ErrImagePull"))
    assert decide(seen, CONFIG, now).look_again_at == now + seconds(1)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(
            see(background_job(pending_deadline_seconds=0), child_job(), waiting("ErrImagePull")),
            id="no deadline",
        ),
        pytest.param(see(background_job(), child_job(), running()), id="it runs"),
        pytest.param(
            see(background_job(), child_job(), running(gone=True)), id="it ran, its pod is gone"
        ),
        pytest.param(
            see(background_job(), child_job(), pod(PodPhase.UNKNOWN, started=NOW)),
            id="its node is lost",
        ),
    ],
)
def test_no_other_attempt_is_stopped_by_the_pending_deadline(seen: Any) -> None:
    assert decide(seen, CONFIG, NOW + seconds(100_000)).stop is None


@pytest.mark.parametrize(
    ("shown", "of_child", "failure", "reason", "why"),
    [
        pytest.param(
            Reason.UNSCHEDULABLE,
            msgspec.structs.replace(waiting("Unschedulable", "no room"), gone=True),
            None,
            Reason.UNSCHEDULABLE,
            ": no room",
            id="its pod was seen",
        ),
        pytest.param(
            Reason.IMAGE_PULL_BACK_OFF,
            None,
            None,
            Reason.IMAGE_PULL_BACK_OFF,
            "",
            id="only the status tells",
        ),
        pytest.param(
            Reason.STARTING,
            None,
            'pods "x" is forbidden: exceeded quota: few',
            Reason.QUOTA_EXCEEDED,
            ': its Job gets no pod: pods "x" is forbidden: exceeded quota: few',
            id="it got no pod",
        ),
        pytest.param(
            Reason.STARTING, None, None, Reason.PENDING_DEADLINE_EXCEEDED, "", id="nothing is known"
        ),
    ],
)
def test_an_attempt_that_never_started_fails_for_what_kept_it_from_it(
    shown: Reason, of_child: Any, failure: str | None, reason: Reason, why: str
) -> None:
    ref = msgspec.structs.replace(ref_to(child_job(), Status()), given_up=True)
    job = background_job(Status(reason=shown, job_ref=ref), retries=0)
    seen = see(job, child_job(gone=True), of_child, failure=failure)
    status = decide(seen, CONFIG, NOW + seconds(601)).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.PENDING_DEADLINE_EXCEEDED)
    assert status.attempts[0].reason is reason
    assert status.attempts[0].message == (
        f"did not start within 600 s (pendingDeadlineSeconds){why}"
    )


@pytest.mark.parametrize(
    ("shown", "why_waiting", "why"),
    [
        pytest.param(
            Reason.STARTING, Waiting(reason="ErrImagePull", message="none"), ": none", id="seen"
        ),
        pytest.param(Reason.IMAGE_PULL_BACK_OFF, None, "", id="only the status tells"),
    ],
)
def test_a_deadline_that_passes_before_the_start_is_told_with_what_kept_it_from_it(
    shown: Reason, why_waiting: Waiting | None, why: str
) -> None:
    job = background_job(Status(reason=shown, job_ref=ref_to(child_job(), Status())), retries=0)
    overran = failed(reason="DeadlineExceeded", started=None, waiting=why_waiting)
    status = decide(see(job, child_job(), overran), CONFIG, NOW + seconds(10)).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.PENDING_DEADLINE_EXCEEDED)
    assert status.attempts[0].reason is Reason.IMAGE_PULL_BACK_OFF
    assert status.attempts[0].message == (
        f"did not start within its deadline (activeDeadlineSeconds){why}"
    )


def test_an_attempt_that_was_given_up_before_a_suspend_costs_its_retry() -> None:
    ref = msgspec.structs.replace(ref_to(child_job(), Status()), given_up=True)
    job = background_job(Status(reason=Reason.UNSCHEDULABLE, job_ref=ref), suspend=True)
    ending = decide(see(job, child_job(deleted_at=NOW)), CONFIG, NOW + seconds(601))
    assert ending.status.job_ref == ref
    status = decide(see(job, child_job(gone=True)), CONFIG, NOW + seconds(601)).status
    assert status.attempts[0].outcome is AttemptOutcome.FAILED


def test_an_attempt_that_a_stranger_stopped_before_it_started_was_not_given_up() -> None:
    job = background_job(
        Status(reason=Reason.STARTING, job_ref=ref_to(child_job(), Status())), retries=0
    )
    status = decide(see(job, child_job(gone=True)), CONFIG, NOW + seconds(3600)).status
    assert status.attempts[0].outcome is AttemptOutcome.JOB_DELETED


def test_why_an_attempt_is_given_up_is_written_before_it_is_stopped() -> None:
    seen = see(background_job(), child_job(), waiting("ErrImagePull", "not found"))
    decision = decide(seen, CONFIG, NOW + seconds(600))
    assert (decision.urgent, decision.status.reason) == (True, Reason.IMAGE_PULL_BACK_OFF)
    assert decision.status.job_ref == msgspec.structs.replace(
        ref_to(child_job(), Status()), given_up=True
    )
    seen = see(after(seen.job, decision), child_job(deleted_at=LATER))
    assert decide(seen, CONFIG, NOW + seconds(601)).status == decision.status


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ('pods "x" is forbidden: exceeded quota: few', Reason.QUOTA_EXCEEDED),
        ('error looking up service account shop/x: "x" not found', Reason.CONFIGURATION_INVALID),
        ('pods "x" is forbidden: violates PodSecurity', Reason.CONFIGURATION_INVALID),
    ],
)
def test_an_attempt_that_gets_no_pod_says_what_its_job_was_told(said: str, reason: Reason) -> None:
    status = decide(see(background_job(), child_job(), failure=said), CONFIG, NOW).status
    assert status.reason is reason
    assert status.message.startswith(
        f"Attempt 1 of 4 cannot start: its Job gets no pod: {said}. It is given up at"
    )


@pytest.mark.parametrize(
    ("of_child", "reason"),
    [
        pytest.param(waiting("ContainerCreating"), Reason.CONTAINER_CONFIG_ERROR, id="it waits"),
        pytest.param(
            msgspec.structs.replace(waiting("ContainerCreating"), has_sandbox=True),
            Reason.STARTING,
            id="they are there by now",
        ),
        pytest.param(
            waiting("ErrImagePull"), Reason.IMAGE_PULL_BACK_OFF, id="its image is missing"
        ),
    ],
)
def test_a_pod_without_its_volumes_says_what_it_was_told(of_child: Pod, reason: Reason) -> None:
    said = 'MountVolume.SetUp failed for volume "vault" : secret "absent" not found'
    seen = see(background_job(), child_job(), of_child, failure=said)
    status = decide(seen, CONFIG, NOW).status
    assert status.reason is reason
    assert (said in status.message) is (reason is Reason.CONTAINER_CONFIG_ERROR)


@pytest.mark.parametrize(
    ("of_child", "lost"),
    [
        pytest.param(running(lost=True), True, id="the node controller says so"),
        pytest.param(running(to_be_gone_at=NOW), True, id="it outlives its grace period by far"),
        pytest.param(
            pod(PodPhase.PENDING, node_name="node-1", to_be_gone_at=NOW), True, id="it never began"
        ),
        pytest.param(pod(PodPhase.PENDING, to_be_gone_at=NOW), False, id="it has no node"),
        pytest.param(running(to_be_gone_at=LATER), False, id="it may still be ending"),
        pytest.param(running(), False, id="it runs"),
        pytest.param(running(lost=True, gone=True), False, id="it is gone"),
        pytest.param(failed(lost=True), False, id="it has ended"),
    ],
)
@pytest.mark.parametrize("child", [child_job(), child_job(deleted_at=NOW), child_job(gone=True)])
def test_an_attempt_on_a_silent_node_says_how_to_give_it_up(
    of_child: Pod, lost: bool, child: Any
) -> None:
    decision = decide(see(background_job(), child, of_child), CONFIG, NOW + seconds(31))
    assert (decision.status.reason is Reason.NODE_UNREACHABLE) == lost
    if lost:
        assert decision.start is None
        assert decision.status.phase is Phase.RUNNING
        assert decision.status.message.startswith("Node node-1 does not answer: attempt 1 may")
        assert decision.status.message.endswith(
            "node-1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        )


def test_a_pod_whose_job_was_deleted_without_it_goes_on_and_is_ended_by_hand() -> None:
    child, left = child_job(gone=True), running(is_orphan=True)
    for job, want in (
        (background_job(), Reason.RUNNING),
        (background_job(cancelled=True), Reason.CANCELLING),
        (background_job(suspend=True), Reason.SUSPENDED),
    ):
        decision = decide(see(job, child, left), CONFIG, NOW)
        assert (decision.status.reason, decision.start) == (want, None)
        assert decision.status.message.endswith("kubectl delete pod stock-1-1-abcde -n shop")


# What follows from how an attempt ended.


def test_a_success_is_recorded_in_one_step() -> None:
    message = '{"result": 42, "resources": {"peakMemoryBytes": 18, "cpuSeconds": 0.5}}'
    decision = decide(see(background_job(), child_job(), succeeded(message=message)), CONFIG, LATER)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.SUCCEEDED, Reason.SUCCEEDED)
    assert status.message == "Attempt 1 of 4 succeeded."
    assert (status.result, status.run_seconds, status.attempts_total) == (42, 3, 1)
    assert (status.start_time, status.completion_time) == (NOW + seconds(1), NOW + seconds(4))
    assert (status.job_ref, status.next_attempt_time) == (None, None)
    finished = condition(status, "Finished")
    assert finished is not None
    assert (finished.status, finished.reason) == ("True", "Succeeded")
    recorded = status.attempts[0]
    assert (recorded.run, recorded.attempt, recorded.job_name) == (1, 1, "stock-1-1")
    assert (recorded.node_name, recorded.exit_code) == ("node-1", 0)
    assert recorded.resources is not None
    assert recorded.resources.peak_memory_bytes == 18
    assert decision.urgent
    assert decision.event is not None
    assert (decision.event.type, decision.event.reason) == (EventType.NORMAL, "Succeeded")


def test_an_attempt_is_recorded_with_the_time_from_which_it_waited() -> None:
    job = background_job(delay_seconds=5, retries=3)
    ended = failed(started=NOW + seconds(3))
    status = decide(see(job, child_job(), ended), CONFIG, LATER).status
    assert status.attempts[-1].due_time == NOW + seconds(2)


@pytest.mark.parametrize(
    ("changed", "want"),
    [
        pytest.param(NOW + seconds(0.5), NOW, id="started by hand while it was delayed"),
        pytest.param(NOW + seconds(3), NOW + seconds(1), id="its delay was changed while it ran"),
    ],
)
def test_no_attempt_is_recorded_as_one_that_ran_before_it_could_start(
    changed: datetime, want: datetime
) -> None:
    status = Status(observed_start_requests=1)
    job = background_job(status, delay_seconds=900, start_requests=1, changed=changed)
    status = decide(see(job, child_job(), succeeded()), CONFIG, LATER).status
    assert status.attempts[-1].due_time == want


def test_a_failure_is_recorded_and_says_when_the_next_attempt_starts() -> None:
    decision = decide(see(background_job(), child_job(), failed()), CONFIG, LATER)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.RETRYING, Reason.BACKING_OFF)
    assert (status.retries_used, status.attempts_total) == (1, 1)
    assert status.message.startswith("Attempt 1 of 4 failed with exit code 1. Attempt 2 starts at ")
    due = status.next_attempt_time
    assert due is not None
    assert seconds(4.5) <= due - (NOW + seconds(4)) <= seconds(5.5)
    assert decision.look_again_at == due
    assert decision.urgent
    assert decision.event is not None
    assert (decision.event.type, decision.event.reason) == (EventType.WARNING, "RetryScheduled")


def test_the_next_attempt_starts_exactly_when_it_was_announced() -> None:
    job = background_job()
    job = after(job, decide(see(job, child_job(), failed()), CONFIG, LATER))
    due = job.status.next_attempt_time
    assert due is not None
    assert decide(see(job), CONFIG, due - seconds(0.001)).start is None
    start = decide(see(job), CONFIG, due).start
    assert start is not None
    assert (start.run, start.attempt) == (1, 2)


def fail_until_the_end(job: BackgroundJob, **ending: Any) -> BackgroundJob:
    """Lets every attempt of the job end the same way, until the job is finished."""
    for number in range(1, 200):
        seen = see(job, child_job(1, number), failed(1, number, **ending))
        job = after(job, decide(seen, CONFIG, LATER))
        if job.status.finished:
            return job
    raise AssertionError("the job never ends")


@pytest.mark.parametrize(
    ("priority", "retries", "attempts"),
    [
        pytest.param(Priority.HIGH, 3, 5, id="high: 1 + 3 + 1"),
        pytest.param(Priority.MEDIUM, 3, 4, id="medium: 1 + 3"),
        pytest.param(Priority.LOW, 3, 3, id="low: 1 + 3 - 1"),
        pytest.param(Priority.LOW, 0, 1, id="low without retries: once"),
        pytest.param(Priority.HIGH, 0, 2, id="high without retries: twice"),
    ],
)
def test_a_job_fails_for_good_after_the_retries_that_its_priority_gives(
    priority: Priority, retries: int, attempts: int
) -> None:
    status = fail_until_the_end(background_job(priority=priority, retries=retries)).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.ERROR)
    assert (status.attempts_total, status.retries_used) == (attempts, attempts - 1)
    assert status.message.startswith(
        f"Attempt {attempts} of {attempts} failed with exit code 1. No retry is left ("
    )


@pytest.mark.parametrize(
    ("exit_code", "reason"),
    [
        (64, Reason.NOT_IN_IMAGE),
        (65, Reason.BAD_PARAMETERS),
        (66, Reason.PERMANENT_FAILURE),
        (78, Reason.PERMANENT_FAILURE),
    ],
)
def test_an_exit_code_that_ends_retrying_fails_the_job_at_once(
    exit_code: int, reason: Reason
) -> None:
    status = fail_until_the_end(background_job(), exit_code=exit_code).status
    assert (status.phase, status.reason, status.attempts_total) == (Phase.FAILED, reason, 1)


@pytest.mark.parametrize(
    ("ending", "reason"),
    [
        ({"terminated_reason": "OOMKilled", "exit_code": 137}, Reason.OOM_KILLED),
        ({"reason": "DeadlineExceeded", "exit_code": None}, Reason.DEADLINE_EXCEEDED),
        ({"exit_code": 139}, Reason.ERROR),
    ],
)
def test_other_failures_are_retried_and_name_their_reason(
    ending: dict[str, Any], reason: Reason
) -> None:
    status = fail_until_the_end(background_job(), **ending).status
    assert (status.phase, status.reason, status.attempts_total) == (Phase.FAILED, reason, 4)


@pytest.mark.parametrize(
    ("said", "pause"),
    [
        pytest.param('{"retryAfterSeconds": 90}', 90, id="after the time it asked for"),
        pytest.param('{"retryAfterSeconds": 0}', 0, id="at once"),
        pytest.param("", 60, id="after a minute if it did not say"),
    ],
)
def test_a_deferral_costs_no_retry_and_waits(said: str, pause: float) -> None:
    job = background_job()
    end = failed(exit_code=75, termination_message=said)
    job = after(job, decide(see(job, child_job(), end), CONFIG, NOW + seconds(4)))
    due = NOW + seconds(4 + pause)
    assert (job.status.phase, job.status.reason) == (Phase.RETRYING, Reason.BACKING_OFF)
    assert (job.status.retries_used, job.status.deferrals) == (0, 1)
    assert job.status.next_attempt_time == due
    assert "That costs no retry. Attempt 2 starts at" in job.status.message
    assert job.status.message.startswith("Attempt 1 of 5 ")
    under_way = decide(see(job, child_job(1, 2)), CONFIG, due).status
    assert under_way.message.startswith("Attempt 2 of 5 ")
    start = decide(see(job), CONFIG, due).start
    assert start is not None
    assert start.attempt == 2


def test_a_disruption_costs_no_retry_and_starts_again_at_once() -> None:
    job = background_job()
    end = failed(exit_code=137, disruption="Preempted by a pod")
    job = after(job, decide(see(job, child_job(), end), CONFIG, NOW + seconds(4)))
    assert (job.status.phase, job.status.reason) == (Phase.RETRYING, Reason.QUEUED)
    assert (job.status.retries_used, job.status.disruptions) == (0, 1)
    assert decide(see(job), CONFIG, NOW + seconds(4)).start is not None


@pytest.mark.parametrize(
    ("ending", "free", "reason"),
    [
        pytest.param({"disruption": "Drained"}, 5, Reason.DISRUPTED, id="5 disruptions are free"),
        pytest.param({"exit_code": 75}, 50, Reason.ERROR, id="50 deferrals are free"),
    ],
)
def test_only_so_many_endings_of_a_run_are_free(
    ending: dict[str, Any], free: int, reason: Reason
) -> None:
    status = fail_until_the_end(background_job(retries=2), **ending).status
    assert (status.phase, status.reason) == (Phase.FAILED, reason)
    assert (status.attempts_total, status.retries_used) == (free + 3, 2)
    assert status.disruptions + status.deferrals == free + 3


@pytest.mark.parametrize(
    "status",
    [
        pytest.param(
            Status(disruptions=5, attempts=(attempt(AttemptOutcome.DISRUPTED, number=5),)),
            id="disruption",
        ),
        pytest.param(
            Status(deferrals=50, attempts=(attempt(AttemptOutcome.DEFERRED, number=5),)),
            id="deferral",
        ),
    ],
)
def test_the_first_that_is_not_free_backs_off_as_announced(status: Status) -> None:
    job = background_job(status)
    end = failed(1, 6, disruption="Drained") if status.disruptions else failed(1, 6, exit_code=75)
    job = after(job, decide(see(job, child_job(1, 6), end), CONFIG, LATER))
    due = job.status.next_attempt_time
    assert job.status.reason is Reason.BACKING_OFF
    assert due is not None
    assert due > NOW + seconds(8)
    assert decide(see(job), CONFIG, due - seconds(0.001)).start is None
    assert decide(see(job), CONFIG, due).start is not None


def test_a_deleted_job_costs_a_retry() -> None:
    seen = see(background_job(), child_job(gone=True), failed(exit_code=143))
    status = decide(seen, CONFIG, LATER).status
    assert (status.phase, status.retries_used) == (Phase.RETRYING, 1)
    recorded = status.attempts[0]
    assert (recorded.outcome, recorded.reason) == (AttemptOutcome.JOB_DELETED, Reason.JOB_DELETED)
    assert recorded.message == "ended early: its Job stock-1-1 is gone"


def test_a_deleted_job_without_retries_fails_the_job() -> None:
    status = decide(see(background_job(retries=0), child_job(gone=True)), CONFIG, LATER).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.JOB_DELETED)


@pytest.mark.parametrize(
    "seen",
    [
        pytest.param(
            see(background_job(), child_job(gone=True), running(gone=True)), id="its pod was seen"
        ),
        pytest.param(
            see(
                background_job(Status(phase=Phase.RUNNING, reason=Reason.RUNNING)),
                child_job(gone=True),
            ),
            id="it was recorded as running",
        ),
    ],
)
def test_a_deleted_job_that_ran_long_is_none_that_never_started(seen: Any) -> None:
    status = decide(seen, CONFIG, NOW + seconds(100_000)).status
    assert status.attempts[0].reason is Reason.JOB_DELETED


@pytest.mark.parametrize(
    ("child", "pod_"),
    [
        pytest.param(child_job(deleted_at=LATER), running(), id="Job deleting, pod running"),
        pytest.param(child_job(deleted_at=LATER), failed(), id="Job deleting, pod ended"),
        pytest.param(child_job(gone=True), running(), id="Job gone, pod still running"),
        pytest.param(child_job(gone=True), pod(PodPhase.PENDING), id="Job gone, pod pending"),
    ],
)
def test_nothing_new_starts_before_a_deleted_job_and_its_pod_are_gone(
    child: Any, pod_: Pod
) -> None:
    decision = decide(see(background_job(), child, pod_), CONFIG, LATER)
    assert (decision.start, decision.status.attempts_total) == (None, 0)


@pytest.mark.parametrize("child", [child_job(deleted_at=LATER), child_job(gone=True)])
def test_a_success_counts_though_its_job_was_deleted(child: Any) -> None:
    decision = decide(see(background_job(), child, succeeded()), CONFIG, LATER)
    assert decision.status.phase is Phase.SUCCEEDED


def test_the_latest_ten_attempts_are_kept_and_all_are_counted() -> None:
    status = fail_until_the_end(background_job(retries=11)).status
    assert [a.attempt for a in status.attempts] == list(range(3, 13))
    assert status.attempts_total == 12


def test_the_run_time_is_never_negative() -> None:
    skewed = failed(started=NOW + seconds(9), finished=NOW + seconds(4))
    decision: Decision = decide(see(background_job(), child_job(), skewed), CONFIG, LATER)
    assert decision.status.run_seconds == 0


def test_a_node_whose_clock_is_ahead_delays_no_retry() -> None:
    an_hour = seconds(3600)
    ahead = failed(started=NOW + an_hour, finished=NOW + an_hour + seconds(4))
    job = background_job(backoff=Backoff(seconds=0))
    status = decide(see(job, child_job(), ahead), CONFIG, LATER).status
    assert (status.attempts[0].start, status.attempts[0].finish) == (LATER - seconds(4), LATER)
    assert (status.next_attempt_time, status.run_seconds) == (LATER, 4)


@pytest.mark.parametrize(
    ("end", "start", "finish"),
    [
        pytest.param(
            failed(started=NOW - seconds(3599), finished=NOW - seconds(3596)),
            NOW,
            NOW + seconds(3),
            id="by its start",
        ),
        pytest.param(
            failed(started=None, finished=NOW - seconds(3596)), None, NOW, id="it never started"
        ),
        pytest.param(
            failed(started=NOW - seconds(3600), finished=NOW),
            NOW,
            LATER,
            id="mended meanwhile: not after now",
        ),
    ],
)
def test_a_node_whose_clock_is_behind_spares_no_pause(
    end: Pod, start: datetime | None, finish: datetime
) -> None:
    job = background_job(backoff=Backoff(seconds=300))
    status = decide(see(job, child_job(), end), CONFIG, LATER).status
    assert (status.attempts[0].start, status.attempts[0].finish) == (start, finish)
    assert status.next_attempt_time is not None
    assert status.next_attempt_time >= finish + seconds(300)


def test_without_a_finish_the_time_of_the_record_is_taken() -> None:
    end = failed(finished=None)
    status = decide(see(background_job(), child_job(), end), CONFIG, LATER + seconds(0.75)).status
    assert status.attempts[0].finish == LATER


def test_raised_retries_count_for_a_job_that_is_still_retrying() -> None:
    job = background_job(Status(attempts=(attempt(),), attempts_total=1, retries_used=1), retries=5)
    status = decide(see(job, child_job(1, 2), failed(1, 2)), CONFIG, LATER).status
    assert (status.phase, status.retries_used) == (Phase.RETRYING, 2)
    assert status.message.startswith("Attempt 2 of 6 ")


def test_free_endings_come_on_top_of_the_attempts_that_are_announced() -> None:
    status = Status(attempts=(attempt(AttemptOutcome.DISRUPTED),), attempts_total=1, disruptions=1)
    decision = decide(see(background_job(status), child_job(1, 2)), CONFIG, NOW)
    assert decision.status.message.startswith("Attempt 2 of 5 ")


def test_a_success_after_a_failure_keeps_the_start_of_the_run() -> None:
    first = Status(
        attempts=(attempt(),), attempts_total=1, retries_used=1, start_time=NOW - seconds(60)
    )
    seen = see(background_job(first), child_job(1, 2), succeeded(1, 2))
    status = decide(seen, CONFIG, LATER).status
    assert status.start_time == NOW - seconds(60)
    assert [a.outcome for a in status.attempts] == [
        AttemptOutcome.FAILED,
        AttemptOutcome.SUCCEEDED,
    ]


def test_nothing_is_decided_twice_about_a_recorded_attempt() -> None:
    """The same child Job and pod are no longer those of the current attempt."""
    job = background_job()
    decision = decide(see(job, child_job(), succeeded()), CONFIG, LATER)
    again = decide(see(after(job, decision)), CONFIG, LATER)
    assert (again.status, again.start, again.urgent) == (decision.status, None, False)


def test_a_job_that_is_being_deleted_starts_nothing() -> None:
    job = background_job(deletion_timestamp=NOW)
    assert decide(see(job), CONFIG, LATER) == Decision.keep(job.status)


def test_an_attempt_that_ends_while_its_job_is_being_deleted_is_recorded() -> None:
    """A finalizer may hold the job for long, and its slot with it."""
    job = background_job(deletion_timestamp=NOW)
    decision = decide(see(job, child_job(), succeeded()), CONFIG, LATER)
    assert decision.status.phase is Phase.SUCCEEDED
