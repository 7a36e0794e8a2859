"""Courses, assignments and what was handed in, as the pages and the API ask for them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session, joinedload, selectinload

from academic.grading import cases_from_json, rubric_from_json
from academic.service.permissions import PERMISSIONS, Action, Reach, require
from academic.service.submitting import dispatch_report, require_room
from academic.store.schema import (
    Assignment,
    Course,
    Finding,
    Kind,
    Notification,
    Override,
    Role,
    Submission,
    User,
    utc_now,
)

_LISTED = 200


class NotFoundError(Exception):
    """There is none of that number; the text says of what."""


def courses_of(session: Session, user: User) -> Sequence[Course]:
    """All that the user may see."""
    statement = sa.select(Course).order_by(Course.code).options(selectinload(Course.assignments))
    if PERMISSIONS[Action.SEE_COURSE][Role(user.role)] is not Reach.ALL:
        statement = statement.where(Course.members.contains(user))
    return session.scalars(statement).all()


def course(session: Session, user: User, course_id: int) -> Course:
    """Raises NotFoundError or NotPermittedError."""
    found = session.get(Course, course_id)
    if found is None:
        raise NotFoundError(f"There is no course {course_id}.")
    require(user, Action.SEE_COURSE, course_id=found.id)
    return found


def assignment(session: Session, user: User, assignment_id: int) -> Assignment:
    """Raises NotFoundError or NotPermittedError."""
    found = session.get(Assignment, assignment_id)
    if found is None:
        raise NotFoundError(f"There is no assignment {assignment_id}.")
    require(user, Action.SEE_COURSE, course_id=found.course_id)
    return found


def submission(session: Session, user: User, submission_id: str) -> Submission:
    """Raises NotFoundError or NotPermittedError."""
    found = _submission(session, submission_id)
    require(
        user,
        Action.SEE_SUBMISSION,
        course_id=found.assignment.course_id,
        owner_id=found.student_id,
    )
    return found


def _submission(session: Session, submission_id: str) -> Submission:
    found = session.get(Submission, submission_id)
    if found is None:
        raise NotFoundError(f"There is no submission {submission_id[:40]}.")
    return found


def finding(session: Session, user: User, finding_id: int) -> Finding:
    """Raises NotFoundError or NotPermittedError."""
    found = session.get(Finding, finding_id)
    if found is None:
        raise NotFoundError(f"There is no finding {finding_id}.")
    require(user, Action.SEE_FINDINGS, course_id=found.later.assignment.course_id)
    return found


class Listed(NamedTuple):
    submissions: Sequence[Submission]
    earlier: str | None
    """`before` of those that were handed in before these; None where there are none."""


def submissions_of(
    session: Session,
    *,
    course_id: int | None = None,
    assignment_id: int | None = None,
    student_id: int | None = None,
    before: str = "",
) -> Listed:
    """The latest first, at most 200, of those that were handed in before that submission.

    Raises NotFoundError where `before` is none.
    """
    statement = (
        sa.select(Submission)
        .options(
            joinedload(Submission.assignment),
            joinedload(Submission.student),
            joinedload(Submission.grade),
            selectinload(Submission.overrides),
            selectinload(Submission.jobs),
        )
        .order_by(Submission.submitted_at.desc(), Submission.id.desc())
        .limit(_LISTED + 1)
    )
    if course_id is not None:
        statement = statement.where(Submission.assignment.has(Assignment.course_id == course_id))
    if assignment_id is not None:
        statement = statement.where(Submission.assignment_id == assignment_id)
    if student_id is not None:
        statement = statement.where(Submission.student_id == student_id)
    if before:
        last = _submission(session, before)
        at, is_earlier = Submission.submitted_at, Submission.id < last.id
        statement = statement.where(
            at <= last.submitted_at, sa.or_(at < last.submitted_at, is_earlier)
        )
    found = session.scalars(statement).all()
    listed = found[:_LISTED]
    return Listed(listed, listed[-1].id if len(found) > len(listed) else None)


def latest_of(session: Session, student: User) -> Mapping[int, Submission]:
    """What the student handed in last, by assignment."""
    order = (Submission.submitted_at.desc(), Submission.id.desc())
    place = sa.func.row_number().over(partition_by=Submission.assignment_id, order_by=order)
    own = sa.select(Submission.id, place.label("place")).where(Submission.student_id == student.id)
    placed = own.subquery()
    statement = (
        sa.select(Submission)
        .join(placed, placed.c.id == Submission.id)
        .where(placed.c.place == 1)
        .options(joinedload(Submission.grade), selectinload(Submission.overrides))
    )
    return {each.assignment_id: each for each in session.scalars(statement)}


def findings_of(session: Session, *submission_ids: str) -> Sequence[Finding]:
    """What these submissions have in common with others, the most similar first."""
    statement = (
        sa.select(Finding)
        .where(sa.or_(Finding.later_id.in_(submission_ids), Finding.earlier_id.in_(submission_ids)))
        .order_by(Finding.similarity.desc(), Finding.id)
    )
    return session.scalars(statement).all()


def override(
    session: Session, user: User, submission: Submission, score: float, reason: str
) -> None:
    """Another score, from 0 to 100, and why. Commits. Raises ValueError or NotPermittedError."""
    require(user, Action.OVERRIDE_GRADE, course_id=submission.assignment.course_id)
    reason = reason.strip()
    if not 0 <= score <= 100:
        raise ValueError("A score is a number from 0 to 100.")
    if not 1 <= len(reason) <= 1000:
        raise ValueError("Give a reason of at most 1,000 characters: the student reads it.")
    submission.overrides.append(Override(by=user, score=score, reason=reason))
    session.flush()
    session.add(
        Notification(
            user_id=submission.student_id,
            key=f"override-{submission.overrides[-1].id}",
            text=f"{user.name} gave your submission to “{submission.assignment.title}” another "
            "score.",
            path=f"/submissions/{submission.id}",
        )
    )
    dispatch_report(session, submission)
    session.commit()


def write_assignment(
    session: Session,
    user: User,
    course: Course,
    *,
    title: str,
    kind: str,
    prompt: str,
    rubric: str,
    due_at: str,
) -> Assignment:
    """A new one. Commits. Raises ValueError, which says what is wrong, or NotPermittedError."""
    require(user, Action.WRITE_ASSIGNMENT, course_id=course.id)
    title, prompt = title.strip(), prompt.strip()
    if not 1 <= len(title) <= 200 or not title.isprintable():
        raise ValueError("Give a title of at most 200 characters.")
    if not 1 <= len(prompt) <= 20_000:
        raise ValueError("Say what is asked for, in at most 20,000 characters.")
    try:
        due = datetime.fromisoformat(due_at)
    except ValueError as error:
        raise ValueError("Give a time when it is due, such as 2026-12-01T12:00.") from error
    if due.tzinfo is not None:
        raise ValueError("Give the time when it is due in UTC, without a zone.")
    if Kind(kind) is Kind.TEXT:
        rubric_from_json(rubric)
    else:
        require_room(cases_from_json(rubric))
    written = Assignment(
        course=course, title=title, kind=kind, prompt=prompt, rubric=rubric, due_at=due
    )
    session.add(written)
    session.commit()
    return written


def unread(session: Session, user: User) -> int:
    is_unread = sa.and_(Notification.user_id == user.id, Notification.read_at.is_(None))
    return session.scalar(sa.select(sa.func.count()).where(is_unread)) or 0


def notifications(session: Session, user: User) -> Sequence[Notification]:
    """The latest first, at most 200."""
    statement = (
        sa.select(Notification)
        .where(Notification.user_id == user.id)
        .order_by(Notification.id.desc())
        .limit(_LISTED)
    )
    return session.scalars(statement).all()


def mark_read(session: Session, user: User) -> None:
    """All of the user's notifications. Commits."""
    is_unread = sa.and_(Notification.user_id == user.id, Notification.read_at.is_(None))
    session.execute(sa.update(Notification).where(is_unread).values(read_at=utc_now()))
    session.commit()
