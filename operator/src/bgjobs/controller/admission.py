"""The admission queue: which of the jobs that could start may start now."""

import heapq
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple, TypeVar

from bgjobs.domain.queue_report import QueueReport
from bgjobs.domain.ranking import (
    AGED_START_EVERY,
    Blocked,
    Candidate,
    Limit,
    Rank,
    Seniority,
    is_aged,
)
from bgjobs.domain.start_window import FIRST_SIZE, alone, resized

_MANY_STARTS = 40
_LATELY = timedelta(seconds=10)
_FEW = 2
"""Attempts that start beside another one without being in its way."""

Order = TypeVar("Order", Rank, Seniority)


class _Admitted(NamedTuple):
    """When an attempt that is starting was admitted, and how many others were starting then."""

    at: datetime
    others: int


class AdmissionQueue:
    """Slots for running jobs, given out by rank.

    A job holds its slot from its admission until release(); at most
    `max_concurrent` jobs do, and at most `group_limit` of a group. At most
    `start_window` of them have a pod that does not run yet; None lets it
    follow how long starts take. 0 is no limit.
    """

    def __init__(
        self,
        max_concurrent: int,
        start_window: int | None,
        ageing: timedelta,
        now: Callable[[], datetime],
        admitted: Callable[[str], None],
    ) -> None:
        self._max_concurrent = max_concurrent
        self._fixed_start_window = start_window
        self._window = FIRST_SIZE
        self._ageing = ageing
        self._now = now
        self._admitted = admitted
        self._group_of_holder: dict[str, str] = {}
        self._starting: dict[str, _Admitted | None] = {}
        """None for those that were starting before this process did."""
        self._waiting: dict[str, Candidate] = {}
        self._groups: defaultdict[str, _Group] = defaultdict(_Group)
        self._starts_since_aged = 0
        self._latest_starts: deque[datetime] = deque(maxlen=_MANY_STARTS)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._group_of_holder)

    @property
    def starting(self) -> int:
        return len(self._starting)

    def is_busy(self) -> bool:
        """Whether many jobs have started lately: writes that can wait would slow the next ones."""
        starts = self._latest_starts
        return len(starts) == _MANY_STARTS and self._now() - starts[0] < _LATELY

    @property
    def start_window(self) -> int:
        fixed = self._fixed_start_window
        return round(self._window) if fixed is None else fixed

    def report(self) -> QueueReport:
        return QueueReport(
            max_concurrent=self._max_concurrent,
            running=self.running,
            waiting=self.waiting,
            start_window=self.start_window,
            starting=self.starting,
            ageing_seconds=int(self._ageing.total_seconds()),
            starts_since_aged=self._starts_since_aged,
        )

    def blocked_by(self, group: str) -> Blocked | None:
        """The limit that a job of this group would wait for now."""
        known = self._groups.get(group)
        if known is not None and not known.has_room():
            return Blocked(by=Limit.RUNTIME, limit=known.limit)
        return self._full()

    def acquire(self, candidate: Candidate) -> bool:
        """Whether the job may start now; where not, it waits and `admitted` is called later."""
        if candidate.uid in self._group_of_holder:
            return True
        if self._waiting.get(candidate.uid) != candidate:
            self._waiting[candidate.uid] = candidate
            self._groups[candidate.group].add(candidate)
        self._admit(asking=candidate.uid)
        return candidate.uid in self._group_of_holder

    def hold(self, uid: str, group: str, *, starting: bool) -> None:
        """Counts a job that is under way, in the start window as long as it is starting."""
        if uid not in self._group_of_holder:
            self._waiting.pop(uid, None)
            self._take(uid, group, None)
        if not starting and uid in self._starting:
            if admitted := self._starting.pop(uid):
                self._learn(self._groups[self._group_of_holder[uid]], admitted)
            self._admit()

    def regroup(self, groups: Mapping[str, str]) -> None:
        """Counts each job in the group that it has now; who waited in another has to ask again."""
        for uid, before in self._group_of_holder.items():
            self._groups[before].running -= 1
            self._group_of_holder[uid] = group = groups.get(uid, before)
            self._groups[group].running += 1
        for uid, candidate in tuple(self._waiting.items()):
            if groups.get(uid) != candidate.group:
                del self._waiting[uid]

    def release(self, uid: str) -> None:
        """The job has no attempt under way and wants none now."""
        self._waiting.pop(uid, None)
        self._starting.pop(uid, None)
        if (group := self._group_of_holder.pop(uid, None)) is not None:
            self._groups[group].running -= 1
            self._admit()

    def _learn(self, group: "_Group", admitted: _Admitted) -> None:
        """Adapts the window to how long a start took; a window that is not used says nothing.

        Each group has images of its own, which may take longer to start alone than others.
        """
        seconds = (self._now() - admitted.at).total_seconds()
        if admitted.others <= _FEW:
            group.alone_seconds = alone(group.alone_seconds, seconds)
        elif group.alone_seconds is not None and admitted.others >= self._window / 2:
            self._window = resized(self._window, seconds, group.alone_seconds)

    def _admit(self, asking: str = "") -> None:
        while self._full() is None and (candidate := self._next()) is not None:
            del self._waiting[candidate.uid]
            admitted = _Admitted(self._now(), len(self._starting))
            self._take(candidate.uid, candidate.group, admitted)
            if candidate.uid != asking:
                self._admitted(candidate.uid)

    def _full(self) -> Blocked | None:
        if 0 < self._max_concurrent <= len(self._group_of_holder):
            return Blocked(by=Limit.OPERATOR, limit=self._max_concurrent)
        if 0 < self.start_window <= len(self._starting):
            return Blocked(by=Limit.START_WINDOW, limit=self.start_window)
        return None

    def _take(self, uid: str, group: str, admitted: _Admitted | None) -> None:
        self._latest_starts.append(self._now())
        self._starting[uid] = admitted
        self._group_of_holder[uid] = group
        self._groups[group].running += 1

    def _next(self) -> Candidate | None:
        """The candidate to admit; one in so many starts goes to the one that waited longest."""
        open_groups = [group for group in self._groups.values() if group.has_room()]
        if self._starts_since_aged >= AGED_START_EVERY - 1:
            heads = [head for group in open_groups if (head := group.oldest(self._waiting))]
            oldest = min(heads, key=lambda c: c.seniority, default=None)
            if oldest is not None and is_aged(oldest, self._now(), self._ageing):
                self._starts_since_aged = 0
                return oldest
        heads = [head for group in open_groups if (head := group.best(self._waiting))]
        best = min(heads, key=lambda c: c.rank, default=None)
        if best is not None:
            self._starts_since_aged += 1
        return best


