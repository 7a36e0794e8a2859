"""Charts as SVG: drawn here, so that they need no script, and coloured by the style sheet."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bgjobs.dashboard import words
from bgjobs.dashboard.view import Stretch

_LEFT, _RIGHT, _TOP = 44.0, 8.0, 8.0
_STEPS = (2, 4, 6, 8, 10)
_YEAR_SECONDS = 31_556_952
"""Of the Gregorian calendar, on average."""
_TICKS_SECONDS = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200),
    *(86400 * days for days in (1, 2, 7, 14, 30, 90)),
    *(_YEAR_SECONDS * years for years in (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500)),
)


_TOPS_SECONDS = (
    *(20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0),
    *(3600.0, 7200.0, 14400.0, 28800.0, 43200.0, 86400.0),
)


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
    style: str = "chart"


class Series(NamedTuple):
    """Values by bucket, None where there is none; `kind` is line, area or bar."""

    name: str
    style: str
    kind: str
    values: Sequence[float | None]

    @property
    def highest(self) -> float:
        return max((value for value in self.values if value is not None), default=0)


def top(highest: float, unit: str = "count") -> float:
    """The end of an axis that begins at 0, so that its half is a round figure, too."""
    if highest <= 0:
        return 2.0
    if unit == "seconds" and highest > 10:
        days = math.ceil(highest / 86400)
        return next((each for each in _TOPS_SECONDS if each >= highest), 86400.0 * days)
    power = 10.0 ** (math.ceil(math.log10(highest)) - 1)
    if unit == "count":
        power = max(1.0, power)
    return next((step * power for step in _STEPS if step * power >= highest), 20 * power)


def over_time(
    begin: datetime,
    step: timedelta,
    series: Sequence[Series],
    label: str,
    unit: str = "count",
    width: float = 780,
    height: float = 170,
    limit: float | None = None,
    style: str = "chart",
    *,
    has_times: bool = True,
) -> Chart:
    """Series over the same buckets, of which the last is not over: it is shaded.

    Every value can be read by pointing at its bucket.
    """
    count = max((len(each.values) for each in series), default=0) or 1
    largest = max([1.1 * (limit or 0), *(each.highest for each in series)])
    scale = (2**30 if largest > 2**30 else 2**20) if unit == "bytes" else 1
    highest = 1.0 if unit == "share" else scale * top(largest / scale, unit)
    inner, base = width - _LEFT - _RIGHT, height - (22 if has_times else 8)
    column = inner / count
    columns = [
        {"x": round(_LEFT + index * column, 1), "y": _TOP, "width": round(column, 1)}
        | {"height": base - _TOP}
        for index in range(count)
    ]

    def y(value: float) -> float:
        return round(base - (base - _TOP) * min(value, highest) / highest, 1)

    marks = [Mark("rect", {"class": "unfinished", **columns[-1]})]
    for part in (0, 0.5, 1):
        value = highest * part
        marks.append(_path("gl", f"M{_LEFT} {y(value)}H{width - _RIGHT}"))
        text = _value(value, unit)
        marks.append(_text("ax", _LEFT - 6, y(value) + 4, text, "end"))
    if has_times:
        marks += _time_axis(begin, begin + step * count, _LEFT, width - _RIGHT, base, None)
    for each in series:
        if each.kind == "bar":
            marks += [
                _rect(
                    f"m {each.style}",
                    _LEFT + index * column + column * 0.12,
                    y(value),
                    column * 0.76,
                    base - y(value),
                )
                for index, value in enumerate(each.values)
                if value
            ]
            continue
        for stretch in _unbroken(each.values):
            points = [(_LEFT + (index + 0.5) * column, y(value)) for index, value in stretch]
            line = "L".join(f"{across:.1f} {down}" for across, down in points)
            first, last = points[0][0], points[-1][0]
            if each.kind == "area":
                closed = f"M{line}L{last:.1f} {base}L{first:.1f} {base}Z"
                marks.append(_path(f"area f-{each.style}", closed))
            marks.append(_path(f"m s-{each.style}", f"M{line}h0"))
    if limit:
        marks.append(_path("s-ink", f"M{_LEFT} {y(limit)}H{width - _RIGHT}"))
        marks.append(_text("nowt", _LEFT + 4, y(limit) - 4, "limit"))
    for index, box in enumerate(columns):
        values = [
            f"{each.name}: {_value(known, unit)}"
            for each in series
            if index < len(each.values) and (known := each.values[index]) is not None
        ]
        at = begin + step * index
        so_far = ", so far" if index == count - 1 else ""
        title = f"{at:%d %b %H:%M}{so_far}\n" + "\n".join(values)
        marks.append(Mark("rect", {"class": "hit", **box}, title=title))
    return Chart(width, height, label, marks, style)


def _unbroken(values: Sequence[float | None]) -> Iterator[list[tuple[int, float]]]:
    """The stretches of buckets that have a value."""
    numbered = enumerate(values)
    for has_values, stretch in itertools.groupby(numbered, lambda pair: pair[1] is not None):
        if has_values:
            yield [(index, value) for index, value in stretch if value is not None]


def spark(values: Sequence[float], style: str, label: str, *, bars: bool = False) -> Chart:
    """A small one beside a row: its shape only."""
    width, height = 110.0, 22.0
    highest, column = max(values, default=0) or 1, width / (len(values) or 1)
    marks = [_path("gl", f"M0 {height - 0.5}H{width}")]
    if bars:
        marks += [
            _rect(
                f"m f-{style}",
                index * column,
                height - (height - 2) * value / highest,
                max(1.5, column - 0.5),
                (height - 2) * value / highest,
            )
            for index, value in enumerate(values)
            if value
        ]
    else:
        points = (
            f"{'L' if index else 'M'}{(index + 0.5) * column:.1f} "
            f"{height - 1 - (height - 3) * value / highest:.1f}"
            for index, value in enumerate(values)
        )
        marks.append(_path(f"m s-{style}", " ".join(points)))
    return Chart(width, height, label, marks, "spark")


def meter(part: float, style: str = "running") -> Chart:
    """How much of a limit is used, from 0 to 1."""
    width, height = 120.0, 8.0
    filled = round(width * min(1.0, max(0.0, part)), 1)
    marks = [
        _rect("f-soft", 0, 0, width, height),
        _rect(f"m f-{style}", 0, 0, filled, height),
        _rect("s-edge", 0.5, 0.5, width - 1, height - 1),
    ]
    return Chart(width, height, "", marks, "meter")


def timeline(rows: Sequence[Sequence[Stretch]], first: int, now: datetime) -> Chart | None:
    """The attempts of a run to scale, `first` being the number of the first of them."""
    ends = [part.end for row in rows for part in row]
    if not ends:
        return None
    begin = min(part.begin for row in rows for part in row)
    seconds = max(1.0, (max(ends) - begin).total_seconds())
    left, width, line, upper = 84.0, 784.0, 32.0, 12.0
    inner = width - left - 12
    height = upper + line * len(rows) + 26

    def x(time: datetime) -> float:
        return round(left + inner * (time - begin).total_seconds() / seconds, 1)

    base = upper + line * len(rows) + 4
    marks = list(_time_axis(begin, max(ends), left, left + inner, base, upper))
    for number, row in enumerate(rows):
        middle = upper + line * number + 18
        marks.append(_text("rowt", 0, middle + 4, f"Attempt {first + number}"))
        for part in row:
            ran = part.words == "ran"
            high = 22 if ran else 14
            wide = max(1.5, x(part.end) - x(part.begin))
            lasted = words.duration((part.end - part.begin).total_seconds())
            style = f"m f-{part.style}" if ran else f"m t-{part.style}"
            marks.append(
                _rect(style, x(part.begin), middle - high / 2, wide, high, f"{part.words} {lasted}")
            )
            if wide > 46:
                text = "in" if ran else f"x-{part.style}"
                middle_x = x(part.begin) + wide / 2
                marks.append(_text(text, middle_x, middle + 4, lasted, "middle"))
    if begin <= now <= max(ends) + timedelta(seconds=1):
        at = min(x(now), left + inner)
        marks.append(_path("now", f"M{at} {upper}V{base}"))
        marks.append(_text("nowt", at, upper - 3, "now", "end" if at > width - 30 else "middle"))
    spoken = "; ".join(
        f"attempt {first + number}: "
        + ", ".join(
            f"{part.words} {words.duration((part.end - part.begin).total_seconds())}"
            for part in row
        )
        for number, row in enumerate(rows)
    )
    return Chart(width, height, spoken, marks, "chart wide")


def _time_axis(
    begin: datetime, end: datetime, left: float, right: float, base: float, grid_from: float | None
) -> list[Mark]:
    seconds = max(1.0, (end - begin).total_seconds())
    step = next((each for each in _TICKS_SECONDS if seconds / each <= 7), _TICKS_SECONDS[-1])
    midnight = begin.replace(hour=0, minute=0, second=0, microsecond=0)
    number = int((begin - midnight).total_seconds() // step)
    marks: list[Mark] = []
    day = begin.date()
    while True:
        number += 1
        since_midnight = timedelta(seconds=step * number)
        if since_midnight > end - midnight:
            return marks
        at = midnight + since_midnight
        place = left + (right - left) * (at - begin).total_seconds() / seconds
        if step >= _YEAR_SECONDS:
            text = f"{at:%b} {at.year}"
        elif step >= 86400 or at.date() != day:
            text, day = f"{at.day} {at:%b}", at.date()
        else:
            text = f"{at:%H:%M:%S}" if step < 60 else f"{at:%H:%M}"
        if grid_from is not None:
            marks.append(_path("gl", f"M{place:.1f} {grid_from}V{base}"))
        anchor = "end" if place > right - 20 else "middle"
        marks.append(_text("ax", place, base + 15, text, anchor))


def _value(value: float, unit: str) -> str:
    match unit:
        case "seconds":
            return words.duration(value) if value else "0"
        case "bytes":
            return words.size(value) if value else "0"
        case "share":
            return words.share(value, 1)
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _path(style: str, points: str) -> Mark:
    return Mark("path", {"class": style, "d": points})


def _text(style: str, x: float, y: float, text: str, anchor: str = "start") -> Mark:
    place = {"x": round(x, 1), "y": round(y, 1), "text-anchor": anchor}
    return Mark("text", {"class": style, **place}, text)


def _rect(style: str, x: float, y: float, width: float, height: float, title: str = "") -> Mark:
    sides = {"x": x, "y": y, "width": width, "height": max(0.0, height)}
    rounded = {name: round(side, 1) for name, side in sides.items()}
    return Mark("rect", {"class": style, **rounded, "rx": 1.5}, title=title)
