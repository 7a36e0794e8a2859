"""What a program's output is worth, and what its author is told."""

import json
from typing import Any

import pytest

from academic.grading import (
    Case,
    CaseRun,
    cases_from_json,
    cases_to_json,
    grade_program,
    runs_from_result,
)
from academic.sandbox.outputs import digest

CASE = Case(input="3\n", expected_output="1\n4\n9\n")


def run(
    output: str = "", *, outcome: Any = "finished", exit_code: int = 0, error: str = ""
) -> CaseRun:
    return CaseRun(outcome, exit_code, output, digest(output), error)


def cut(output: str, shown: int) -> CaseRun:
    return CaseRun("finished", 0, output[:shown], digest(output), "")


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("1\n4\n9\n", id="as expected"),
        pytest.param("1\n4\n9", id="no newline at the end"),
        pytest.param("1  \n4\t\n9\n\n\n", id="white space at the ends"),
        pytest.param("1\r\n4\r\n9\r\n", id="newlines of Windows"),
    ],
)
def test_the_expected_output_passes(output: str) -> None:
    grade = grade_program([run(output)], [CASE])
    assert grade.score == 100
    assert grade.per_criterion[0].explanation == "The output is right."


@pytest.mark.parametrize(
    ("report", "sentence"),
    [
        pytest.param(run("1\n5\n9"), "Line 2 is '5', it should be '4'.", id="wrong line"),
        pytest.param(run("1\n 4\n9"), "Line 2 is ' 4', it should be '4'.", id="indented"),
        pytest.param(run(""), "Line 1 is empty, it should be '1'.", id="nothing"),
        pytest.param(run("1\n"), "The output ends after line 1, line 2 should be '4'.", id="short"),
        pytest.param(run("1\n4\n9\n16"), "The output should end after line 3.", id="long"),
        pytest.param(cut("1\n4\n10\n11", 5), "Line 3 or a later one is wrong.", id="cut"),
        pytest.param(cut("1\n44\n9\n", 3), "Line 2 or a later one is wrong.", id="cut in a line"),
        pytest.param(run(outcome="timed out"), "The program took too long", id="too long"),
        pytest.param(run(outcome="printed too much"), "printed without end", id="too much"),
        pytest.param(run(outcome="killed", exit_code=-11), "The program crashed.", id="crash"),
        pytest.param(
            run("1\n4\n9", exit_code=1, error="Traceback\n  x\nKeyError: 'a'\n"),
            "exit code 1, not 0. The error was \"KeyError: 'a'\".",
            id="error after the right output",
        ),
        pytest.param(run("x" * 500), f"Line 1 is '{'x' * 80}…'", id="long line"),
    ],
)
def test_anything_else_fails_and_says_what_to_look_at(report: CaseRun, sentence: str) -> None:
    grade = grade_program([report], [CASE])
    assert grade.score == 0
    assert sentence in grade.per_criterion[0].explanation
    assert "The input was '3\\n'." in grade.per_criterion[0].explanation


@pytest.mark.parametrize(
    "report",
    [
        run("7531"),
        run(outcome="timed out"),
        run(exit_code=1, error="KeyError: 8642"),
        run(exit_code=86),
        cut("7531\n" * 9, 7),
    ],
)
def test_the_explanation_of_a_hidden_case_gives_nothing_away(report: CaseRun) -> None:
    case = Case(input="8642", expected_output="9999", hidden=True)
    explanation = grade_program([report], [case]).per_criterion[0].explanation
    assert "hidden" in explanation
    assert not any(secret in explanation for secret in ("86", "9999", "7531"))


def test_every_case_counts_the_same() -> None:
    grade = grade_program([run("1\n4\n9"), run("?"), run("?")], [CASE] * 3)
    assert grade.score == 33.3
    assert [result.name for result in grade.per_criterion] == ["Case 1", "Case 2", "Case 3"]


def test_runs_of_other_cases_are_refused() -> None:
    with pytest.raises(ValueError, match="argument 2 is longer"):
        grade_program([run("1")], [CASE, CASE])


def test_cases_stay_what_they_are_as_json() -> None:
    cases = (CASE, Case(input="", expected_output="é\0", hidden=True))
    assert cases_from_json(cases_to_json(cases)) == cases


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("[]", "There are 0 cases, 1 to 20 are possible.", id="none"),
        pytest.param(
            json.dumps([{"input": "", "expected_output": ""}] * 21), "21 cases", id="many"
        ),
        pytest.param(
            '[{"input": 1}]', r"Expected `str`, got `int` - at `\$\[0\].input`", id="number"
        ),
        pytest.param('[{"input": "", "output": ""}]', "unknown field `output`", id="other name"),
        pytest.param("[", "Input data was truncated", id="no JSON"),
        pytest.param("\ud800", "cannot be used", id="no UTF-8"),
    ],
)
def test_cases_that_cannot_be_used_are_refused_with_the_reason(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        cases_from_json(text)


def test_a_result_of_the_sandbox_is_read_and_anything_else_refused() -> None:
    report = {"outcome": "finished", "exit_code": 0, "output": "", "digest": "", "error": ""}
    assert runs_from_result({"runs": [report]}) == (CaseRun("finished", 0, "", "", ""),)
    for result in (None, {"truncated": True, "bytes": 9}, {"runs": [{**report, "outcome": "won"}]}):
        with pytest.raises(ValueError, match="This is no result of"):
            runs_from_result(result)
