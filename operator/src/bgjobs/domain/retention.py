"""How long finished BackgroundJobs, and the child Jobs of recorded attempts, stay."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.observation import ChildJob
from bgjobs.domain.resource import BackgroundJob, Metadata, Phase

_ASTRAY_AFTER = timedelta(seconds=60)


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the end, where a BackgroundJob says nothing of its own."""

    succeeded_seconds: int
    unsuccessful_seconds: int
    child_succeeded_seconds: int
    child_unsuccessful_seconds: int
    max_finished: int
    """Finished BackgroundJobs that stay at most; 0 for no limit."""


def job_has_expired(job: BackgroundJob, retention: Retention, now: datetime) -> bool:
    """Whether a finished BackgroundJob has stayed its time (ttlSecondsAfterFinished)."""
    finished_at = job.status.completion_time
    if not job.is_done or finished_at is None:
        return False
    kept_seconds = job.spec.ttl_seconds_after_finished
    if kept_seconds is None:
        succeeded = job.status.phase is Phase.SUCCEEDED
        kept_seconds = retention.succeeded_seconds if succeeded else retention.unsuccessful_seconds
    return now - finished_at >= timedelta(seconds=kept_seconds)


def child_has_expired(
    child: ChildJob, job: BackgroundJob, retention: Retention, now: datetime
) -> bool:
    """Whether a child Job has stayed its time, and its attempt's outcome is in the status.

    Nothing removes a child Job before: so a crash of the operator loses nothing.
    """
    return (
        child.ended is not None and is_overtaken(child, job) and child_is_old(child, retention, now)
    )


def child_is_astray(child: ChildJob, job: BackgroundJob, now: datetime) -> bool:
    """Whether a child Job goes on though its attempt is recorded, or its BackgroundJob finished.

    So it is where a start is carried out long after it was sent, or where a
    deletion was believed that did not happen.
    """
    if child.ended is not None or child.deleting:
        return False
    for attempt in job.status.attempts:
        if (attempt.run, attempt.attempt) == (child.run, child.attempt):
            return now - attempt.finish > _ASTRAY_AFTER
    if is_overtaken(child, job):
        return True
    return job.status.finished and now - child.created > _ASTRAY_AFTER


def surplus(
    finished: Iterable[tuple[datetime, Metadata]], retention: Retention
) -> Sequence[Metadata]:
    """Of finished BackgroundJobs, with the time of their end, the oldest beyond the limit."""
    if not retention.max_finished:
        return ()
    newest_first = sorted(finished, key=lambda each: each[0], reverse=True)
    return [metadata for _, metadata in newest_first[retention.max_finished :]]


def child_is_old(child: ChildJob, retention: Retention, now: datetime) -> bool:
    """Whether a child Job may go, if its BackgroundJob does not speak against it."""
    if child.deleting:
        return False
    if child.ended is None:
        return now - child.created > _ASTRAY_AFTER
    kept_seconds = (
        retention.child_succeeded_seconds
        if child.succeeded
        else retention.child_unsuccessful_seconds
    )
    return now - child.ended >= timedelta(seconds=kept_seconds)


def is_overtaken(child: ChildJob, job: BackgroundJob) -> bool:
    """Whether its attempt is neither under way nor the one that comes next."""
    return (child.run, child.attempt) < (job.status.run, job.status.next_attempt)
