"""A grade and its reasons."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class CriterionResult:
    """How far one criterion is met: `score` from 0 to 1, `weight` as the rubric has it.

    `explanation` is one or more plain sentences for the student.
    """

    name: str
    weight: float
    score: float
    explanation: str


@dataclass(frozen=True)
class Grade:
    """`score` from 0 to 100, to one decimal: the weighted mean of the criteria."""

    score: float
    per_criterion: tuple[CriterionResult, ...]


def grade_of(results: Iterable[CriterionResult]) -> Grade:
    """The grade that these results make."""
    results = tuple(results)
    total = sum(result.weight for result in results)
    earned = sum(result.weight * result.score for result in results)
    return Grade(round(100 * earned / total, 1), results)
