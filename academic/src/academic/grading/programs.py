"""Grades a program by what it printed for the inputs of its cases."""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from academic.grading.grade import CriterionResult, Grade, grade_of
from academic.sandbox import MAX_CASES
from academic.sandbox.outputs import CaseRun, comparable, digest

Text = Annotated[str, msgspec.Meta(max_length=10_000)]

_SHOWN_CHARACTERS = 80


class Case(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a program reads and what it then has to print.

    Of a hidden case the explanation gives nothing away, so that a program which prints the
    right answers without computing them does not pass on the second try.
    """

    input: Text
    expected_output: Text
    hidden: bool = False


class _Result(msgspec.Struct):
    runs: tuple[CaseRun, ...]


def cases_from_json(text: str) -> tuple[Case, ...]:
    """Reads [{"input": ..., "expected_output": ..., "hidden": false}, ...], 1 to 20 cases.

    Raises ValueError with a sentence that says what is wrong, and where.
    """
    try:
        cases = msgspec.json.decode(text, type=tuple[Case, ...])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise ValueError(f"The cases cannot be used: {error}.") from error
    if not 1 <= len(cases) <= MAX_CASES:
        raise ValueError(f"There are {len(cases)} cases, 1 to {MAX_CASES} are possible.")
    return cases


def cases_to_json(cases: Sequence[Case]) -> str:
    """What `cases_from_json` reads."""
    return msgspec.json.encode(cases).decode()


def runs_from_result(result: object) -> tuple[CaseRun, ...]:
    """The runs in a result of academic.sandbox.RunProgram; raises ValueError if it is none."""
    try:
        return msgspec.convert(result, _Result).runs
    except msgspec.ValidationError as error:
        raise ValueError(f"This is no result of academic.sandbox.RunProgram: {error}.") from error


def grade_program(runs: Sequence[CaseRun], cases: Sequence[Case]) -> Grade:
    """The grade of a program: every case counts the same.

    `runs` are those of `cases`, in the same order. Spaces at the end of a line and empty lines at
    the end of the output make no difference. Raises ValueError if there are more or fewer runs.
    """
    return grade_of(
        CriterionResult(
            name=f"Case {number}",
            weight=1.0,
            score=1.0 if _passed(run, case) else 0.0,
            explanation=_explanation(run, case),
        )
        for number, (run, case) in enumerate(zip(runs, cases, strict=True), 1)
    )


def _passed(run: CaseRun, case: Case) -> bool:
    finished = run.outcome == "finished" and run.exit_code == 0
    return finished and run.digest == digest(case.expected_output)


def _explanation(run: CaseRun, case: Case) -> str:
    if _passed(run, case):
        return "The output is right."
    if case.hidden:
        # Not its exit code, in which a program could tell what the input is.
        has_failed = run.outcome == "finished" and run.exit_code != 0
        why = "The program ended with an error." if has_failed else _failure(run)
        why = why or "The output is wrong."
        return f"{why} This case is hidden: try inputs of your own."
    why = _failure(run) or _difference(run, case)
    if run.outcome == "finished" and run.exit_code != 0 and run.error.strip():
        why += f" The error was {_quoted(run.error.strip().splitlines()[-1])}."
    return f"{why} The input was {_quoted(case.input)}."


def _failure(run: CaseRun) -> str | None:
    """What went wrong before the output matters; tells nothing of input and output."""
    if run.outcome == "timed out":
        return "The program took too long: look for a loop that does not end."
    if run.outcome == "printed too much":
        return "The program printed without end: look for a loop that does not end."
    if run.outcome == "killed":
        return "The program crashed."
    if run.exit_code != 0:
        return f"The program ended with exit code {run.exit_code}, not 0."
    return None


def _difference(run: CaseRun, case: Case) -> str:
    """The first line in which the output is not what was expected."""
    printed, expected = comparable(run.output), comparable(case.expected_output)
    if digest(run.output) != run.digest:
        # It was cut, perhaps within its last line.
        printed = printed[:-1]
    for number, (line, wanted) in enumerate(zip(printed, expected, strict=False), 1):
        if line != wanted:
            return f"Line {number} is {_quoted(line)}, it should be {_quoted(wanted)}."
    if digest(run.output) != run.digest:
        return f"Line {len(printed) + 1} or a later one is wrong."
    if len(printed) < len(expected):
        return (
            f"The output ends after line {len(printed)},"
            f" line {len(printed) + 1} should be {_quoted(expected[len(printed)])}."
        )
    return f"The output should end after line {len(expected)}."


def _quoted(text: str) -> str:
    """The text as it is read in a sentence, cut where it is long."""
    text = text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"
    return repr(text) if text else "empty"
