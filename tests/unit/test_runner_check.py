"""What `check` finds in job classes."""
# mypy: disable-error-code="empty-body, no-untyped-def, type-arg"

import typing
from collections import Counter, OrderedDict, defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import date
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NewType, TypedDict, TypeVar

import pytest
from typing_extensions import TypeAliasType

from bgjobs_runner import Context, job
from bgjobs_runner.check import check, problems

if TYPE_CHECKING:
    from decimal import Decimal


class Line(TypedDict):
    item: int
    tags: list[str]


class Tree(TypedDict):
    branches: list["Tree"]


class Dated(TypedDict):
    day: date


UserId = NewType("UserId", int)
Day = NewType("Day", date)
Value = TypeVar("Value")
Whole = TypeVar("Whole", bound=int)
Dates = TypeVar("Dates", bound=date)
Either = TypeVar("Either", int, str)
State = StrEnum("State", ["OPEN"])
Level = IntEnum("Level", ["LOW"])
Colour = Enum("Colour", ["RED"])


class Point(NamedTuple):
    x: int


class Visit(NamedTuple):
    day: date


@job
class Sound:
    def named(self, user: UserId, users: list[UserId]) -> UserId: ...
    def generic(self, a: Value, b: Whole, c: Either) -> Value: ...
    def recursive(self, tree: Tree) -> Tree: ...
    def counts(self) -> Counter[str]: ...
    def ordered(self) -> OrderedDict[str, int]: ...
    def filled(self) -> defaultdict[str, list[int]]: ...
    def bare_counts(self) -> Counter: ...
    def enumerated(self) -> dict[str, State | Level]: ...
    def point(self) -> list[Point]: ...
    def plain(self, a: int, b: str = "x", *, c: float | None = None, d: bool = True) -> None: ...
    def nested(self, a: list[dict[str, int]], b: Mapping[str, Sequence[str]]) -> list[Line]: ...
    def loose(self, a, b: Any, c: object, d: dict, **others: int): ...
    def chosen(self, a: Literal["x", 1, None], b: Line) -> tuple[int, ...]: ...
    def bare(self, a: typing.Mapping) -> typing.Mapping: ...
    def with_context(self, a: int, context: Context) -> dict[str, object]: ...
    def unknown(self, amount: "Decimal") -> None: ...
    async def later(self, a: int) -> int: ...
    @staticmethod
    def static(a: int) -> None: ...
    @classmethod
    def of_class(cls, a: int) -> None: ...
    def _helper(self, day: date) -> date: ...


def test_a_sound_class_has_no_problems() -> None:
    assert list(problems(Sound)) == []


@job
class Unsound:
    def day_by_name(self, day: Day) -> None: ...
    def generic(self, day: Dates) -> None: ...
    def level(self, level: Level) -> None: ...
    def colour(self) -> Colour: ...
    def ordered_days(self) -> OrderedDict[str, date]: ...
    def visit(self) -> Visit: ...
    def dated(self, day: date) -> None: ...
    def deep(self, days: list[date]) -> None: ...
    def typed(self, line: Dated) -> None: ...
    def keyed(self, names: dict[int, str]) -> None: ...
    def defaulted(self, day=date(2026, 1, 1)) -> None: ...
    def positional(self, a: int, /) -> None: ...
    def variable(self, *numbers: int) -> None: ...
    def context_taken(self, context: str) -> None: ...
    def context_renamed(self, ctx: Context) -> None: ...
    def result(self) -> date: ...
    def generates(self) -> Iterator[int]:
        yield 1

    async def generates_later(self) -> AsyncIterator[int]:
        yield 1

    @staticmethod
    def static(day: date) -> None: ...


@pytest.mark.parametrize(
    "problem",
    [
        "day_by_name: JSON cannot carry day, ",
        "generic: JSON cannot carry day, ~Dates",
        "level: JSON cannot carry level, ",
        "colour: JSON cannot carry the result, ",
        "ordered_days: JSON cannot carry the result, collections.OrderedDict[str, datetime.date]",
        "visit: JSON cannot carry the result, ",
        "dated: JSON cannot carry day, datetime.date",
        "deep: JSON cannot carry days, list[datetime.date]",
        "typed: JSON cannot carry line, ",
        "keyed: JSON cannot carry names, dict[int, str]",
        "defaulted: JSON cannot carry the default of day, datetime.date(2026, 1, 1)",
        "positional: a: int cannot be given",
        "variable: *numbers: int cannot be given",
        "context_taken: a parameter named context is given",
        "context_renamed: ctx is never given: name it context",
        "result: JSON cannot carry the result, datetime.date",
        "generates: is a generator",
        "generates_later: is a generator",
        "static: JSON cannot carry day, datetime.date",
    ],
)
def test_what_json_cannot_carry_is_found(problem: str) -> None:
    assert [found for found in problems(Unsound) if found.startswith(problem)] != []


def test_each_unsound_method_has_one_problem() -> None:
    assert len(list(problems(Unsound))) == 19


def test_an_alias_is_what_it_stands_for() -> None:
    """Python 3.12 makes such by the statement `type`."""
    assert not hint_problems(TypeAliasType("Names", list[str]))
    assert hint_problems(TypeAliasType("Days", list[date]))


def hint_problems(hint: object) -> list[str]:
    def handle(self, value) -> None: ...

    handle.__annotations__["value"] = hint
    return list(problems(job(type("Aliased", (), {"handle": handle}))))


class NotOptedIn:
    def handle(self) -> None: ...


@job
class Constructed:
    def __init__(self, warehouse: int) -> None: ...
    def handle(self) -> None: ...


@job
class Empty:
    pass


class Outer:
    @job
    class Inner:
        def handle(self) -> None: ...


@pytest.mark.parametrize(
    ("cls", "problem"),
    [
        (NotOptedIn, "does not opt in"),
        (Constructed, "constructor is called without arguments: missing"),
        (Empty, "defines no public method"),
        (Outer.Inner, "not at the top level"),
    ],
)
def test_classes_that_cannot_run_are_found(cls: type, problem: str) -> None:
    (found,) = problems(cls)
    assert problem in found


def test_a_module_without_jobs_fails(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("json") == 1
    assert "holds no job" in capsys.readouterr().out


def test_an_absent_module_says_where_to_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert check("runner_absent.jobs") == 1
    assert "Run this where its top-level folder lies" in capsys.readouterr().out


def test_jobs_imported_from_elsewhere_are_left_to_their_own_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runner_own.py").write_text(OWN)
    (tmp_path / "runner_user.py").write_text("from runner_own import Own\n" + OWN)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert check("runner_user") == 0
    assert capsys.readouterr().out == "runner_user.Own: handle\n"


OWN = """
from bgjobs_runner import job
@job
class Own:
    def handle(self): ...
"""
