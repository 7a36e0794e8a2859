"""A finished job stays as it is, unless somebody asks for another run."""

from datetime import datetime

import msgspec

from bgjobs.domain.conditions import with_condition
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision, Event, EventType
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies.changes import because, condition, observed
from bgjobs.domain.resource import MAX_RUN, Attempt, Reason, Status


def rerun(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    job, status = seen.job, seen.job.status
    if not status.finished:
        return None
    if not job.is_to_run_again:
        return Decision.keep(status)
    run = min(status.run + 1, MAX_RUN)
    message = f"Run {run} was asked for and is queued."
    new = condition(job, "Finished", False, "Retried", message, now)
    restarted = msgspec.structs.replace(
        observed(job),
        conditions=with_condition(status.conditions, new),
        observed_start_requests=job.spec.start_requests,
        run=run,
        attempts=_with_its_end(status),
        retries_used=0,
        disruptions=0,
        deferrals=0,
        suspensions=0,
        start_time=None,
        completion_time=None,
        run_seconds=None,
        result=None,
    )
    event = Event(type=EventType.NORMAL, reason="RetryRequested", message=message)
    queued = because(restarted, Reason.QUEUED, message)
    return Decision(status=queued, urgent=True, event=event, look_again_at=now)


def _with_its_end(status: Status) -> tuple[Attempt, ...]:
    """The attempts, the run's last one with the phase in which the run has ended.

    Its outcome does not tell: the run may have been cancelled or rejected while it waited.
    """
    if status.next_attempt == 1:
        return status.attempts
    *before, last = status.attempts
    return (*before, msgspec.structs.replace(last, ended_as=status.phase))
