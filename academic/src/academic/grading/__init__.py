"""Grades by an instructor's rules, with reasons that a student can act on."""

from academic.grading.grade import CriterionResult, Grade
from academic.grading.programs import (
    Case,
    cases_from_json,
    cases_to_json,
    grade_program,
    runs_from_result,
)
from academic.grading.rubric import (
    Concept,
    Criterion,
    Length,
    Readability,
    Rubric,
    Structure,
    Terms,
    rubric_from_json,
    rubric_to_json,
)
from academic.grading.texts import grade_text
from academic.sandbox.outputs import CaseRun

__all__ = [
    "Case",
    "CaseRun",
    "Concept",
    "Criterion",
    "CriterionResult",
    "Grade",
    "Length",
    "Readability",
    "Rubric",
    "Structure",
    "Terms",
    "cases_from_json",
    "cases_to_json",
    "grade_program",
    "grade_text",
    "rubric_from_json",
    "rubric_to_json",
    "runs_from_result",
]
