"""What happens to a submission in the background.

Each job may run twice: what it writes is keyed by the submission, so that the second time
writes the same again. Its result in the cluster is short; what people see is in the database.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple
from datetime import UTC
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from academic import grading
from academic.analytics import GRADED_WITHIN, SubmissionRow, course_analytics, summary
from academic.grading.programs import runs_from_result
from academic.mail import MailSettings, confirmation, send
from academic.plagiarism import Document, compare, is_suspicious
from academic.store.database import from_environment
from academic.store.schema import (
    Assignment,
    Course,
    Finding,
    Grade,
    Kind,
    Notification,
    ProgramRun,
    Report,
    Submission,
    utc_now,
)
from bgjobs_runner import PermanentFailure, RetryLater, job

_LATER_SECONDS = 10
"""A run of a job may say "later" 50 times."""
_LATEST_SECONDS = 30


@job
class AutomatedGrading:
    """Grades a submission by the rubric of its assignment."""

    def handle(self, submission: str) -> dict[str, object]:
        """What a program printed is awaited, and costs no retry.

        Raises RetryLater until it is there, and PermanentFailure where it could not be run.
        """
        with _session() as session:
            found = _submission(session, submission)
            grade = _grade(session, found)
            criteria = [asdict(each) for each in grade.per_criterion]
            session.merge(
                Grade(
                    submission_id=found.id,
                    score=grade.score,
                    criteria=criteria,
                    graded_at=utc_now(),
                )
            )
            text = f"Your submission to “{found.assignment.title}” is graded."
            _notify(session, found, f"graded-{found.id}", text)
            session.commit()
        print(f"graded {submission}: {grade.score:.1f}")
        return {"score": round(grade.score, 1)}


@job
class NotifyStudentOfSubmission:
    """Tells the student by mail that the submission has arrived."""

    def handle(self, submission: str) -> dict[str, object]:
        """The message has the same Message-ID each time, in case it is sent and not recorded."""
        try:
            settings = MailSettings.from_environment(os.environ)
        except ValueError as error:
            raise PermanentFailure(str(error)) from error
        with _session() as session:
            found = _submission(session, submission)
            message = confirmation(found, settings)
            key = f"received-{found.id}"
            if is_new := not _is_told(session, found.student_id, key):
                send(message, settings)
                title = found.assignment.title
                _notify(session, found, key, f"Your submission to “{title}” has arrived.")
                session.commit()
        return {"messageId": message["Message-ID"], "sent": is_new}


@job
class CheckForPlagiarism:
    """Finds what a submission has in common with earlier ones of the course."""

    def handle(self, submission: str) -> dict[str, object]:
        """Compares with all that other students handed in before: the later one's job finds it."""
        with _session() as session:
            found = _submission(session, submission)
            prompt = found.assignment.prompt
            earlier = _earlier(session, found)
            session.execute(sa.delete(Finding).where(Finding.later_id == found.id))
            highest, suspicious = 0.0, 0
            for other in earlier:
                comparison = compare(_document(found), _document(other), prompt)
                highest = max(highest, comparison.similarity)
                if is_suspicious(comparison):
                    suspicious += 1
                    session.add(
                        Finding(
                            later_id=found.id,
                            earlier_id=other.id,
                            similarity=comparison.similarity,
                            passages=[astuple(each) for each in comparison.passages],
                        )
                    )
            session.commit()
        print(f"compared {submission} with {len(earlier)} others, {suspicious} are suspicious")
        return {"compared": len(earlier), "suspicious": suspicious, "highest": round(highest, 3)}


