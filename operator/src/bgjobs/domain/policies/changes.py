"""What several policies share: how a status changes, what costs a retry, how times are told."""

from datetime import UTC, datetime

import msgspec

from bgjobs.domain import priority
from bgjobs.domain.conditions import with_condition
from bgjobs.domain.observation import ChildJob
from bgjobs.domain.phase import phase_of
from bgjobs.domain.policies.obstacles import CANNOT_START
from bgjobs.domain.resource import (
    AttemptOutcome,
    BackgroundJob,
    Condition,
    JobRef,
    Phase,
    Reason,
    Spec,
    Status,
    cut,
)

_MAX_DISRUPTIONS_A_RUN = 5
_MAX_DEFERRALS_A_RUN = 50
_MAX_SUSPENSIONS_A_RUN = 50
"""Beyond these, such an ending costs a retry."""


def seconds(time: datetime) -> datetime:
    """The time as Kubernetes writes it, to the second."""
    return time.replace(microsecond=0)


def clock(time: datetime) -> str:
    """The time as messages tell it: 2030-01-31T12:00:00Z."""
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def observed(job: BackgroundJob) -> Status:
    """The status with what follows from the spec alone.

    Only a finished job can ask for a retry: whatever number another one was
    created with asks for nothing. More start requests than there are cannot have
    been observed; by hand, that may be there, and would hide those to come.
    """
    return msgspec.structs.replace(
        job.status,
        observed_generation=job.metadata.generation,
        observed_start_requests=min(job.status.observed_start_requests, job.spec.start_requests),
        observed_retry_requests=job.spec.retry_requests,
        effective_retries=priority.effective_retries(job.spec),
        effective_delay_seconds=priority.effective_delay_seconds(job.spec),
    )


def attempts_allowed(spec: Spec, status: Status) -> int:
    """Attempts of this run, if all to come fail; those that cost no retry come on top."""
    free = (
        min(status.disruptions, _MAX_DISRUPTIONS_A_RUN)
        + min(status.deferrals, _MAX_DEFERRALS_A_RUN)
        + min(status.suspensions, _MAX_SUSPENSIONS_A_RUN)
    )
    return 1 + priority.effective_retries(spec) + free


def costs_retry(outcome: AttemptOutcome, status: Status) -> bool:
    """Whether the ending that the status counts last uses up a retry."""
    match outcome:
        case AttemptOutcome.DISRUPTED:
            return status.disruptions > _MAX_DISRUPTIONS_A_RUN
        case AttemptOutcome.DEFERRED:
            return status.deferrals > _MAX_DEFERRALS_A_RUN
        case AttemptOutcome.SUSPENDED:
            return status.suspensions > _MAX_SUSPENSIONS_A_RUN
    return outcome in (AttemptOutcome.FAILED, AttemptOutcome.JOB_DELETED)


def ref_to(child: ChildJob, status: Status) -> JobRef:
    """The reference to the child Job, with the time at which it was told to end if it was."""
    before = status.job_ref
    return JobRef(
        name=child.name,
        uid=child.uid,
        run=child.run,
        attempt=child.attempt,
        stop_time=before.stop_time if before and before.uid == child.uid else None,
    )


def told_to_end_for_suspend(status: Status) -> bool:
    """Whether the attempt under way was told to end for a suspend, perhaps taken back by now.

    Even where it has gone on since: its deletion may have been sent and be carried out late.
    """
    return status.job_ref is not None and status.job_ref.stop_time is not None


def because(status: Status, reason: Reason, message: str) -> Status:
    """The status with this reason, and the phase that follows from it."""
    phase = phase_of(reason, status.next_attempt)
    return msgspec.structs.replace(status, phase=phase, reason=reason, message=cut(message))


def final_reason(reason: Reason) -> Reason:
    """The reason of a failed job whose last attempt ended for this one."""
    if reason in CANNOT_START:
        return Reason.PENDING_DEADLINE_EXCEEDED
    return Reason.ERROR if phase_of(reason, next_attempt=1) is Phase.PENDING else reason


def waiting(job: BackgroundJob, reason: Reason, message: str, until: datetime | None) -> Status:
    """The status of a job that has no attempt under way."""
    status = because(observed(job), reason, message)
    return msgspec.structs.replace(status, next_attempt_time=until, job_ref=None)


def condition(
    job: BackgroundJob, type: str, holds: bool, reason: str, message: str, now: datetime
) -> Condition:
    """A condition as of now, about the spec as it is."""
    return Condition(
        type=type,
        status=str(holds),
        reason=reason,
        message=cut(message),
        last_transition_time=seconds(now),
        observed_generation=job.metadata.generation,
    )


def accepted(job: BackgroundJob, status: Status, now: datetime) -> Status:
    """The status with the condition that the allowlist and the runtimes let the job in."""
    message = f"{job.spec.class_}.{job.spec.method} is in the allowlist."
    new = condition(job, "Accepted", True, "Allowed", message, now)
    return msgspec.structs.replace(status, conditions=with_condition(status.conditions, new))


def finished(
    job: BackgroundJob, status: Status, reason: Reason, message: str, now: datetime
) -> Status:
    """The status of a job whose run is over."""
    status = because(status, reason, message)
    new = condition(job, "Finished", True, str(status.phase), message, now)
    return msgspec.structs.replace(
        status,
        conditions=with_condition(status.conditions, new),
        completion_time=seconds(now),
        next_attempt_time=None,
        job_ref=None,
    )
