"""What is stored. Times are UTC, without a zone."""

from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from secrets import token_hex
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import DATETIME, MEDIUMTEXT
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

Long = sa.Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")
Moment = sa.DateTime().with_variant(DATETIME(fsp=6), "mysql", "mariadb")
"""To the microsecond, so that what came later is known to have come later."""


def utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Role(StrEnum):
    ADMIN = "admin"
    INSTRUCTOR = "instructor"
    STUDENT = "student"


class Kind(StrEnum):
    """Of an assignment: what is handed in."""

    TEXT = "text"
    PROGRAM = "program"


class Base(DeclarativeBase):
    pass


enrolments = sa.Table(
    "enrolments",
    Base.metadata,
    sa.Column("user_id", sa.ForeignKey("users.id", ondelete="CASCADE"), primary_key=True),
    sa.Column(
        "course_id", sa.ForeignKey("courses.id", ondelete="CASCADE"), primary_key=True, index=True
    ),
)
"""Who belongs to a course: its students, and its instructors."""


class User(Base):
    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(sa.String(254), unique=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    role: Mapped[str] = mapped_column(sa.String(16))
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    created_at: Mapped[datetime] = mapped_column(Moment, default=utc_now)

    courses: Mapped[list["Course"]] = relationship(secondary=enrolments, back_populates="members")


class SignIn(Base):
    """A session of somebody who has signed in."""

    __tablename__ = "sign_ins"

    digest: Mapped[str] = mapped_column(sa.CHAR(64), primary_key=True)
    """SHA-256 of the token, which is in the browser alone."""
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"), index=True)
    expires_at: Mapped[datetime] = mapped_column(Moment, index=True)

    user: Mapped[User] = relationship()


class Course(Base):
    __tablename__ = "courses"

    id: Mapped[int] = mapped_column(primary_key=True)
    code: Mapped[str] = mapped_column(sa.String(20), unique=True)
    title: Mapped[str] = mapped_column(sa.String(200))

    members: Mapped[list[User]] = relationship(secondary=enrolments, back_populates="courses")
    assignments: Mapped[list["Assignment"]] = relationship(
        back_populates="course", order_by="Assignment.due_at"
    )


class Assignment(Base):
    __tablename__ = "assignments"

    id: Mapped[int] = mapped_column(primary_key=True)
    course_id: Mapped[int] = mapped_column(
        sa.ForeignKey("courses.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str] = mapped_column(sa.String(200))
    prompt: Mapped[str] = mapped_column(Long)
    kind: Mapped[str] = mapped_column(sa.String(16))
    rubric: Mapped[str] = mapped_column(Long)
    """JSON as academic.grading reads it: the criteria of a text, or the cases of a program."""
    due_at: Mapped[datetime] = mapped_column(Moment)

    course: Mapped[Course] = relationship(back_populates="assignments")


class Submission(Base):
    __tablename__ = "submissions"
    __table_args__ = (sa.UniqueConstraint("student_id", "assignment_id", "key"),)

    id: Mapped[str] = mapped_column(sa.CHAR(16), primary_key=True, default=partial(token_hex, 8))
    """Random: the names of its jobs are made of it, and jobs outlive a database made anew."""
    assignment_id: Mapped[int] = mapped_column(
        sa.ForeignKey("assignments.id", ondelete="CASCADE"), index=True
    )
    student_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(sa.String(64))
    """Of the form that was sent: the same form sent twice is one submission."""
    content: Mapped[str] = mapped_column(Long)
    file_name: Mapped[str] = mapped_column(sa.String(255), default="")
    submitted_at: Mapped[datetime] = mapped_column(Moment, default=utc_now)

    assignment: Mapped[Assignment] = relationship()
    student: Mapped[User] = relationship()
    grade: Mapped["Grade | None"] = relationship()
    overrides: Mapped[list["Override"]] = relationship(order_by="Override.id")
    jobs: Mapped[list["JobState"]] = relationship(order_by="JobState.position")

    @property
    def is_late(self) -> bool:
        return self.submitted_at > self.assignment.due_at

    @property
    def score(self) -> float | None:
        """From 0 to 100: the instructor's where there is one."""
        if self.overrides:
            return self.overrides[-1].score
        return self.grade.score if self.grade else None


class JobState(Base):
    """What was last seen of one of a submission's BackgroundJobs."""

    __tablename__ = "job_states"

    name: Mapped[str] = mapped_column(sa.String(253), primary_key=True)
    """The BackgroundJob's."""
    submission_id: Mapped[str] = mapped_column(
        sa.ForeignKey("submissions.id", ondelete="CASCADE"), index=True
    )
    title: Mapped[str] = mapped_column(sa.String(40))
    """The class, without its module."""
    position: Mapped[int]
    """In which order the jobs of a submission are shown."""
    phase: Mapped[str] = mapped_column(sa.String(16), default="")
    """Empty until the BackgroundJob was seen."""
    reason: Mapped[str] = mapped_column(sa.String(40), default="")
    message: Mapped[str] = mapped_column(sa.Text, default="")
    attempt: Mapped[int] = mapped_column(default=0)
    attempts_allowed: Mapped[int] = mapped_column(default=0)
    next_attempt_at: Mapped[datetime | None] = mapped_column(Moment)
    resource_version: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    """Later ones are larger, so that nothing old overwrites what is newer."""


class LastContact(Base):
    """When the API server last answered the service; one row."""

    __tablename__ = "last_contact"

    id: Mapped[int] = mapped_column(primary_key=True, default=1)
    at: Mapped[datetime] = mapped_column(Moment)


class ProgramRun(Base):
    """What came of running a submitted program, as its own pod reported it."""

    __tablename__ = "program_runs"

    submission_id: Mapped[str] = mapped_column(
        sa.ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True
    )
    result: Mapped[Any] = mapped_column(sa.JSON)
    """As academic.sandbox.RunProgram returned it; None where it could not be run."""
    problem: Mapped[str] = mapped_column(sa.Text, default="")
    """Why it could not be run."""


class Grade(Base):
    __tablename__ = "grades"

    submission_id: Mapped[str] = mapped_column(
        sa.ForeignKey("submissions.id", ondelete="CASCADE"), primary_key=True
    )
    score: Mapped[float]
    """From 0 to 100."""
    criteria: Mapped[Any] = mapped_column(sa.JSON)
    """For each criterion its name, weight, score from 0 to 1 and an explanation."""
    graded_at: Mapped[datetime] = mapped_column(Moment, default=utc_now)


class Override(Base):
    """A score that an instructor gave instead, and why. None is ever removed."""

    __tablename__ = "overrides"

    id: Mapped[int] = mapped_column(primary_key=True)
    submission_id: Mapped[str] = mapped_column(
        sa.ForeignKey("submissions.id", ondelete="CASCADE"), index=True
    )
    by_user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"))
    score: Mapped[float]
    reason: Mapped[str] = mapped_column(sa.String(1000))
    at: Mapped[datetime] = mapped_column(Moment, default=utc_now)

    by: Mapped[User] = relationship()


class Finding(Base):
    """Passages that two students' submissions have in common."""

    __tablename__ = "findings"
    __table_args__ = (sa.UniqueConstraint("later_id", "earlier_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    later_id: Mapped[str] = mapped_column(sa.ForeignKey("submissions.id", ondelete="CASCADE"))
    earlier_id: Mapped[str] = mapped_column(
        sa.ForeignKey("submissions.id", ondelete="CASCADE"), index=True
    )
    similarity: Mapped[float]
    """From 0 to 1."""
    passages: Mapped[Any] = mapped_column(sa.JSON)
    """[later's begin, its end, earlier's begin, its end] in characters, for each."""

    later: Mapped[Submission] = relationship(foreign_keys=later_id)
    earlier: Mapped[Submission] = relationship(foreign_keys=earlier_id)


class Report(Base):
    """A course's analytics, as last computed."""

    __tablename__ = "reports"

    course_id: Mapped[int] = mapped_column(
        sa.ForeignKey("courses.id", ondelete="CASCADE"), primary_key=True
    )
    content: Mapped[Any] = mapped_column(sa.JSON)
    computed_at: Mapped[datetime] = mapped_column(Moment, default=utc_now)


class Notification(Base):
    """Something that a user is told, here and perhaps by mail."""

    __tablename__ = "notifications"
    __table_args__ = (sa.UniqueConstraint("user_id", "key"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id", ondelete="CASCADE"))
    key: Mapped[str] = mapped_column(sa.String(64))
    """What it is about: told once."""
    text: Mapped[str] = mapped_column(sa.String(500))
    path: Mapped[str] = mapped_column(sa.String(200))
    """Of the page that shows more."""
    created_at: Mapped[datetime] = mapped_column(Moment, default=utc_now)
    read_at: Mapped[datetime | None] = mapped_column(Moment)
