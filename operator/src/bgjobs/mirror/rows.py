"""A BackgroundJob as rows of the mirror."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from bgjobs.domain.error_group import error_group, error_group_of
from bgjobs.domain.policies.start import could_start
from bgjobs.domain.redaction import redact
from bgjobs.domain.resource import Attempt, AttemptOutcome, BackgroundJob, Phase
from bgjobs.mirror.schema import MAX_USER_CHARACTERS, RESOURCE_VERSION_DIGITS

_ENDS = {AttemptOutcome.SUCCEEDED: Phase.SUCCEEDED, AttemptOutcome.CANCELLED: Phase.CANCELLED}


def job_row(job: BackgroundJob) -> dict[str, Any]:
    metadata, spec, status = job.metadata, job.spec, job.status
    return {
        "uid": metadata.uid,
        "namespace": metadata.namespace,
        "name": metadata.name,
        "class": spec.class_,
        "method": spec.method,
        "priority": int(spec.priority),
        "delay_seconds": spec.delay_seconds,
        "effective_delay_seconds": status.effective_delay_seconds,
        "retries": spec.retries,
        "effective_retries": status.effective_retries,
        "phase": str(status.phase),
        "reason": str(status.reason),
        "message": status.message[:1024],
        "run": status.run,
        "attempts_total": status.attempts_total,
        "attempts_of_run": status.next_attempt - 1,
        "retries_used": status.retries_used,
        "disruptions": status.disruptions,
        "run_seconds": status.run_seconds,
        "created_at": naive(metadata.creation_timestamp),
        "could_start_at": None if status.finished else naive(could_start(job)),
        "next_attempt_at": naive(status.next_attempt_time),
        "started_at": naive(status.start_time),
        "completed_at": naive(status.completion_time),
        "error_group": error_group_of(job),
        "resource_version": padded(metadata.resource_version),
    }


def details_row(job: BackgroundJob) -> dict[str, Any]:
    result = job.status.result
    # Without its parameters, which are left out where there are none.
    spec = msgspec.structs.replace(job.spec, parameters={})
    return {
        "uid": job.metadata.uid,
        "spec": msgspec.json.encode(spec).decode(),
        "parameters": msgspec.json.encode(job.spec.parameters).decode(),
        "result": None if result is None else msgspec.json.encode(result).decode(),
        "resource_version": padded(job.metadata.resource_version),
    }


def label_rows(job: BackgroundJob) -> list[dict[str, Any]]:
    metadata = job.metadata
    return [
        {
            "uid": metadata.uid,
            "name": name,
            "value": value,
            "created_at": naive(metadata.creation_timestamp),
            "resource_version": padded(metadata.resource_version),
        }
        for name, value in metadata.labels.items()
    ]


def attempt_rows(job: BackgroundJob, newer: BackgroundJob | None = None) -> list[dict[str, Any]]:
    """Of the attempts that the status still has, and that of a newer state does not."""
    attempts = job.status.attempts
    others = newer.status.attempts if newer else ()
    had = {(attempt.run, attempt.attempt) for attempt in others}
    return [
        _attempt_row(job, attempt, after)
        for attempt, after in zip(attempts, (*attempts[1:], None), strict=False)
        if (attempt.run, attempt.attempt) not in had
    ]


def _attempt_row(job: BackgroundJob, attempt: Attempt, after: Attempt | None) -> dict[str, Any]:
    resources, group = attempt.resources, error_group(attempt, job.spec.class_)
    return {
        "uid": job.metadata.uid,
        "run": attempt.run,
        "attempt": attempt.attempt,
        "job_name": attempt.job_name,
        "node_name": attempt.node_name,
        "outcome": str(attempt.outcome),
        "reason": str(attempt.reason),
        "message": attempt.message,
        "exit_code": attempt.exit_code,
        "could_start_at": naive(attempt.due_time),
        "started_at": naive(attempt.start),
        "finished_at": naive(attempt.finish),
        "wait_seconds": _seconds_between(attempt.due_time, attempt.start),
        "run_seconds": _seconds_between(attempt.start, attempt.finish),
        "peak_memory_bytes": resources.peak_memory_bytes if resources else None,
        "memory_limit_bytes": resources.memory_limit_bytes if resources else None,
        "cpu_seconds": resources.cpu_seconds if resources else None,
        "error_group": group.id if group else None,
        "error_type": group.type if group else None,
        "error_place": group.place if group else None,
        "ended_as": _ended_as(job, attempt, after),
        "class": job.spec.class_,
        "priority": int(job.spec.priority),
        "created_at": naive(job.metadata.creation_timestamp),
        "resource_version": padded(job.metadata.resource_version),
    }


def _ended_as(job: BackgroundJob, attempt: Attempt, after: Attempt | None) -> str | None:
    """The phase in which an attempt ended its run, if it did."""
    status = job.status
    if after is not None and after.run == attempt.run:
        return None
    if attempt.run == status.run:
        return str(status.phase) if status.finished else None
    return str(attempt.ended_as or _ENDS.get(attempt.outcome, Phase.FAILED))


def _seconds_between(start: datetime | None, end: datetime | None) -> float | None:
    if start is None or end is None:
        return None
    return max(0.0, (end - start).total_seconds())


def log_tail_row(uid: str, run: int, attempt: int, log: bytes) -> dict[str, Any]:
    """The end of a log, without what looks like a secret."""
    text = redact(log.decode(errors="replace"))
    return {"uid": uid, "run": run, "attempt": attempt, "text": text}


def action_rows(job: BackgroundJob, now: datetime) -> list[dict[str, Any]]:
    """Who created, started, retried and cancelled the job, each time that it was done.

    An action's time is that of the latest change: its own, where it is seen before another one.
    """
    metadata, spec, who = job.metadata, job.spec, job.metadata.annotations
    changed_at = metadata.changed_at(now)
    actions = (
        ("created", 0, who.created_by, metadata.creation_timestamp),
        ("started", spec.start_requests, who.started_by, changed_at),
        ("retried", spec.retry_requests, who.retried_by, changed_at),
        ("cancelled", spec.retry_requests, who.cancelled_by, changed_at),
    )
    return [
        {
            "uid": metadata.uid,
            "action": action,
            "ordinal": ordinal,
            "by_user": user[:MAX_USER_CHARACTERS],
            "at": naive(time),
        }
        for action, ordinal, user, time in actions
        if user is not None and (action != "cancelled" or spec.cancelled)
    ]


def padded(resource_version: str) -> str:
    return resource_version.zfill(RESOURCE_VERSION_DIGITS)


def naive(time: datetime | None) -> datetime | None:
    """UTC without a zone, as the columns hold it."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None)
