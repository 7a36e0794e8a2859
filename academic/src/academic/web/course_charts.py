"""A course's analytics as SVG: drawn here, so that it needs no script."""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Any, NamedTuple

from academic.web import words

_LEFT, _TOP, _FOOT = 36.0, 18.0, 22.0
_MOST_DAYS = 60
_WIDEST_BAR = 56.0
_STEPS = (1, 2, 5, 10)


class Mark(NamedTuple):
    tag: str
    attributes: Mapping[str, Any]
    text: str = ""
    title: str = ""


class Chart(NamedTuple):
    width: float
    height: float
    label: str
    """What it shows, for those who do not see it."""
    marks: Sequence[Mark]


def course_charts(report: Mapping[str, Any]) -> dict[str, Chart]:
    """By their titles; of a report as GenerateAnalyticsReport stores it."""
    steps = [f"{10 * each}" for each in range(10)]
    scores = list(zip(steps, report["distribution"], strict=True))
    return {
        "Scores": bars(scores, "Submissions by score, in steps of ten points"),
        "Submissions by day": bars(_days(report["per_day"]), "Submissions by day"),
    }


def meter(part: float) -> Chart:
    """How much of the whole, from 0 to 1."""
    width, height = 160.0, 8.0
    filled = round(width * min(1.0, max(0.0, part)), 1)
    marks = [
        _rect("f-soft", 0, 0, width, height),
        _rect("m f-running", 0, 0, filled, height),
        _rect("s-edge", 0.5, 0.5, width - 1, height - 1),
    ]
    return Chart(width, height, "", marks)


def bars(values: Sequence[tuple[str, int]], label: str) -> Chart:
    """A bar for each name and count; the counts stand above them."""
    width, height = 560.0, 190.0
    base, highest = height - _FOOT, top(max((count for _, count in values), default=0))
    column = (width - _LEFT) / (len(values) or 1)
    every = max(1, round(44 / column))
    marks = []
    for part in (0.0, 0.5, 1.0):
        y = round(base - (base - _TOP) * part, 1)
        marks.append(Mark("path", {"class": "gl", "d": f"M{_LEFT} {y}H{width}"}))
        marks.append(_text("ax", _LEFT - 6, y + 4, f"{highest * part:g}", "end"))
    for index, (name, count) in enumerate(values):
        x = _LEFT + index * column
        high = (base - _TOP) * count / highest
        title = f"{name}: {words.plural(count, 'submission')}"
        wide = min(column * 0.72, _WIDEST_BAR)
        marks.append(_rect("m f-running", x + (column - wide) / 2, base - high, wide, high))
        if count and column > 24:
            marks.append(_text("nowt", x + column / 2, base - high - 4, str(count), "middle"))
        if index % every == 0:
            marks.append(_text("ax", x + column / 2, base + 15, name, "middle"))
        marks.append(_rect("hit", x, _TOP, column, base - _TOP, title))
    spoken = "; ".join(f"{name}: {count}" for name, count in values if count)
    return Chart(width, height, f"{label}: {spoken or 'none'}", marks)


def top(highest: int) -> int:
    """The end of an axis that begins at 0: 1, 2 or 5 times a power of ten."""
    power = 1
    while power * 10 < highest:
        power *= 10
    return next(step * power for step in _STEPS if step * power >= max(1, highest))


def _days(per_day: Sequence[tuple[str, int]]) -> list[tuple[str, int]]:
    """The days from the first to the last, those without a submission too."""
    counts = {date.fromisoformat(day): count for day, count in per_day}
    if not counts:
        return []
    last = max(counts)
    first = max(min(counts), last - timedelta(days=_MOST_DAYS - 1))
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    return [(f"{day.day} {day:%b}", counts.get(day, 0)) for day in days]


def _text(style: str, x: float, y: float, text: str, anchor: str) -> Mark:
    place = {"x": round(x, 1), "y": round(y, 1), "text-anchor": anchor}
    return Mark("text", {"class": style, **place}, text)


def _rect(style: str, x: float, y: float, width: float, height: float, title: str = "") -> Mark:
    sides = {"x": x, "y": y, "width": width, "height": max(0.0, height)}
    rounded = {name: round(side, 1) for name, side in sides.items()}
    return Mark("rect", {"class": style, **rounded, "rx": 1.5}, title=title)
