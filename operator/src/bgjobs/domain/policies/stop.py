"""Cancel and suspend: the attempt under way is stopped, and nothing new starts."""

from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision, Event, EventType
from bgjobs.domain.observation import ChildJob, Observation
from bgjobs.domain.policies.changes import (
    because,
    finished,
    observed,
    ref_to,
    seconds,
    told_to_end_for_suspend,
    waiting,
)
from bgjobs.domain.policies.obstacles import out_of_reach
from bgjobs.domain.resource import BackgroundJob, Reason, Status

_LOOK_AGAIN_AFTER = timedelta(seconds=1)
"""Nothing tells when a deleted Job itself is gone."""


def cancel(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    spec = seen.job.spec
    if not spec.cancelled:
        return None
    why = f" ({spec.cancel_reason})" if spec.cancel_reason else ""
    if seen.child is None:
        message = f"Cancelled{why} before attempt {seen.job.status.next_attempt} started."
        status = finished(seen.job, observed(seen.job), Reason.CANCELLED, message, now)
        event = Event(type=EventType.NORMAL, reason=str(status.phase), message=message)
        return Decision(status=status, urgent=True, event=event)
    message = out_of_reach(seen, now) or (
        f"Being cancelled{why}: attempt {seen.child.attempt} is told to end, "
        "and killed if it does not within its grace period."
    )
    status = because(_told_to_end(seen.job, seen.child, now), Reason.CANCELLING, message)
    return Decision(
        status=status, urgent=True, stop=seen.child, look_again_at=now + _LOOK_AGAIN_AFTER
    )


def suspend(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    stopped = seen.child is not None and seen.child.deleting
    ref = seen.job.status.job_ref
    if stopped and ref is not None and ref.given_up:
        return None  # it ends for that, and costs a retry
    taken_back = stopped and told_to_end_for_suspend(seen.job.status)
    if not (seen.job.spec.suspend or taken_back):
        return None
    if seen.child is None:
        message = "Suspended: set spec.suspend to false to go on."
        until = seen.job.status.next_attempt_time
        return Decision(status=waiting(seen.job, Reason.SUSPENDED, message, until))
    message = out_of_reach(seen, now) or (
        f"Being suspended: attempt {seen.child.attempt} is told to end."
    )
    status = because(_told_to_end(seen.job, seen.child, now), Reason.SUSPENDED, message)
    return Decision(
        status=status, urgent=True, stop=seen.child, look_again_at=now + _LOOK_AGAIN_AFTER
    )


def _told_to_end(job: BackgroundJob, child: ChildJob, now: datetime) -> Status:
    """The status that names the child Job: once deleted, nothing else tells that it was there."""
    ref = ref_to(child, job.status)
    if ref.stop_time is None or job.status.reason not in (Reason.CANCELLING, Reason.SUSPENDED):
        ref = msgspec.structs.replace(ref, stop_time=seconds(now))
    return msgspec.structs.replace(observed(job), job_ref=ref)
