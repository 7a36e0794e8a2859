"""How long finished BackgroundJobs, and the child Jobs of recorded attempts, stay."""

from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.observation import ChildJob
from bgjobs.domain.resource import BackgroundJob, Phase


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds from the end, where a BackgroundJob says nothing of its own."""

    succeeded_seconds: int
    unsuccessful_seconds: int
    child_succeeded_seconds: int
    child_unsuccessful_seconds: int


def job_has_expired(job: BackgroundJob, retention: Retention, now: datetime) -> bool:
    """Whether a finished BackgroundJob has stayed its time (ttlSecondsAfterFinished)."""
    finished_at = job.status.completion_time
    if not job.status.finished or finished_at is None:
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
    recorded = (child.run, child.attempt) < (job.status.run, job.status.next_attempt)
    if not recorded or child.deleting:
        return False
    kept_seconds = (
        retention.child_succeeded_seconds
        if child.succeeded
        else retention.child_unsuccessful_seconds
    )
    return now - (child.ended or child.created) >= timedelta(seconds=kept_seconds)
