"""An attempt is under way: say what it does, or what keeps it from starting."""

from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import ChildJob, Observation, PodPhase
from bgjobs.domain.policies.changes import accepted, attempts_allowed, because, clock, observed
from bgjobs.domain.resource import MAX_QUOTED_CHARACTERS, JobRef, Reason, Status, cut

_WAITING_REASONS = {
    "Unschedulable": Reason.UNSCHEDULABLE,
    "SchedulingGated": Reason.UNSCHEDULABLE,
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImageNeverPull": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.IMAGE_PULL_BACK_OFF,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_ERROR,
    "CreateContainerError": Reason.CONTAINER_CONFIG_ERROR,
}
_LOOK_AGAIN_AFTER = timedelta(seconds=1)


def under_way(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    if seen.child is None:
        return None
    status = _with_child(accepted(seen.job, observed(seen.job), now), seen.child, seen)
    number = f"Attempt {seen.child.attempt} of {attempts_allowed(seen.job)}"
    if seen.pod is not None and seen.pod.phase is not PodPhase.PENDING:
        since = f" since {clock(seen.pod.started)}" if seen.pod.started else ""
        message = f"{number} runs on {seen.pod.node_name}{since}."
        return Decision(status=because(status, Reason.RUNNING, message))
    waiting = seen.pod.waiting if seen.pod else None
    reason = _WAITING_REASONS.get(waiting.reason, Reason.STARTING) if waiting else Reason.STARTING
    message = f"{number} starts: its pod is being created"
    if waiting and reason is not Reason.STARTING:
        why = cut(waiting.message or waiting.reason, MAX_QUOTED_CHARACTERS)
        message = f"{number} cannot start: {why.rstrip('. ')}"
    limit = timedelta(seconds=seen.job.spec.pending_deadline_seconds)
    if not limit:
        return Decision(status=because(status, reason, f"{message}."))
    deadline = seen.child.created + limit
    expired = now >= deadline
    message = f"{message}. It is given up at {clock(deadline)} (pendingDeadlineSeconds)."
    return Decision(
        status=because(status, reason, message),
        stop=seen.child if expired else None,
        look_again_at=now + _LOOK_AGAIN_AFTER if expired else deadline,
    )


def _with_child(status: Status, child: ChildJob, seen: Observation) -> Status:
    started = seen.pod.started if seen.pod else None
    ref = JobRef(name=child.name, uid=child.uid, run=child.run, attempt=child.attempt)
    return msgspec.structs.replace(
        status,
        job_ref=ref,
        start_time=status.start_time or started,
        observed_start_requests=seen.job.spec.start_requests,
        next_attempt_time=None,
    )
