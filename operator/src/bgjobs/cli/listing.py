"""A table of jobs: all of it for a file or a program, what fits for a terminal."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from bgjobs.cli.rendering import PHASE_STYLES, printable, span
from bgjobs.domain.resource import Priority
from bgjobs.kube.reading import time

_GAP = 2
_PLAIN_GAP = 3
_COMFORTABLE = 18
"""Columns that can be cut keep so many characters as long as another can be left out."""
_LONGEST = 32
_SHORTEST_MESSAGE = 24
_LEFT_OUT_FIRST = ("METHOD", "ATTEMPTS", "PRIORITY", "AGE")

Row = Mapping[str, str]


def show_jobs(on: Console, jobs: Sequence[Any], now: datetime, *, with_namespace: bool) -> None:
    rows = [_row(job, now, with_namespace=with_namespace) for job in jobs]
    if not on.is_terminal:
        for line in plain_lines(rows):
            print(line, file=on.file)
        return
    widths = fitting_widths(rows, on.width)
    on.print(Text(_line(widths, {name: name for name in widths}), "bold"), soft_wrap=True)
    before_phase = list(widths)[: list(widths).index("PHASE")]
    begin = sum(widths[name] + _GAP for name in before_phase)
    for row in rows:
        text = Text(_line(widths, row))
        text.stylize(PHASE_STYLES.get(row["PHASE"], ""), begin, begin + len(row["PHASE"]))
        on.print(text, soft_wrap=True)


def _row(job: Any, now: datetime, *, with_namespace: bool) -> Row:
    metadata, spec, status = job["metadata"], job["spec"], job["status"]
    return {
        **({"NAMESPACE": metadata["namespace"]} if with_namespace else {}),
        "NAME": metadata["name"],
        "CLASS": spec["class"],
        "METHOD": spec["method"],
        "PRIORITY": _priority(spec["priority"]),
        "PHASE": status["phase"],
        "REASON": status["reason"],
        "ATTEMPTS": str(status.get("attemptsTotal", 0)),
        "AGE": span(now - time(metadata["creationTimestamp"])),
        "MESSAGE": printable(status.get("message", "")),
    }


def _priority(value: int | str) -> str:
    # An older schema let others in.
    return Priority(value).word if value in list(Priority) else str(value)


def plain_lines(rows: Sequence[Row]) -> Iterator[str]:
    """Every column, as wide as it needs to be."""
    widths = _natural_widths(rows)
    for row in ({name: name for name in widths}, *rows):
        cells = (row[name].ljust(width + _PLAIN_GAP) for name, width in widths.items())
        yield "".join(cells).rstrip()


def fitting_widths(rows: Sequence[Row], width: int) -> dict[str, int]:
    """The columns that a terminal of that width has room for, and how wide they are there."""
    widths = _natural_widths(rows)
    widths.pop("MESSAGE")
    if all(row["METHOD"] == "handle" for row in rows):
        widths.pop("METHOD")
    widths |= {name: min(widths[name], _LONGEST) for name in _cut_in(widths)}
    for name in _LEFT_OUT_FIRST:
        comfortable = {n: min(w, _COMFORTABLE) if n in _CUTS else w for n, w in widths.items()}
        if _total(comfortable) > width:
            widths.pop(name, None)
    # A class is known by its last part, a job by all of its name.
    while _total(widths) > width and widths["CLASS"] > _shortest_class(rows):
        widths["CLASS"] -= 1
    while _total(widths) > width and max(widths[name] for name in _cut_in(widths)) > 1:
        widths[max(_cut_in(widths), key=lambda name: widths[name])] -= 1
    room = width - _total(widths) - _GAP
    return widths | {"MESSAGE": room} if room >= _SHORTEST_MESSAGE else widths


def _shortest_class(rows: Sequence[Row]) -> int:
    """How wide the classes are without their packages, up to what is comfortable."""
    longest = max(len(row["CLASS"].rpartition(".")[2]) for row in rows)
    return min(longest + 1, _COMFORTABLE)


def _natural_widths(rows: Sequence[Row]) -> dict[str, int]:
    return {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}


def _total(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + _GAP * (len(widths) - 1)


def _cut_in(widths: Mapping[str, int]) -> list[str]:
    return [name for name in _CUTS if name in widths]


def _line(widths: Mapping[str, int], row: Row) -> str:
    cells = (
        _CUTS.get(name, _cut_end)(row[name], width).ljust(width) for name, width in widths.items()
    )
    return (" " * _GAP).join(cells).rstrip()


def _cut_end(text: str, width: int) -> str:
    """By the columns that characters take, since a message may be of any script."""
    return text if cell_len(text) <= width else f"{set_cell_size(text, width - 1)}…"


def _cut_middle(text: str, width: int) -> str:
    """Names often differ in their ends only."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def _cut_class(text: str, width: int) -> str:
    """Without as many packages as there is no room for."""
    if len(text) <= width:
        return text
    parts = text.split(".")
    shorter = (f"…{'.'.join(parts[count:])}" for count in range(1, len(parts)))
    return next((each for each in shorter if len(each) <= width), _cut_middle(parts[-1], width))


_CUTS: Mapping[str, Callable[[str, int], str]] = {
    "NAMESPACE": _cut_middle,
    "NAME": _cut_middle,
    "CLASS": _cut_class,
}