@job
class GenerateAnalyticsReport:
    """Computes a course's analytics anew."""

    def handle(self, submission: str) -> dict[str, object]:
        """Waits for the grade of the submission that it is made for, but not for long."""
        with _session() as session:
            found = _submission(session, submission)
            if found.grade is None and utc_now() - found.submitted_at < GRADED_WITHIN:
                raise RetryLater(_LATER_SECONDS, "the submission is not graded yet")
            course_id = found.assignment.course_id
            computed_at = utc_now()
            analytics = course_analytics(_rows(session, course_id))
            # Reports of a course are written one after the other, the first one, too.
            session.get_one(Course, course_id, with_for_update=True)
            there = session.get(Report, course_id)
            # Another submission's report may have been computed meanwhile, from more of them.
            if there is None or there.computed_at < computed_at:
                content = asdict(analytics)
                session.merge(Report(course_id=course_id, content=content, computed_at=computed_at))
            session.commit()
        return summary(analytics)


@contextmanager
def _session() -> Iterator[Session]:
    try:
        engine = from_environment(os.environ)
    except ValueError as error:
        raise PermanentFailure(f"{error}: the class's runtime gives it") from error
    try:
        with Session(engine) as session:
            yield session
    finally:
        engine.dispose()


def _submission(session: Session, submission: str) -> Submission:
    found = session.get(Submission, submission)
    if found is None:
        raise PermanentFailure(f"there is no submission {submission}: it was deleted")
    return found


def _grade(session: Session, submission: Submission) -> grading.Grade:
    assignment = submission.assignment
    if assignment.kind == Kind.TEXT:
        rubric = grading.rubric_from_json(assignment.rubric)
        return grading.grade_text(submission.content, rubric)
    run = session.get(ProgramRun, submission.id)
    if run is None:
        waited = (utc_now() - submission.submitted_at).total_seconds()
        # Longer and longer, so that 50 times are a quarter of an hour at least.
        seconds = min(_LATEST_SECONDS, max(2, waited / 5))
        raise RetryLater(seconds, "the program has not been run yet")
    if run.problem:
        raise PermanentFailure(f"the program could not be run: {run.problem}")
    cases = grading.cases_from_json(assignment.rubric)
    return grading.grade_program(runs_from_result(run.result), cases)


def _earlier(session: Session, submission: Submission) -> list[Submission]:
    """What other students of the course handed in before, of the same kind."""
    is_before = sa.or_(
        Submission.submitted_at < submission.submitted_at,
        sa.and_(Submission.submitted_at == submission.submitted_at, Submission.id < submission.id),
    )
    statement = (
        sa.select(Submission)
        .join(Assignment)
        .where(
            Assignment.course_id == submission.assignment.course_id,
            Assignment.kind == submission.assignment.kind,
            Submission.student_id != submission.student_id,
            is_before,
        )
    )
    return list(session.scalars(statement))


def _document(submission: Submission) -> Document:
    kind: Literal["text", "program"] = (
        "text" if submission.assignment.kind == Kind.TEXT else "program"
    )
    return Document(submission.content, kind)


def _rows(session: Session, course_id: int) -> list[SubmissionRow]:
    statement = (
        sa.select(Submission)
        .join(Assignment)
        .where(Assignment.course_id == course_id)
        .options(
            joinedload(Submission.assignment),
            joinedload(Submission.student),
            joinedload(Submission.grade),
            selectinload(Submission.overrides),
        )
    )
    return [
        SubmissionRow(
            assignment_id=each.assignment_id,
            assignment=each.assignment.title,
            student=each.student.email,
            submitted_at=each.submitted_at.replace(tzinfo=UTC),
            due_at=each.assignment.due_at.replace(tzinfo=UTC),
            score=each.score,
            criteria={one["name"]: one["score"] for one in each.grade.criteria}
            if each.grade
            else {},
        )
        for each in session.scalars(statement)
    ]


def _is_told(session: Session, user_id: int, key: str) -> bool:
    statement = sa.select(Notification.id).where(
        Notification.user_id == user_id, Notification.key == key
    )
    return session.scalar(statement) is not None


def _notify(session: Session, submission: Submission, key: str, text: str) -> None:
    if not _is_told(session, submission.student_id, key):
        path = f"/submissions/{submission.id}"
        session.add(Notification(user_id=submission.student_id, key=key, text=text, path=path))
