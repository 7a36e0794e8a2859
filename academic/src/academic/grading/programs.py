"""Grades a program by what it printed for the inputs of its cases."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from academic.grading.grade import Grade

Text = Annotated[str, msgspec.Meta(max_length=10_000)]


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program reads and what it then has to print.

    Of a hidden case the explanation gives nothing away, so that a program which prints the
    right answers without computing them does not pass on the second try.
    """

    input: Text
    expected_output: Text
    hidden: bool = False


class CaseRun(msgspec.Struct, frozen=True):
    """What academic.sandbox.RunProgram reports of one case.

    `outcome` is "finished", "timed out", "printed too much" or "killed"; `exit_code` counts only
    with the first. `output` is the beginning of what was printed, `digest` stands for all of it
    (academic.sandbox.digest). `error` is the end of what was printed to stderr.
    """

    outcome: str
    exit_code: int
    output: str
    digest: str
    error: str


def cases_from_json(text: str) -> tuple[Case, ...]:
    """Reads [{"input": ..., "expected_output": ..., "hidden": false}, ...], 1 to 20 cases.

    Raises ValueError with a sentence that says what is wrong, and where.
    """
    raise NotImplementedError


def cases_to_json(cases: Sequence[Case]) -> str:
    """What `cases_from_json` reads."""
    return msgspec.json.encode(cases).decode()


def grade_program(runs: Sequence[CaseRun], cases: Sequence[Case]) -> Grade:
    """The grade of a program: every case counts the same.

    `runs` are those of `cases`, in the same order (`runs_from_result`). Spaces at the end of a
    line and empty lines at the end of the output make no difference.
    """
    raise NotImplementedError


def runs_from_result(result: object) -> tuple[CaseRun, ...]:
    """The runs in a result of academic.sandbox.RunProgram; raises ValueError if it is none."""
    raise NotImplementedError
