"""How a course is doing, computed from its submissions."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from statistics import mean, median

GRADED_WITHIN = timedelta(minutes=5)
"""How long a report waits for the grade of the submission that it is made for."""
_STEPS = 10
# The runner leaves out a larger result.
_MAX_SUMMARY_BYTES = 3 * 1024
_NAME_CHARACTERS = 100


@dataclass(frozen=True)
class SubmissionRow:
    """One submission. `score` (0 to 100) and `criteria` (name -> 0 to 1) are its grade's.

    Not graded yet: `score` is None. Both times know their time zone; without `due_at` nothing
    is late. Two assignments may have the same title, `assignment`.
    """

    assignment_id: int
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

    `distribution` counts the scores in ten equal steps: 0 to below 10, ..., 90 to 100. `hardest` is
    the criterion with the lowest mean. `per_day` counts submissions by their day in UTC
    (2026-09-30), in order; days without one are left out. Assignments and criteria are in the order
    of their first submission.
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
    rows = sorted(rows, key=lambda row: row.submitted_at)
    scores = _scores(rows)
    steps = Counter(min(int(score * _STEPS / 100), _STEPS - 1) for score in scores)
    averages = _averages(rows)
    days = Counter(row.submitted_at.astimezone(UTC).date().isoformat() for row in rows)
    return CourseAnalytics(
        students=len({row.student for row in rows}),
        submissions=len(rows),
        late=sum(map(_is_late, rows)),
        graded=len(scores),
        mean=_mean(scores),
        median=_median(scores),
        distribution=tuple(steps[step] for step in range(_STEPS)),
        per_assignment=tuple(map(_assignment, _grouped(rows))),
        per_criterion=averages,
        hardest=min(averages, key=lambda average: average.mean, default=None),
        per_day=tuple(sorted(days.items())),
    )


def summary(analytics: CourseAnalytics) -> dict[str, object]:
    """The analytics as a job's result: plain JSON of at most 3 KiB, without criteria and days.

    Names are cut to 100 characters. Of many assignments it has the latest, and says how many it
    leaves out.
    """
    hardest = analytics.hardest
    whole: dict[str, object] = {
        "students": analytics.students,
        "submissions": analytics.submissions,
        "late": analytics.late,
        "graded": analytics.graded,
        "mean": analytics.mean,
        "median": analytics.median,
        "distribution": list(analytics.distribution),
        "hardest": hardest and {"assignment": _cut(hardest.assignment), "name": _cut(hardest.name)},
    }
    assignments = [
        {**asdict(each), "assignment": _cut(each.assignment)} for each in analytics.per_assignment
    ]
    for left_out in range(len(assignments) + 1):
        result = {**whole, "assignments": assignments[left_out:], "assignments_left_out": left_out}
        if len(json.dumps(result, ensure_ascii=False).encode()) <= _MAX_SUMMARY_BYTES:
            break
    return result


def _scores(rows: Iterable[SubmissionRow]) -> list[float]:
    return [row.score for row in rows if row.score is not None]


def _is_late(row: SubmissionRow) -> bool:
    return row.due_at is not None and row.submitted_at > row.due_at


def _grouped(rows: Iterable[SubmissionRow]) -> Iterable[Sequence[SubmissionRow]]:
    """By assignment."""
    grouped = defaultdict(list)
    for row in rows:
        grouped[row.assignment_id].append(row)
    return grouped.values()


def _assignment(rows: Sequence[SubmissionRow]) -> AssignmentAnalytics:
    scores = _scores(rows)
    return AssignmentAnalytics(
        assignment=rows[0].assignment,
        submissions=len(rows),
        late=sum(map(_is_late, rows)),
        graded=len(scores),
        mean=_mean(scores),
        median=_median(scores),
    )


def _averages(rows: Iterable[SubmissionRow]) -> tuple[CriterionAverage, ...]:
    scores = defaultdict(list)
    for row in rows:
        if row.score is not None:
            for name, score in row.criteria.items():
                scores[row.assignment_id, row.assignment, name].append(score)
    return tuple(
        CriterionAverage(assignment, name, round(mean(own), 3), len(own))
        for (_, assignment, name), own in scores.items()
    )


def _mean(scores: Sequence[float]) -> float | None:
    return round(mean(scores), 1) if scores else None


def _median(scores: Sequence[float]) -> float | None:
    return round(median(scores), 1) if scores else None


def _cut(name: str) -> str:
    return name if len(name) <= _NAME_CHARACTERS else f"{name[: _NAME_CHARACTERS - 1]}…"
