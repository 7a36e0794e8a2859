"""Bounds how often the reasons of waiting jobs are written, the longest waiting first."""

import asyncio
from collections.abc import Callable

_PAUSES_WHILE_BUSY = 20


class HintQueue:
    """Permissions to write a hint, given out one by one, and only now and then while it is busy."""

    def __init__(
        self, per_second: float, permitted: Callable[[str], None], is_busy: Callable[[], bool]
    ) -> None:
        self._pause_seconds = 1 / per_second
        self._tell_permitted = permitted
        self._is_busy = is_busy
        self._waiting: dict[str, None] = {}
        self._permitted: set[str] = set()

    def take(self, uid: str) -> bool:
        """Whether the hint may be written now; where not, `permitted` is called later."""
        if uid in self._permitted:
            self._permitted.discard(uid)
            return True
        self._waiting[uid] = None
        return False

    def forget(self, uid: str) -> None:
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
                self._tell_permitted(uid)
