"""A work queue in the way of Kubernetes controllers: keyed, delayed, by priority.

A key that is added while it is worked on is worked on again afterwards; no key
is ever worked on by two workers at once.
"""

import asyncio
import heapq
import itertools
from collections.abc import Callable
from datetime import datetime

NORMAL = 1
URGENT = 0


class WorkQueue:
    """Keys that wait for a worker now, and keys that come due later."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._order = itertools.count()
        self._ready: list[tuple[int, int, str]] = []
        self._queued: dict[str, int] = {}
        self._working: set[str] = set()
        self._again: dict[str, int] = {}
        self._later: list[tuple[datetime, int, str]] = []
        self._due: dict[str, datetime] = {}
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._queued)

    def add(self, key: str, priority: int = NORMAL) -> None:
        if key in self._working:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        if self._queued.get(key, priority + 1) <= priority:
            return
        self._queued[key] = priority
        heapq.heappush(self._ready, (priority, next(self._order), key))
        self._changed.set()

    def add_at(self, key: str, when: datetime) -> None:
        """Adds the key at a time; of several times asked for, the earliest holds."""
        known = self._due.get(key)
        if known is not None and known <= when:
            return
        self._due[key] = when
        entry = (when, next(self._order), key)
        heapq.heappush(self._later, entry)
        if self._later[0] is entry:
            self._changed.set()

    async def get(self) -> str:
        """The next key; the caller must call done() with it."""
        while True:
            self._ripen()
            while self._ready:
                priority, _, key = heapq.heappop(self._ready)
                if self._queued.get(key) == priority:
                    del self._queued[key]
                    self._working.add(key)
                    return key
            self._changed.clear()
            pause = (self._later[0][0] - self._now()).total_seconds() if self._later else None
            try:
                async with asyncio.timeout(pause):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def done(self, key: str) -> None:
        self._working.discard(key)
        if (priority := self._again.pop(key, None)) is not None:
            self.add(key, priority)

    def _ripen(self) -> None:
        while self._later and self._later[0][0] <= self._now():
            when, _, key = heapq.heappop(self._later)
            if self._due.get(key) == when:
                del self._due[key]
                self.add(key)
