"""The figures of a course, from rows to the summary that a job returns."""

import json
import random
from dataclasses import asdict
from datetime import UTC, datetime, timedelta, timezone

import pytest

from academic.analytics import (
    AssignmentAnalytics,
    CriterionAverage,
    SubmissionRow,
    course_analytics,
    summary,
)

DUE = datetime(2026, 10, 1, 12, tzinfo=UTC)


def row(
    student: str = "s1",
    *,
    assignment: str = "essay",
    assignment_id: int | None = None,
    hours: float = -1,
    score: float | None = None,
    due: datetime | None = DUE,
    **criteria: float,
) -> SubmissionRow:
    """Assignments of other titles are others, unless told otherwise."""
    return SubmissionRow(
        assignment_id=hash(assignment) if assignment_id is None else assignment_id,
        assignment=assignment,
        student=student,
        submitted_at=DUE + timedelta(hours=hours),
        due_at=due,
        score=score,
        criteria=criteria,
    )


def test_a_course_without_submissions_has_figures_as_well() -> None:
    empty = course_analytics([])
    assert (empty.students, empty.submissions, empty.mean, empty.median) == (0, 0, None, None)
    assert empty.distribution == (0,) * 10
    assert empty.hardest is None
    assert summary(empty)["assignments"] == []


def test_students_submissions_and_grades_are_counted_apart() -> None:
    found = course_analytics(
        [row("s1", score=50), row("s1", score=70), row("s2"), row("s3", score=90)]
    )
    assert (found.students, found.submissions, found.graded) == (3, 4, 3)


def test_two_assignments_of_one_title_are_two() -> None:
    found = course_analytics(
        [row(assignment_id=1, score=50, style=0.5), row(assignment_id=2, score=70, style=0.7)]
    )
    assert [(each.assignment, each.mean) for each in found.per_assignment] == [
        ("essay", 50),
        ("essay", 70),
    ]
    assert [(each.assignment, each.mean) for each in found.per_criterion] == [
        ("essay", 0.5),
        ("essay", 0.7),
    ]


def test_mean_and_median_are_of_what_is_graded() -> None:
    found = course_analytics([row(score=0), row(score=80.25), row(score=90), row()])
    assert (found.mean, found.median) == (56.8, 80.2)


@pytest.mark.parametrize(
    ("score", "step"), [(0, 0), (9.9, 0), (10, 1), (55, 5), (89.9, 8), (90, 9), (100, 9)]
)
def test_the_distribution_has_ten_steps_of_which_the_last_holds_100(
    score: float, step: int
) -> None:
    distribution = course_analytics([row(score=score)]).distribution
    assert distribution == tuple(int(each == step) for each in range(10))


@pytest.mark.parametrize(
    ("hours", "due", "late"),
    [
        pytest.param(-1, DUE, 0, id="before"),
        pytest.param(0, DUE, 0, id="just in time"),
        pytest.param(0.001, DUE, 1, id="after"),
        pytest.param(99, None, 0, id="never due"),
        pytest.param(1, DUE.astimezone(timezone(timedelta(hours=9))), 1, id="another time zone"),
    ],
)
def test_late_is_after_the_due_time(hours: float, due: datetime | None, late: int) -> None:
    assert course_analytics([row(hours=hours, due=due)]).late == late


def test_days_are_those_of_utc_in_order() -> None:
    night = datetime(2026, 10, 2, 1, tzinfo=timezone(timedelta(hours=5)))
    rows = [row(hours=24), row(), SubmissionRow(1, "essay", "s2", night, None, None, {})]
    assert course_analytics(rows).per_day == (("2026-10-01", 2), ("2026-10-02", 1))


def test_each_assignment_has_figures_of_its_own() -> None:
    rows = [
        row(assignment="program", hours=5, score=40),
        row(assignment="essay", score=60),
        row(assignment="essay", score=70),
        row(assignment="essay"),
    ]
    assert course_analytics(rows).per_assignment == (
        AssignmentAnalytics("essay", submissions=3, late=0, graded=2, mean=65, median=65),
        AssignmentAnalytics("program", submissions=1, late=1, graded=1, mean=40, median=40),
    )


def test_the_hardest_criterion_is_the_one_with_the_lowest_mean() -> None:
    rows = [
        row(score=50, concepts=0.5, length=1),
        row(score=50, concepts=0.25, length=0.5),
        row(assignment="program", score=50, length=0.5),
        row(concepts=0),
    ]
    found = course_analytics(rows)
    assert found.per_criterion == (
        CriterionAverage("essay", "concepts", 0.375, 2),
        CriterionAverage("essay", "length", 0.75, 2),
        CriterionAverage("program", "length", 0.5, 1),
    )
    assert found.hardest == found.per_criterion[0]


def test_the_order_of_the_rows_makes_no_difference() -> None:
    draw = random.Random(7)
    rows = [
        row(
            f"s{n % 7}",
            assignment=f"a{n % 3}",
            hours=n,
            score=draw.uniform(0, 100),
            x=draw.random(),
        )
        for n in range(60)
    ]
    want = course_analytics(rows)
    draw.shuffle(rows)
    assert course_analytics(rows) == want


def test_the_analytics_are_plain_json() -> None:
    found = course_analytics([row(score=50, concepts=0.5)])
    assert json.loads(json.dumps(asdict(found)))["per_day"] == [["2026-10-01", 1]]


def test_the_summary_of_many_assignments_keeps_the_latest_within_3_kib() -> None:
    rows = [row(assignment=f"{n} {'ü' * 500}", hours=n, score=50, x=n / 100) for n in range(60)]
    found = summary(course_analytics(rows))
    assert len(json.dumps(found, ensure_ascii=False).encode()) <= 3072
    kept = found["assignments"]
    assert isinstance(kept, list)
    assert kept[-1]["assignment"].startswith("59 ü")
    assert len(kept) + int(str(found["assignments_left_out"])) == 60


def test_the_summary_of_a_few_assignments_is_whole() -> None:
    found = summary(course_analytics([row(score=50, concepts=0.5), row(assignment="program")]))
    assert found["assignments_left_out"] == 0
    assert found["hardest"] == {"assignment": "essay", "name": "concepts"}
