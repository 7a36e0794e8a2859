"""A BackgroundJob as rows of the mirror."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from bgjobs.domain.policies.start import due
from bgjobs.domain.resource import BackgroundJob
from bgjobs.mirror.schema import MAX_USER_CHARACTERS, RESOURCE_VERSION_DIGITS


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
        "could_start_at": None if status.finished else naive(due(job)),
        "next_attempt_at": naive(status.next_attempt_time),
        "started_at": naive(status.start_time),
        "completed_at": naive(status.completion_time),
        "resource_version": padded(metadata.resource_version),
    }


def details_row(job: BackgroundJob) -> dict[str, Any]:
    result, spec = job.status.result, msgspec.to_builtins(job.spec)
    spec.pop("parameters", None)
    return {
        "uid": job.metadata.uid,
        "spec": msgspec.json.encode(spec).decode(),
        "parameters": msgspec.json.encode(job.spec.parameters).decode(),
        "result": None if result is None else msgspec.json.encode(result).decode(),
        "resource_version": padded(job.metadata.resource_version),
    }


def action_rows(job: BackgroundJob) -> list[dict[str, Any]]:
    """Who created, started, retried and cancelled the job, each time that it was done.

    An action's time is that of the latest change: its own, where it is seen before another one.
    """
    metadata, spec, who = job.metadata, job.spec, job.metadata.annotations
    actions = (
        ("created", 0, who.created_by, metadata.creation_timestamp),
        ("started", spec.start_requests, who.started_by, metadata.changed_at),
        ("retried", spec.retry_requests, who.retried_by, metadata.changed_at),
        ("cancelled", spec.retry_requests, who.cancelled_by, metadata.changed_at),
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
