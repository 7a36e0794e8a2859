"""An attempt is under way: say what it does, or what keeps it from starting."""

from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import ChildJob, Observation, PodPhase
from bgjobs.domain.policies.changes import (
    accepted,
    attempts_allowed,
    because,
    clock,
    observed,
    ref_to,
)
from bgjobs.domain.policies.obstacles import given_up_at, lost_node, obstacle, orphan, pending_until
from bgjobs.domain.resource import Reason, Status

_LOOK_AGAIN_AFTER = timedelta(seconds=1)


def under_way(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    if seen.child is None:
        return None
    status = _with_child(accepted(seen.job, observed(seen.job), now), seen.child, seen)
    if lost := lost_node(seen, now):
        return Decision(status=because(status, Reason.NODE_UNREACHABLE, lost))
    if seen.child.deleting or seen.child.gone:
        told = seen.job.status
        if alone := orphan(seen):
            has_started = seen.pod is not None and seen.pod.started is not None
            told = because(status, Reason.RUNNING if has_started else Reason.STARTING, alone)
        return Decision(status=told, look_again_at=now + _LOOK_AGAIN_AFTER)
    number = f"Attempt {seen.child.attempt} of {attempts_allowed(seen.job.spec, status)}"
    if seen.pod is not None and seen.pod.phase is not PodPhase.PENDING:
        since = f" since {clock(seen.pod.started)}" if seen.pod.started else ""
        message = f"{number} runs on {seen.pod.node_name}{since}."
        return Decision(status=because(status, Reason.RUNNING, message))
    reason, message = Reason.STARTING, f"{number} starts: its pod is being created."
    if known := obstacle(seen):
        reason, why = known
        message = f"{number} cannot start: {why}."
    if limit := given_up_at(seen.job.spec, seen.child, seen.pod):
        message = f"{message} It is given up at {clock(limit[0])} ({limit[1]})."
    status = because(status, reason, message)
    if not seen.job.spec.pending_deadline_seconds:
        return Decision(status=status)
    deadline = pending_until(seen.job.spec, seen.child)
    if now < deadline:
        return Decision(status=status, look_again_at=deadline)
    # The reason is written before the deletion, or a crash in between would forget it.
    ref = ref_to(seen.child, status)
    given_up = msgspec.structs.replace(ref, stop_time=None, given_up=True)
    status = msgspec.structs.replace(status, job_ref=given_up)
    return Decision(
        status=status, urgent=True, stop=seen.child, look_again_at=now + _LOOK_AGAIN_AFTER
    )


def _with_child(status: Status, child: ChildJob, seen: Observation) -> Status:
    started = seen.pod.started if seen.pod else None
    return msgspec.structs.replace(
        status,
        job_ref=ref_to(child, status),
        start_time=status.start_time or started,
        observed_start_requests=seen.job.spec.start_requests,
        next_attempt_time=None,
    )
