"""Handing in: a submission and its jobs, in one transaction."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_hex
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from academic.grading import Case, cases_from_json
from academic.sandbox import program_parameters
from academic.service.outbox import OUTBOX
from academic.store.schema import Assignment, JobState, Kind, Submission, User

LONGEST_TEXT_BYTES = 200_000
LONGEST_PROGRAM_BYTES = 32_768
"""A program travels as a parameter of its job, which takes 64 KiB with its cases."""
_LONG_PROGRAM = ("x = 1\n" * LONGEST_PROGRAM_BYTES)[:LONGEST_PROGRAM_BYTES]
_REPORT = "academic.jobs.GenerateAnalyticsReport"
_SECONDS_PER_CASE = 5
_KEPT_SECONDS = 24 * 3600
"""How long a finished job stays, so that a service that was down for hours still sees its end."""
_SUFFIXES = {Kind.TEXT: (".txt", ".md"), Kind.PROGRAM: (".py",)}
_FILE_NAME = re.compile(r"[^/\\\0-\x1f\x7f]{1,255}")
_KEY = re.compile(r"[0-9a-zA-Z-]{8,64}")


class RefusedError(Exception):
    """What was handed in cannot be taken; the text says why."""


@dataclass(frozen=True)
class PlannedJob:
    class_: str
    name: str
    parameters: Mapping[str, object]
    priority: Literal[1, 2, 3]
    retries: int
    delay: int = 0

    @property
    def title(self) -> str:
        return self.class_.rpartition(".")[2]


def text_of_file(kind: Kind, name: str, content: bytes) -> str:
    """Raises RefusedError."""
    _check_file_name(kind, name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RefusedError(f"{name} is no UTF-8 text: save it as plain text.") from error


def submit(
    session: Session,
    student: User,
    assignment: Assignment,
    key: str,
    content: str,
    file_name: str = "",
) -> Submission:
    """The student's submission of this key, made now unless it is there, with its jobs.

    Commits. The API server is not asked: the jobs are rows of the outbox, which are there if and
    only if the submission is. Raises RefusedError.
    """
    if not _KEY.fullmatch(key):
        raise RefusedError("The form is not one of ours: load the page again.")
    kind = Kind(assignment.kind)
    if file_name:
        _check_file_name(kind, file_name)
    content = _checked(kind, content)
    student_id, assignment_id = student.id, assignment.id
    submission = Submission(
        student=student, assignment=assignment, key=key, content=content, file_name=file_name
    )
    session.add(submission)
    try:
        session.flush()
        for position, job in enumerate(planned_jobs(submission)):
            session.add(
                JobState(
                    name=job.name, submission_id=submission.id, title=job.title, position=position
                )
            )
            _dispatch(session, job)
        session.commit()
    except IntegrityError:
        session.rollback()
        same = {"student_id": student_id, "assignment_id": assignment_id, "key": key}
        earlier = session.scalar(sa.select(Submission).filter_by(**same))
        if earlier is None:
            raise
        if earlier.content != content:
            raise RefusedError(
                "This form was handed in before, with another text."
                " Hand in again to make a new submission of this one."
            ) from None
        return earlier
    except ValueError as error:
        # The program and the inputs of its cases are too much for one job.
        session.rollback()
        raise RefusedError(str(error)) from error
    return submission


def planned_jobs(submission: Submission) -> Sequence[PlannedJob]:
    """The four jobs of a submission, and before them the run of a program.

    A program runs as a job of its own, in a pod without secrets, and not within its grading,
    whose pod knows the database. Grading says "later" until the service has written down what
    came of the run (academic.service.tracking).
    """
    of = {"submission": submission.id}
    planned = [
        PlannedJob("academic.jobs.AutomatedGrading", f"grade-{submission.id}", of, 1, 3),
        PlannedJob("academic.jobs.NotifyStudentOfSubmission", f"notify-{submission.id}", of, 2, 2),
        PlannedJob("academic.jobs.CheckForPlagiarism", f"compare-{submission.id}", of, 2, 2, 10),
        PlannedJob(_REPORT, f"report-{submission.id}", of, 3, 2, 15),
    ]
    if submission.assignment.kind == Kind.PROGRAM:
        cases = cases_from_json(submission.assignment.rubric)
        parameters = _run_parameters(submission.content, cases)
        name = f"run-{submission.id}"
        planned.insert(0, PlannedJob("academic.sandbox.RunProgram", name, parameters, 1, 1))
    return planned


def dispatch_report(session: Session, submission: Submission) -> None:
    """Another report, once the submission's score is another one."""
    [planned] = [each for each in planned_jobs(submission) if each.class_ == _REPORT]
    _dispatch(session, replace(planned, name=f"{planned.name}-{token_hex(4)}"))


def require_room(cases: Sequence[Case]) -> None:
    """Raises ValueError where the inputs leave no room for a long program beside them."""
    try:
        _run_parameters(_LONG_PROGRAM, cases)
    except ValueError as error:
        raise ValueError(
            "The inputs are too long together: a program of"
            f" {LONGEST_PROGRAM_BYTES:,} bytes could not be run with them. Shorten them."
        ) from error


def dispatch_again(session: Session, submission: Submission, job: JobState) -> None:
    """A new BackgroundJob in place of one that was deleted.

    In place of one that has succeeded it has another name: the cluster runs that no second time.
    """
    [planned] = [each for each in planned_jobs(submission) if each.title == job.title]
    if job.phase == "Succeeded":
        job.name = f"{planned.name}-{token_hex(4)}"
    job.phase = job.reason = job.message = ""
    job.attempt = job.attempts_allowed = job.resource_version = 0
    job.next_attempt_at = None
    _dispatch(session, replace(planned, name=job.name))


def _run_parameters(program: str, cases: Sequence[Case]) -> dict[str, object]:
    return program_parameters(program, [case.input for case in cases], _SECONDS_PER_CASE)


def _check_file_name(kind: Kind, name: str) -> None:
    suffixes = _SUFFIXES[kind]
    if not _FILE_NAME.fullmatch(name) or not name.lower().endswith(suffixes):
        raise RefusedError(f"Hand in a file whose name ends with {' or '.join(suffixes)}.")


def _checked(kind: Kind, content: str) -> str:
    content = content.replace("\r\n", "\n")
    longest = LONGEST_PROGRAM_BYTES if kind is Kind.PROGRAM else LONGEST_TEXT_BYTES
    try:
        size = len(content.encode())
    except UnicodeEncodeError as error:
        raise RefusedError("This is no text that can be stored: save it as UTF-8.") from error
    if not content.strip():
        raise RefusedError("There is nothing in it.")
    if size > longest:
        raise RefusedError(f"It has {size:,} bytes and may have {longest:,}.")
    if "\0" in content:
        raise RefusedError("It has a NUL character, which no text has.")
    return content


def _dispatch(session: Session, job: PlannedJob) -> None:
    OUTBOX.dispatch(
        session,
        job.class_,
        name=job.name,
        parameters=job.parameters,
        priority=job.priority,
        retries=job.retries,
        delay=job.delay,
        ttl_seconds_after_finished=_KEPT_SECONDS,
    )
