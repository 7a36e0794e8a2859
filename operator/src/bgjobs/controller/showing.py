"""When a status is written that records nothing: once it has lasted, and hints one by one."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import Phase, Reason, Status

_AFTER = timedelta(seconds=1)
"""A state that does not last this long is never written."""

_AFTER_WHILE_BUSY = timedelta(seconds=10)
"""The same while many jobs start: then a quick one takes longer, too."""

_PAUSES_WHILE_BUSY = 20


class Showing:
    """Remembers what waits to be shown, and gives out hints, the longest waiting first.

    A hint is the status of a job that has no attempt under way.
    """

    def __init__(
        self,
        hints_per_second: float,
        queue: WorkQueue,
        now: Callable[[], datetime],
        is_busy: Callable[[], bool],
    ) -> None:
        self._pause_seconds = 1 / hints_per_second
        self._queue = queue
        self._now = now
        self._is_busy = is_busy
        self._decided: dict[str, tuple[tuple[Phase, Reason], datetime]] = {}
        self._waiting: dict[str, None] = {}
        self._permitted: set[str] = set()

    def may_show(self, uid: str, status: Status, *, is_answer: bool = False) -> bool:
        """Whether it may be written now; where not, the job is queued for when it may.

        An answer to a change of the spec waits for no other job's hint. What lasts is
        the reason: its message may tell of limits that change all the time.
        """
        now, what = self._now(), (status.phase, status.reason)
        known, since = self._decided.get(uid, (None, now))
        if known != what:
            self._decided[uid] = (what, now)
            since = now
        after = _AFTER if is_answer else self._after
        if now - since < after:
            self._queue.add_at(uid, since + after)
            return False
        return is_answer or status.job_ref is not None or self._take(uid)

    def look_when_lasting(self, uid: str) -> None:
        """Queues a job whose attempt has just begun for when that is to be shown."""
        self._queue.add_at(uid, self._now() + self._after)

    def forget(self, uid: str) -> None:
        """Another status is shown, or none is to be."""
        self._decided.pop(uid, None)
        self._waiting.pop(uid, None)
        self._permitted.discard(uid)

    async def run(self) -> None:
        while True:
            pauses = _PAUSES_WHILE_BUSY if self._is_busy() else 1
            await asyncio.sleep(self._pause_seconds * pauses)
            if self._waiting:
                uid = next(iter(self._waiting))
                del self._waiting[uid]
                self._permitted.add(uid)
                self._queue.add(uid)

    def _take(self, uid: str) -> bool:
        """Whether it is the job's turn to write a hint; a turn holds once."""
        if uid in self._permitted:
            self._permitted.discard(uid)
            return True
        self._waiting[uid] = None
        return False

    @property
    def _after(self) -> timedelta:
        return _AFTER_WHILE_BUSY if self._is_busy() else _AFTER
