"""How a course is doing, computed from its submissions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class SubmissionRow:
    """One submission. `score` (0 to 100) and `criteria` (name -> 0 to 1) are its grade's.

    Not graded yet: `score` is None. Both times know their time zone; without `due_at` nothing
    is late.
    """

    assignment: str
    student: str
    submitted_at: datetime
    due_at: datetime | None
    score: float | None
    criteria: Mapping[str, float]


@dataclass(frozen=True)
class CriterionAverage:
    """The mean (0 to 1) of one criterion over the graded submissions of one assignment."""

    assignment: str
    name: str
    mean: float
    graded: int


@dataclass(frozen=True)
class AssignmentAnalytics:
    """The counts and scores of one assignment; None where nothing is graded."""

    assignment: str
    submissions: int
    late: int
    graded: int
    mean: float | None
    median: float | None


@dataclass(frozen=True)
class CourseAnalytics:
    """Scores are from 0 to 100, to one decimal; None where nothing is graded.

    `distribution` counts the scores in ten equal steps: 0 to 9.9, ..., 90 to 100.
    `per_day` counts submissions by their day in UTC, 2026-09-30, in order; days without one
    are left out. `hardest` is the criterion with the lowest mean.
    """

    students: int
    submissions: int
    late: int
    graded: int
    mean: float | None
    median: float | None
    distribution: tuple[int, ...]
    per_assignment: tuple[AssignmentAnalytics, ...]
    per_criterion: tuple[CriterionAverage, ...]
    hardest: CriterionAverage | None
    per_day: tuple[tuple[str, int], ...]


def course_analytics(rows: Sequence[SubmissionRow]) -> CourseAnalytics:
    """The analytics of a course; of no rows as well."""
    raise NotImplementedError


def summary(analytics: CourseAnalytics) -> dict[str, object]:
    """The analytics as a job's result: plain JSON of at most 3 KiB.

    Of many assignments it has the latest, and says how many are left out.
    """
    raise NotImplementedError
