"""Runs one method of one Python class as a background job: what a job's author imports."""
# ruff: noqa: N818 - RetryLater and Cancelled are no errors, and the others read better beside them.

from __future__ import annotations

import math
from dataclasses import dataclass

# Not typing's: importing typing would lengthen every job's start.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    C = TypeVar("C", bound=type)

__all__ = [
    "BadParameters",
    "Cancelled",
    "Context",
    "PermanentFailure",
    "Refused",
    "RetryLater",
    "job",
]

LONGEST_RETRY_LATER_SECONDS = 365 * 24 * 3600


def job(cls: C) -> C:
    """Let this class be run as a background job.

    The opt-in is the class's own: subclasses repeat it. The methods that may run are the public
    ones defined in its body.
    """
    if not isinstance(cls, type):
        raise TypeError(f"@job goes above a class, not above {cls!r}")
    cls.__bgjob__ = True  # type: ignore[attr-defined]
    return cls


@dataclass(frozen=True)
class Context:
    """What a method learns about the job it runs for, if it has a parameter named `context`.

    `run` counts from 1 and rises with each retry by hand, `attempt` counts from 1 in each run.
    `idempotency_key` is the same for every attempt of a run: give it to services that refuse to
    do one thing twice.
    """

    name: str
    namespace: str
    uid: str
    run: int
    attempt: int
    idempotency_key: str


class PermanentFailure(Exception):
    """Raise it to fail for good: no further attempt is made."""


class BadParameters(Exception):
    """The parameters do not fit the method. Raise it for values that never can; not retried."""


class RetryLater(Exception):
    """Raise it to run again after some seconds (0 to one year), without costing a retry."""

    def __init__(self, seconds: float, message: str = "") -> None:
        # Also refuses NaN, which compares false.
        if not 0 <= seconds <= LONGEST_RETRY_LATER_SECONDS:
            raise ValueError(
                f"RetryLater takes 0 to {LONGEST_RETRY_LATER_SECONDS} seconds, not {seconds!r}"
            )
        super().__init__(message or f"again in {seconds} seconds")
        self.seconds = math.ceil(seconds)


class Refused(Exception):
    """This class or method may not run here, or is not in this image; not retried."""


class Cancelled(BaseException):
    """Raised inside the method when the job is to stop: clean up, then let it pass.

    It is no Exception, so that `except Exception` does not swallow it. Methods that are
    `async def` get asyncio.CancelledError instead.
    """
