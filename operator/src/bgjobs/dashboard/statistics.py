"""Figures from rollups: percentiles of histograms, series over time, what has changed. Pure."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, TypeVar

from bgjobs.mirror.schema import BUCKET_SECONDS, RUN_STEPS, STEP_SECONDS, WAIT_STEPS

Row = Mapping[str, Any]
Value = Callable[[Sequence[Row]], float | None]
"""A figure of the rows of a step; None where they tell none."""
T = TypeVar("T")
_HOUR = timedelta(hours=1)
_LONG = timedelta(days=7)
"""From here on a period has too many buckets to be added up while somebody waits."""
_LONGEST_SECONDS = 2 * STEP_SECONDS[-1]
"""What is taken for the end of the last step, which has none."""


def percentile(row: Row, steps: Sequence[str], share: float) -> float | None:
    """Seconds that a share of the attempts took at most, interpolated within a step."""
    counts = [int(row[step] or 0) for step in steps]
    wanted = share * sum(counts)
    if not wanted:
        return None
    lower, below = 0.0, 0
    for count, upper in zip(counts, (*STEP_SECONDS, _LONGEST_SECONDS), strict=True):
        if count and below + count >= wanted:
            return lower + (upper - lower) * (wanted - below) / count
        lower, below = float(upper), below + count
    return lower


def has_hours(begin: datetime, end: datetime) -> bool:
    """Whether the period is long, and made of whole hours."""
    return end - begin >= _LONG and not any((time - datetime.min) % _HOUR for time in (begin, end))


class Span(NamedTuple):
    """A period in equal steps that begin at whole multiples of themselves."""

    begin: datetime
    step: timedelta
    steps: int

    @property
    def end(self) -> datetime:
        return self.begin + self.step * self.steps

    @property
    def before(self) -> "Span":
        """As long, just before."""
        return Span(self.begin - self.step * self.steps, self.step, self.steps)

    def series(self, rows: Sequence[Row], value: Callable[[Sequence[Row]], T]) -> list[T]:
        """A value of the rows of each step, by their `bucket_at`."""
        parts: list[list[Row]] = [[] for _ in range(self.steps)]
        for row in rows:
            index = (row["bucket_at"] - self.begin) // self.step
            if 0 <= index < self.steps:
                parts[index].append(row)
        return [value(part) for part in parts]


def span(now: datetime, period: timedelta, steps: int = 96) -> Span:
    """The period until now in about so many steps of whole buckets, if it is long of hours."""
    bucket = _HOUR if period >= _LONG else timedelta(seconds=BUCKET_SECONDS)
    step = max(1, round(period / bucket / steps)) * bucket
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    end = midnight + ((now - midnight) // step + 1) * step
    count = -(-period // step)
    return Span(end - step * count, step, count)


def total(column: str) -> Callable[[Sequence[Row]], float]:
    return lambda rows: float(sum(row[column] or 0 for row in rows))


def highest(column: str) -> Value:
    return lambda rows: max((float(row[column]) for row in rows if row[column]), default=None)


def ratio(part: str, whole: str) -> Value:
    def of(rows: Sequence[Row]) -> float | None:
        count = total(whole)(rows)
        return total(part)(rows) / count if count else None

    return of


def percentile_of(steps: Sequence[str], share: float) -> Value:
    def of(rows: Sequence[Row]) -> float | None:
        summed = {step: sum(row[step] or 0 for row in rows) for step in steps}
        return percentile(summed, steps, share)

    return of


def percentiles(row: Row) -> dict[str, float | None]:
    return {
        f"{kind}_{share}": percentile(row, steps, share / 100)
        for kind, steps in (("wait", WAIT_STEPS), ("run", RUN_STEPS))
        for share in (50, 95)
    }