class _Group:
    """The candidates of one group in two orders. Outdated entries are dropped when they surface."""

    def __init__(self) -> None:
        self.running = 0
        self.limit = 0
        self.alone_seconds: float | None = None
        self._by_rank: list[tuple[Rank, str, str]] = []
        self._by_seniority: list[tuple[Seniority, str, str]] = []

    def add(self, candidate: Candidate) -> None:
        self.limit = candidate.group_limit
        uid, group = candidate.uid, candidate.group
        heapq.heappush(self._by_rank, (candidate.rank, uid, group))
        heapq.heappush(self._by_seniority, (candidate.seniority, uid, group))

    def has_room(self) -> bool:
        return self.limit == 0 or self.running < self.limit

    def best(self, waiting: Mapping[str, Candidate]) -> Candidate | None:
        return _head(self._by_rank, waiting, lambda candidate: candidate.rank)

    def oldest(self, waiting: Mapping[str, Candidate]) -> Candidate | None:
        return _head(self._by_seniority, waiting, lambda candidate: candidate.seniority)


def _head(
    heap: list[tuple[Order, str, str]],
    waiting: Mapping[str, Candidate],
    order: Callable[[Candidate], Order],
) -> Candidate | None:
    """The first of a heap that still waits as it did when it was added."""
    while heap:
        place, uid, group = heap[0]
        candidate = waiting.get(uid)
        if candidate and (order(candidate), candidate.group) == (place, group):
            return candidate
        heapq.heappop(heap)
    return None
