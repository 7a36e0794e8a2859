"""An attempt that has ended is recorded; then the job is finished, or waits for the next."""

from datetime import datetime, timedelta

import msgspec

from bgjobs.domain import priority
from bgjobs.domain.backoff import retry_pause_seconds
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision, Event, EventType
from bgjobs.domain.observation import ChildJob, Observation, Pod, PodPhase
from bgjobs.domain.outcome import Ending, ending
from bgjobs.domain.policies.changes import (
    accepted,
    attempts_allowed,
    because,
    clock,
    costs_retry,
    final_reason,
    finished,
    observed,
    seconds,
    told_to_end_for_suspend,
    waiting,
)
from bgjobs.domain.policies.obstacles import CANNOT_START, obstacle
from bgjobs.domain.policies.start import could_start
from bgjobs.domain.redaction import redact
from bgjobs.domain.resource import (
    MAX_ATTEMPTS_KEPT,
    MAX_COUNT,
    MAX_LOG_TAIL_CHARACTERS,
    MAX_QUOTED_CHARACTERS,
    Attempt,
    AttemptOutcome,
    BackgroundJob,
    Phase,
    Reason,
    Status,
    cut,
)

_DEFAULT_DEFERRAL_SECONDS = 60.0


def attempt_ended(seen: Observation, _: Configuration, now: datetime) -> Decision | None:
    if seen.child is None:
        return None
    end = _end(seen, seen.child, now)
    if end is None:
        return None
    status = _recorded(seen, seen.child, end, now)
    number = f"Attempt {seen.child.attempt} of {attempts_allowed(seen.job.spec, status)}"
    match end.outcome:
        case AttemptOutcome.SUCCEEDED:
            too_late = " The cancel came too late." if seen.job.spec.cancelled else ""
            message = f"{number} succeeded.{too_late}"
            return _finish(seen.job, status, end, message, now)
        case AttemptOutcome.CANCELLED:
            return _finish(seen.job, status, end, end.message, now)
        case AttemptOutcome.SUSPENDED if not costs_retry(end.outcome, status):
            stopped = msgspec.structs.replace(seen.job, status=status)
            message = f"{number} {end.message}."
            suspended = waiting(stopped, Reason.SUSPENDED, message, until=None)
            return Decision(status=suspended, urgent=True, look_again_at=now)
    return _after_failure(seen.job, status, end, f"{number} {end.message}", now)


def _end(seen: Observation, child: ChildJob, now: datetime) -> Ending | None:
    """How the attempt ended, or None while it has not.

    A child Job that is being deleted has ended only when it and its pod are
    gone, whatever its pod's last words; a success counts at once, unless it
    came after a cancel was carried out.
    """
    pod = seen.pod
    if _has_succeeded(seen, child) or not (child.deleting or child.gone):
        return _never_started(seen) if _overran_unstarted(seen) else ending(child, pod)
    if child.gone and (pod is None or pod.ended or pod.gone):
        return _stopped(seen, child, now)
    return None


def _has_succeeded(seen: Observation, child: ChildJob) -> bool:
    pod = seen.pod
    if pod is None or pod.phase is not PodPhase.SUCCEEDED:
        return False
    if not seen.job.spec.cancelled:
        return True
    too_late = child.deleted_at and pod.finished and pod.finished > child.deleted_at
    return not (pod.told_to_end or too_late)


def _overran_unstarted(seen: Observation) -> bool:
    """Whether its node ended an attempt whose pod could not start: that counts as running time."""
    pod = seen.pod
    if pod is None or not pod.overran or pod.started is not None:
        return False
    return obstacle(seen) is not None or seen.job.status.reason in CANNOT_START


def _stopped(seen: Observation, child: ChildJob, now: datetime) -> Ending:
    """The end of an attempt whose child Job was deleted."""
    spec = seen.job.spec
    if spec.cancelled:
        why = f" ({spec.cancel_reason})" if spec.cancel_reason else ""
        message = f"Cancelled{why} while attempt {child.attempt} was under way{_took(seen, now)}."
        return _ending(AttemptOutcome.CANCELLED, Reason.CANCELLED, message)
    ref = seen.job.status.job_ref
    if ref is not None and ref.given_up:
        return _never_started(seen)
    if spec.suspend or told_to_end_for_suspend(seen.job.status):
        return _ending(AttemptOutcome.SUSPENDED, Reason.SUSPENDED, "was stopped to suspend the job")
    return _ending(
        AttemptOutcome.JOB_DELETED, Reason.JOB_DELETED, f"ended early: its Job {child.name} is gone"
    )


def _took(seen: Observation, now: datetime) -> str:
    """How long an attempt took to end once it was told to."""
    ref = seen.job.status.job_ref
    if ref is None or ref.stop_time is None:
        return ""
    ended = (seen.pod.finished if seen.pod else None) or now
    return f"; it took {max(0, round((ended - ref.stop_time).total_seconds()))} s to end"


