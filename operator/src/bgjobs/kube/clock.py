"""The API server's time, so that a wrong clock of the operator's node moves no job."""

import math
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

_TOLERATED = timedelta(seconds=2)
_SECONDS_BETWEEN_READINGS = 10.0


class ServerClock:
    """Local time, corrected where the server's Date header differs by more than its grain."""

    def __init__(
        self,
        local: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._local = local
        self._monotonic = monotonic
        self._offset = timedelta()
        self._read_at = -math.inf

    def now(self) -> datetime:
        return self._local() + self._offset

    def observe(self, date_header: str | None) -> None:
        read_at = self._monotonic()
        if date_header is None or read_at - self._read_at < _SECONDS_BETWEEN_READINGS:
            return
        self._read_at = read_at
        offset = parsedate_to_datetime(date_header) - self._local()
        if abs(offset - self._offset) > _TOLERATED:
            self._offset = offset


def boot_seconds() -> float:
    """Seconds that also pass while this process is stopped and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
