"""Which failed attempts are of one cause: those of one exception at one place in the job's code."""

import hashlib
from typing import NamedTuple

from bgjobs.domain.resource import Attempt, AttemptOutcome, BackgroundJob, Reason

_ID_DIGITS = 12


class ErrorGroup(NamedTuple):
    """`type` is the exception's, or what stands for it where there was none."""

    id: str
    type: str
    place: str | None


def error_group(attempt: Attempt, class_: str) -> ErrorGroup | None:
    """None unless the attempt failed.

    The line is no part of what makes a group: it moves with every edit. Where the
    job's code is not to blame or not known, a group is of one class.
    """
    if attempt.outcome not in (AttemptOutcome.FAILED, AttemptOutcome.JOB_DELETED):
        return None
    error = attempt.error
    if error is None:
        unexplained = attempt.reason is Reason.ERROR and attempt.exit_code is not None
        type_ = f"exit code {attempt.exit_code}" if unexplained else str(attempt.reason)
        return ErrorGroup(_id(type_, class_), type_, None)
    if error.module is None:
        return ErrorGroup(_id(error.type, class_), error.type, None)
    place = f"{error.module}:{error.line} in {error.function}"
    return ErrorGroup(_id(error.type, error.module, error.function or ""), error.type, place)


def error_group_of(job: BackgroundJob) -> str | None:
    """The id of the last attempt's, if that failed and is of the run that the job is in."""
    last = job.status.attempts[-1] if job.status.attempts else None
    if last is None or last.run != job.status.run:
        return None
    group = error_group(last, job.spec.class_)
    return group.id if group else None


def _id(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_ID_DIGITS]
