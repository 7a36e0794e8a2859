"""Courses and submissions as JSON, for programs: described by /api/openapi.json."""

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from academic.service import accounts, coursework
from academic.service.accounts import TooManyFailuresError, WrongPasswordError
from academic.service.permissions import Action, allows, require
from academic.service.retrying import retry
from academic.service.submitting import submit
from academic.store.schema import Kind, Report, Submission
from academic.web.context import Its, Number, SignedIn, Stored, token_of
from academic.web.signing_in import TOO_MANY, WRONG

Time = Annotated[datetime, AfterValidator(lambda time: time.replace(tzinfo=UTC))]


class Problem(BaseModel):
    error: str = Field(description="What is wrong, and what to do.")


router = APIRouter(
    prefix="/api/v1",
    responses={
        400: {"model": Problem, "description": "The request cannot be taken."},
        401: {"model": Problem, "description": "Nobody has signed in."},
        403: {"model": Problem, "description": "That is not yours to do."},
        404: {"model": Problem, "description": "There is none."},
        "default": {"model": Problem, "description": "It cannot be done now."},
    },
)


class _Read(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class Credentials(BaseModel):
    email: str
    password: str


class Token(BaseModel):
    token: str


class Me(_Read):
    id: int
    name: str
    email: str
    role: str


class AssignmentOut(_Read):
    id: int
    course_id: int
    title: str
    prompt: str
    kind: Kind
    due_at: Time


class CourseOut(_Read):
    id: int
    code: str
    title: str
    assignments: list[AssignmentOut]


class SubmissionIn(BaseModel):
    key: str = Field(description="Of your own making; the same key again is the same submission.")
    content: str
    file_name: str = ""


class JobOut(_Read):
    name: str
    title: str
    phase: str = Field(description="Empty until the cluster has the job.")
    reason: str
    message: str
    attempt: int
    attempts_allowed: int


class GradeOut(_Read):
    score: float
    criteria: list[dict[str, Any]]
    graded_at: Time


class SubmissionOut(BaseModel):
    id: str
    assignment_id: int
    student: str
    submitted_at: Time
    is_late: bool
    score: float | None
    grade: GradeOut | None
    jobs: list[JobOut]
    unknown_since: Time | None = Field(description="When the cluster stopped answering.")


class Override(BaseModel):
    score: float
    reason: str


class FindingOut(_Read):
    id: int
    later_id: str
    earlier_id: str
    similarity: float
    passages: list[tuple[int, int, int, int]]


@router.post("/sessions", status_code=201)
def sign_in(service: Its, session: Stored, given: Credentials) -> Token:
    try:
        token = accounts.sign_in(session, service.throttle, given.email, given.password)
    except WrongPasswordError as error:
        raise HTTPException(401, WRONG) from error
    except TooManyFailuresError as error:
        raise HTTPException(429, TOO_MANY) from error
    session.commit()
    return Token(token=token)


@router.delete("/sessions", status_code=204)
def sign_out(request: Request, session: Stored, _: SignedIn) -> Response:
    accounts.sign_out(session, token_of(request))
    session.commit()
    return Response(status_code=204)


@router.get("/me")
def me(user: SignedIn) -> Me:
    return Me.model_validate(user)


@router.get("/courses")
def courses(session: Stored, user: SignedIn) -> list[CourseOut]:
    return [CourseOut.model_validate(each) for each in coursework.courses_of(session, user)]


@router.get("/courses/{course_id}/submissions")
def submissions(
    service: Its, session: Stored, user: SignedIn, course_id: Number, before: str = ""
) -> list[SubmissionOut]:
    """The latest 200, of those that were handed in before that submission; a student's own."""
    coursework.course(session, user, course_id)
    sees_all = allows(user, Action.SEE_COURSE_SUBMISSIONS, course_id)
    listed = coursework.submissions_of(
        session, course_id=course_id, student_id=None if sees_all else user.id, before=before
    )
    return [_shown(service, each) for each in listed.submissions]


@router.get("/courses/{course_id}/analytics")
def analytics(session: Stored, user: SignedIn, course_id: Number) -> dict[str, Any]:
    coursework.course(session, user, course_id)
    require(user, Action.SEE_ANALYTICS, course_id=course_id)
    report = session.get(Report, course_id)
    if report is None:
        raise HTTPException(404, "There is no report yet: the first submission has one computed.")
    return {**report.content, "computed_at": report.computed_at.replace(tzinfo=UTC)}


@router.get("/assignments/{assignment_id}")
def assignment(session: Stored, user: SignedIn, assignment_id: Number) -> AssignmentOut:
    return AssignmentOut.model_validate(coursework.assignment(session, user, assignment_id))


@router.post("/assignments/{assignment_id}/submissions", status_code=201)
def hand_in(
    service: Its, session: Stored, user: SignedIn, assignment_id: Number, given: SubmissionIn
) -> SubmissionOut:
    found = coursework.assignment(session, user, assignment_id)
    require(user, Action.SUBMIT, course_id=found.course_id)
    made = submit(session, user, found, given.key, given.content, given.file_name)
    return _shown(service, made)


@router.get("/submissions/{submission_id}")
def submission(service: Its, session: Stored, user: SignedIn, submission_id: str) -> SubmissionOut:
    return _shown(service, coursework.submission(session, user, submission_id))


@router.get("/submissions/{submission_id}/findings")
def findings(session: Stored, user: SignedIn, submission_id: str) -> list[FindingOut]:
    found = coursework.submission(session, user, submission_id)
    require(user, Action.SEE_FINDINGS, course_id=found.assignment.course_id)
    return [FindingOut.model_validate(each) for each in coursework.findings_of(session, found.id)]


@router.post("/submissions/{submission_id}/overrides", status_code=201)
def override(
    service: Its, session: Stored, user: SignedIn, submission_id: str, given: Override
) -> SubmissionOut:
    found = coursework.submission(session, user, submission_id)
    try:
        coursework.override(session, user, found, given.score, given.reason)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    return _shown(service, found)


@router.post("/submissions/{submission_id}/jobs/{name}/retry", status_code=202)
def retry_job(
    service: Its, session: Stored, user: SignedIn, submission_id: str, name: str
) -> SubmissionOut:
    found = coursework.submission(session, user, submission_id)
    retry(session, user, found, name, service.retry)
    return _shown(service, found)


def _shown(service: Its, submission: Submission) -> SubmissionOut:
    grade = submission.grade
    return SubmissionOut(
        id=submission.id,
        assignment_id=submission.assignment_id,
        student=submission.student.name,
        submitted_at=submission.submitted_at,
        is_late=submission.is_late,
        score=submission.score,
        grade=GradeOut.model_validate(grade) if grade else None,
        jobs=[JobOut.model_validate(each) for each in submission.jobs],
        unknown_since=service.contact.unknown_since,
    )