def _never_started(seen: Observation) -> Ending:
    """The end of an attempt that ran into a deadline, with what kept it from starting."""
    shown = seen.job.status.reason
    reason = shown if shown in CANNOT_START else Reason.PENDING_DEADLINE_EXCEEDED
    reason, why = obstacle(seen) or (reason, "")
    limit = f"{seen.job.spec.pending_deadline_seconds} s (pendingDeadlineSeconds)"
    if seen.pod is not None and seen.pod.overran:
        limit = "its deadline (activeDeadlineSeconds)"
    message = f"did not start within {limit}" + (f": {why}" if why else "")
    return _ending(AttemptOutcome.FAILED, reason, cut(message, MAX_QUOTED_CHARACTERS))


def _ending(outcome: AttemptOutcome, reason: Reason, message: str) -> Ending:
    return Ending(outcome=outcome, reason=reason, message=message)


def _recorded(seen: Observation, child: ChildJob, end: Ending, now: datetime) -> Status:
    """The status with the attempt added."""
    job, pod = seen.job, seen.pod
    start, finish = _times(pod, now)
    attempt = Attempt(
        run=child.run,
        attempt=child.attempt,
        job_name=child.name,
        node_name=pod.node_name if pod else None,
        due_time=min(could_start(job), start or finish),
        start=start,
        finish=finish,
        outcome=end.outcome,
        exit_code=pod.exit_code if pod and end.exit_code is None else end.exit_code,
        reason=end.reason,
        message=end.message,
        resources=end.resources,
        error=end.error,
        log_tail=_log_tail(seen.log_tail),
    )
    status = observed(job)
    return msgspec.structs.replace(
        accepted(job, status, now),
        disruptions=_count(status.disruptions, end.outcome is AttemptOutcome.DISRUPTED),
        deferrals=_count(status.deferrals, end.outcome is AttemptOutcome.DEFERRED),
        suspensions=_count(status.suspensions, end.outcome is AttemptOutcome.SUSPENDED),
        attempts=(*status.attempts, attempt)[-MAX_ATTEMPTS_KEPT:],
        attempts_total=_count(status.attempts_total, True),
        observed_start_requests=job.spec.start_requests,
        start_time=status.start_time or start,
        run_seconds=max(0.0, (finish - start).total_seconds()) if start else None,
        result=end.result,
        next_attempt_time=None,
        job_ref=None,
    )


def _times(pod: Pod | None, now: datetime) -> tuple[datetime | None, datetime]:
    """When the attempt started and ended, both moved by as much as its node's clock is known wrong.

    It neither ended after now nor began before its pod was created: those times are the server's.
    """
    start = pod.started if pod else None
    finish = (pod.finished if pod else None) or seconds(now)
    wrong = min(timedelta(0), seconds(now) - finish)
    if pod is not None and (start or finish) < pod.created:
        wrong = pod.created - (start or finish)
    finish = min(finish + wrong, seconds(now))
    return min(start + wrong, finish) if start else None, finish


def _count(so_far: int, one_more: bool) -> int:
    return min(so_far + one_more, MAX_COUNT)


def _log_tail(log: str | None) -> str | None:
    """The end of a log without what looks like a secret, from the start of a line if it can be."""
    if log is None:
        return None
    text = "".join(
        c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in redact(log)
    ).rstrip()
    if len(text) > MAX_LOG_TAIL_CHARACTERS:
        text = text[-MAX_LOG_TAIL_CHARACTERS:]
        text = text.partition("\n")[2] or text
    return text or None


def _after_failure(
    job: BackgroundJob, status: Status, end: Ending, what: str, now: datetime
) -> Decision:
    last = status.attempts[-1]
    if not costs_retry(end.outcome, status):
        what = f"{what}. That costs no retry"
        if end.outcome is AttemptOutcome.DISRUPTED:
            return _retry(status, Reason.QUEUED, what, last.finish, event="Disrupted")
        asked = end.retry_after_seconds
        pause = timedelta(seconds=_DEFAULT_DEFERRAL_SECONDS if asked is None else asked)
        return _retry(status, Reason.BACKING_OFF, what, last.finish + pause)
    if end.final:
        message = f"{what}. This exit code ends retrying."
        return _finish(job, status, end, message, now)
    if status.retries_used >= priority.effective_retries(job.spec):
        message = f"{what}. No retry is left ({priority.explain_retries(job.spec)})."
        return _finish(job, status, end, message, now)
    status = msgspec.structs.replace(status, retries_used=status.retries_used + 1)
    pause = timedelta(seconds=retry_pause_seconds(job, status))
    return _retry(status, Reason.BACKING_OFF, what, last.finish + pause)


def _retry(
    status: Status, reason: Reason, what: str, due: datetime, event: str = "RetryScheduled"
) -> Decision:
    message = f"{what}. Attempt {status.next_attempt} starts at {clock(due)}."
    retrying = msgspec.structs.replace(because(status, reason, message), next_attempt_time=due)
    return Decision(
        status=retrying,
        urgent=True,
        event=Event(type=EventType.WARNING, reason=event, message=message),
        look_again_at=due,
    )


def _finish(
    job: BackgroundJob, status: Status, end: Ending, message: str, now: datetime
) -> Decision:
    status = finished(job, status, final_reason(end.reason), message, now)
    if status.phase is not Phase.CANCELLED:
        status = msgspec.structs.replace(status, completion_time=status.attempts[-1].finish)
    type_ = EventType.WARNING if status.phase is Phase.FAILED else EventType.NORMAL
    event = Event(type=type_, reason=str(status.phase), message=message)
    return Decision(status=status, urgent=True, event=event)
