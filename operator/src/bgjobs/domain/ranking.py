"""Who starts next: by hand first, then by priority, then by waiting time; nobody starves."""

import enum
from datetime import datetime, timedelta

import msgspec

from bgjobs.domain.resource import Priority

AGED_START_EVERY = 4
"""One start in so many goes to the job that has waited longest beyond the ageing time."""


class Limit(enum.StrEnum):
    """What a job that could start waits for."""

    OPERATOR = "operator"
    RUNTIME = "runtime"
    START_WINDOW = "start window"


class Blocked(msgspec.Struct, frozen=True, kw_only=True):
    """The limit that is reached, and how many jobs it lets through at once."""

    by: Limit
    limit: int


Rank = tuple[bool, int, datetime, str]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A job that could start now. `group` counts against `group_limit` (0: no limit)."""

    uid: str
    by_hand: bool
    priority: Priority
    could_start_since: datetime
    group: str
    group_limit: int

    @property
    def rank(self) -> Rank:
        """Lowest first. The uid only makes the order total."""
        return (not self.by_hand, int(self.priority), self.could_start_since, self.uid)


def is_aged(candidate: Candidate, now: datetime, ageing: timedelta) -> bool:
    return now - candidate.could_start_since > ageing
