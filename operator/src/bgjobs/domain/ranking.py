"""Who starts next: by hand first, then by priority, then by waiting time; nobody starves."""

import enum
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
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
Seniority = tuple[datetime, str]


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

    @property
    def seniority(self) -> Seniority:
        """Lowest for who has waited longest."""
        return (self.could_start_since, self.uid)


def is_aged(candidate: Candidate, now: datetime, ageing: timedelta) -> bool:
    return now - candidate.could_start_since > ageing


def predicted_starts(
    candidates: Iterable[Candidate],
    now: datetime,
    ageing: timedelta,
    starts_since_aged: int,
    places: Mapping[str, int],
) -> Iterator[Candidate]:
    """The candidates in the order in which they start if nobody joins, leaves or ends.

    `places` says how many more of a limited group may start; those beyond are left out.
    """
    left = dict(places)
    started: set[str] = set()

    def head(waiting: deque[Candidate]) -> Candidate | None:
        while waiting and (waiting[0].uid in started or left.get(waiting[0].group, 1) <= 0):
            waiting.popleft()
        return waiting[0] if waiting else None

    by_rank = deque(sorted(candidates, key=lambda c: c.rank))
    by_seniority = deque(sorted(by_rank, key=lambda c: c.seniority))
    while (chosen := head(by_rank)) and (oldest := head(by_seniority)):
        starts_since_aged += 1
        if starts_since_aged >= AGED_START_EVERY and is_aged(oldest, now, ageing):
            chosen, starts_since_aged = oldest, 0
        started.add(chosen.uid)
        if chosen.group in left:
            left[chosen.group] -= 1
        yield chosen
