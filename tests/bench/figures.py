"""Measured values, what they are to reach, and how they are shown."""

import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

import orjson
from tests.server import ROOT

_RESULTS = ROOT / ".local/bench"
_LEAST_SHOWN = 0.005


class Verdict(enum.StrEnum):
    MET = "met"
    MISSED = "missed"
    FAILED = "FAILED"
    NONE = ""


@dataclass(frozen=True)
class Figure:
    """A value, the lowest and the highest of its rounds, and what it should be at most.

    Beyond the limit the benchmark fails.
    """

    name: str
    value: float
    spread: tuple[float, float] | None = None
    aim: float | None = None
    limit: float | None = None
    at_least: bool = False
    """Aim and limit are what it should be at least."""

    @property
    def verdict(self) -> Verdict:
        if self.limit is not None and not self._reaches(self.limit):
            return Verdict.FAILED
        if self.aim is None:
            return Verdict.NONE
        return Verdict.MET if self._reaches(self.aim) else Verdict.MISSED

    def _reaches(self, bound: float) -> bool:
        return self.value >= bound if self.at_least else self.value <= bound


def percentile(values: Sequence[float], percent: float) -> float:
    """The lowest value that so many percent of the values do not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def median(values: Sequence[float]) -> float:
    return percentile(values, 50)


def spread(values: Sequence[float]) -> tuple[float, float]:
    return min(values), max(values)


def figures_table(figures: Sequence[Figure]) -> str:
    heads = ("figure", "value", "spread", "aim", "limit", "verdict")
    return table(heads, [_cells(figure) for figure in figures])


def _cells(figure: Figure) -> tuple[str, ...]:
    sign = ">=" if figure.at_least else "<="
    aim, limit = (
        "" if bound is None else f"{sign} {_short(bound)}" for bound in (figure.aim, figure.limit)
    )
    between = " - ".join(map(_short, figure.spread)) if figure.spread else ""
    return (figure.name, _short(figure.value), between, aim, limit, str(figure.verdict))


def comparison(heads: Sequence[str], columns: Sequence[Mapping[str, float]]) -> str:
    """A row for each key that is more than nothing somewhere, the largest first, then the total."""
    keys = {key for column in columns for key, value in column.items() if value >= _LEAST_SHOWN}
    ordered = sorted(keys, key=lambda key: -max(column.get(key, 0.0) for column in columns))
    rows = [(key, *(f"{column.get(key, 0.0):.2f}" for column in columns)) for key in ordered]
    totals = ("in all", *(f"{sum(column.values()):.2f}" for column in columns))
    return table(heads, [*rows, totals])


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they need to be, the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (heads, ["-" * width for width in widths], *rows)
    )


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def write(
    what: str, began: datetime, figures: Sequence[Figure], measured: Mapping[str, object]
) -> None:
    """Everything as JSON below .local/bench, and print where."""
    _RESULTS.mkdir(parents=True, exist_ok=True)
    file = _RESULTS / f"{what}-{began:%Y%m%dT%H%M%SZ}.json"
    shown = [{**asdict(figure), "verdict": figure.verdict} for figure in figures]
    content = {"figures": shown, **measured}
    file.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2))
    print(f"\nWritten to {file.relative_to(ROOT)}")


def exit_code(figures: Sequence[Figure]) -> int:
    """1 where one is beyond its limit."""
    return int(any(figure.verdict is Verdict.FAILED for figure in figures))
