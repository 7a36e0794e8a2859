"""When the next attempt may start: after its delay or backoff, then through the queue."""

from datetime import datetime, timedelta

from bgjobs.domain import priority
from bgjobs.domain.backoff import retry_pause_seconds
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision, Event, EventType, Start
from bgjobs.domain.names import child_job_name
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies.changes import (
    accepted,
    clock,
    costs_retry,
    final_reason,
    finished,
    observed,
    waiting,
)
from bgjobs.domain.ranking import Candidate, Limit
from bgjobs.domain.resource import AttemptOutcome, BackgroundJob, Reason
from bgjobs.domain.runtimes import runtime_for

_FULL = {
    Limit.OPERATOR: "the operator runs as many jobs as it may, {limit} (BGJOBS_MAX_CONCURRENT)",
    Limit.RUNTIME: "runtime {runtime} runs as many jobs as it may, {limit} (maxConcurrent)",
    Limit.START_WINDOW: "{limit} pods are starting, as many as may at once (BGJOBS_START_WINDOW)",
}


def exhausted(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    """A job whose retries were lowered while it waited for one fails at once."""
    status = seen.job.status
    retries = priority.effective_retries(seen.job.spec)
    if status.next_attempt == 1 or status.retries_used <= retries:
        return None
    last = status.attempts[-1]
    message = (
        f"Attempt {last.attempt} {last.message}. No retry is left after a change of the spec "
        f"({priority.explain_retries(seen.job.spec)})."
    )
    reason = last.reason if costs_retry(last.outcome, status) else Reason.ERROR
    failed = finished(seen.job, observed(seen.job), final_reason(reason), message, now)
    event = Event(type=EventType.WARNING, reason=str(failed.phase), message=message)
    return Decision(status=failed, urgent=True, event=event)


def due(job: BackgroundJob) -> datetime:
    """When the next attempt may start, start requests aside."""
    status, created = job.status, job.metadata.creation_timestamp
    if status.next_attempt > 1:
        last = status.attempts[-1]
        if costs_retry(last.outcome, status):
            return last.finish + timedelta(seconds=retry_pause_seconds(job, status))
        if last.outcome is AttemptOutcome.DEFERRED:
            return status.next_attempt_time or last.finish
        return last.finish
    if status.run > 1:
        ends = (c.last_transition_time for c in status.conditions if c.type == "Finished")
        return next(ends, created)
    if job.spec.start_at is not None:
        return job.spec.start_at
    delay = timedelta(seconds=priority.effective_delay_seconds(job.spec))
    return created + delay


def _has_waited_since(job: BackgroundJob) -> datetime:
    """When a job that was started by hand began to wait, whatever it was to wait for."""
    if job.status.next_attempt > 1:
        return job.status.attempts[-1].finish
    return job.metadata.creation_timestamp


def could_start(job: BackgroundJob) -> datetime:
    """When the next attempt may start, or could have.

    If it was started by hand, that was at the last change of the spec: nothing else tells it
    once the attempt is under way.
    """
    when = due(job)
    changed_at = job.metadata.changed_at(when)
    if job.spec.start_requests and changed_at >= _has_waited_since(job):
        return changed_at
    return when


def delayed(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    job = seen.job
    when, is_rerun = due(job), job.status.run > 1 and job.status.next_attempt == 1
    if now >= when or is_rerun or job.spec.start_requests > job.status.observed_start_requests:
        return None
    if job.status.next_attempt > 1:
        last = job.status.attempts[-1]
        reason = Reason.BACKING_OFF
        message = (
            f"Attempt {last.attempt} {last.message}. "
            f"Attempt {job.status.next_attempt} starts at {clock(when)}."
        )
        if (job.status.reason, job.status.next_attempt_time) == (reason, when):
            message = job.status.message  # written with the failure, it says more
    elif job.spec.start_at is not None:
        reason, message = Reason.DELAYED, f"Starts at {clock(when)} (startAt)."
    else:
        reason = Reason.DELAYED
        message = f"Starts at {clock(when)} ({priority.explain_delay(job.spec)})."
    status = accepted(job, waiting(job, reason, message, until=when), now)
    return Decision(status=status, look_again_at=when)


def refused(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    """The API server would not take the child Job: wait, and say what it said."""
    if seen.refusal is None or now >= seen.refusal.retry_at:
        return None
    status = waiting(seen.job, seen.refusal.reason, seen.refusal.message, seen.refusal.retry_at)
    return Decision(status=status, look_again_at=seen.refusal.retry_at)


def start(seen: Observation, config: Configuration, now: datetime) -> Decision:
    assert config.runtimes is not None
    job = seen.job
    runtime = runtime_for(config.runtimes, job.spec.class_)
    attempt = job.status.next_attempt
    message = f"Attempt {attempt} is about to start."
    if seen.blocked is not None:
        why = _FULL[seen.blocked.by].format(limit=seen.blocked.limit, runtime=runtime.key)
        message = (
            f"Attempt {attempt} is queued by {job.spec.priority.word} priority: "
            f"{why}. Raise startRequests by one to go first."
        )
    by_hand = job.spec.start_requests > job.status.observed_start_requests
    candidate = Candidate(
        uid=job.metadata.uid,
        by_hand=by_hand,
        priority=job.spec.priority,
        could_start_since=_has_waited_since(job) if by_hand else due(job),
        group=runtime.key,
        group_limit=runtime.settings.max_concurrent or 0,
    )
    return Decision(
        status=accepted(job, waiting(job, Reason.QUEUED, message, until=None), now),
        start=Start(
            job_name=child_job_name(job.metadata.name, job.metadata.uid, job.status.run, attempt),
            run=job.status.run,
            attempt=attempt,
            runtime=runtime,
            candidate=candidate,
        ),
    )
