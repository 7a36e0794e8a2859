"""The pages."""

import secrets
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, Response, UploadFile
from fastapi.responses import RedirectResponse

from academic.grading import cases_from_json, rubric_from_json
from academic.service import accounts, coursework, people
from academic.service.outbox import refusals
from academic.service.permissions import Action, NotPermittedError, allows, require
from academic.service.retrying import RETRIED_PHASES, retry
from academic.service.submitting import RefusedError, submit, text_of_file
from academic.store.schema import Assignment, Kind, Report, Submission, User
from academic.web import examples, pages
from academic.web.context import (
    LARGEST_NUMBER,
    Its,
    Number,
    Service,
    SignedIn,
    Stored,
    token_of,
)
from academic.web.course_charts import course_charts
from academic.web.side_by_side import marked

router = APIRouter(include_in_schema=False)


def _own_form(request: Request, form_key: Annotated[str, Form()] = "") -> None:
    if not accounts.is_form_key(token_of(request), form_key):
        raise NotPermittedError("The form is from another session: load the page again.")


OwnForm = Depends(_own_form)


def _page(
    request: Request,
    session: Stored,
    user: User,
    template: str,
    *,
    status: int = HTTPStatus.OK,
    **values: Any,
) -> Response:
    service: Service = request.app.state.service
    return pages.render(
        service.templates,
        request,
        template,
        status=status,
        user=user,
        form_key=accounts.form_key(token_of(request)),
        unread=coursework.unread(session, user),
        dashboard_url=service.dashboard_url if allows(user, Action.MANAGE_PEOPLE) else "",
        **values,
    )


def _to(path: str) -> Response:
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


@router.get("/")
def home(request: Request, session: Stored, user: SignedIn) -> Response:
    latest = coursework.latest_of(session, user)
    courses = coursework.courses_of(session, user)
    return _page(request, session, user, "home.html", courses=courses, latest=latest)


@router.get("/courses/{course_id}")
def course(
    request: Request, session: Stored, user: SignedIn, course_id: Number, before: str = ""
) -> Response:
    found = coursework.course(session, user, course_id)
    sees_all = allows(user, Action.SEE_COURSE_SUBMISSIONS, course_id)
    listed = coursework.submissions_of(
        session, course_id=course_id, student_id=None if sees_all else user.id, before=before
    )
    findings = (
        coursework.findings_of(session, *(each.id for each in listed.submissions))
        if allows(user, Action.SEE_FINDINGS, course_id)
        else []
    )
    return _page(
        request,
        session,
        user,
        "course.html",
        course=found,
        submissions=listed.submissions,
        earlier=listed.earlier,
        sees_all=sees_all,
        findings=findings,
        retried_phases=RETRIED_PHASES,
        unknown_since=_unknown_since(request),
    )


@router.get("/courses/{course_id}/analytics")
def analytics(request: Request, session: Stored, user: SignedIn, course_id: Number) -> Response:
    found = coursework.course(session, user, course_id)
    require(user, Action.SEE_ANALYTICS, course_id=course_id)
    report = session.get(Report, course_id)
    charts = course_charts(report.content) if report else None
    return _page(
        request, session, user, "analytics.html", course=found, report=report, charts=charts
    )


@router.get("/courses/{course_id}/assignments/new")
def new_assignment(
    request: Request, session: Stored, user: SignedIn, course_id: Number, kind: Kind = Kind.TEXT
) -> Response:
    found = coursework.course(session, user, course_id)
    require(user, Action.WRITE_ASSIGNMENT, course_id=course_id)
    given = {"title": "", "prompt": "", "due_at": "", "rubric": examples.RUBRICS[kind]}
    return _page(
        request,
        session,
        user,
        "new_assignment.html",
        course=found,
        kind=kind,
        given=given,
        problem="",
    )


@router.post("/courses/{course_id}/assignments/new", dependencies=[OwnForm])
def write_assignment(
    request: Request,
    session: Stored,
    user: SignedIn,
    course_id: Number,
    kind: Annotated[Kind, Form()],
    title: Annotated[str, Form()] = "",
    prompt: Annotated[str, Form()] = "",
    rubric: Annotated[str, Form()] = "",
    due_at: Annotated[str, Form()] = "",
) -> Response:
    found = coursework.course(session, user, course_id)
    given = {"title": title, "prompt": prompt, "rubric": rubric, "due_at": due_at}
    try:
        written = coursework.write_assignment(session, user, found, kind=kind, **given)
    except ValueError as error:
        return _page(
            request,
            session,
            user,
            "new_assignment.html",
            status=HTTPStatus.BAD_REQUEST,
            course=found,
            kind=kind,
            given=given,
            problem=str(error),
        )
    return _to(f"/assignments/{written.id}")


@router.get("/assignments/{assignment_id}")
def assignment(
    request: Request, session: Stored, user: SignedIn, assignment_id: Number, before: str = ""
) -> Response:
    found = coursework.assignment(session, user, assignment_id)
    return _assignment_page(request, session, user, found, before=before)


def _assignment_page(
    request: Request,
    session: Stored,
    user: User,
    found: Assignment,
    *,
    status: int = HTTPStatus.OK,
    problem: str = "",
    text: str = "",
    before: str = "",
) -> Response:
    is_text = found.kind == Kind.TEXT
    sees_all = allows(user, Action.SEE_COURSE_SUBMISSIONS, found.course_id)
    listed = coursework.submissions_of(
        session,
        assignment_id=found.id,
        student_id=None if sees_all else user.id,
        before=before,
    )
    return _page(
        request,
        session,
        user,
        "assignment.html",
        status=status,
        assignment=found,
        criteria=rubric_from_json(found.rubric).criteria if is_text else (),
        cases=() if is_text else cases_from_json(found.rubric),
        submissions=listed.submissions,
        earlier=listed.earlier,
        sees_all=sees_all,
        retried_phases=RETRIED_PHASES,
        unknown_since=_unknown_since(request),
        key=secrets.token_hex(16),
        problem=problem,
        text=text,
    )


@router.post("/assignments/{assignment_id}", dependencies=[OwnForm])
def hand_in(
    request: Request,
    session: Stored,
    user: SignedIn,
    assignment_id: Number,
    key: Annotated[str, Form()] = "",
    text: Annotated[str, Form()] = "",
    file: Annotated[UploadFile | None, File()] = None,
) -> Response:
    found = coursework.assignment(session, user, assignment_id)
    require(user, Action.SUBMIT, course_id=found.course_id)
    try:
        name, content = "", text
        if file and file.filename:
            name = file.filename
            content = text_of_file(Kind(found.kind), name, file.file.read())
        submission = submit(session, user, found, key, content, name)
    except RefusedError as error:
        status = HTTPStatus.BAD_REQUEST
        return _assignment_page(
            request, session, user, found, status=status, problem=str(error), text=text
        )
    return _to(f"/submissions/{submission.id}")


@router.get("/submissions/{submission_id}")
@router.get("/submissions/{submission_id}/score")  # what a refused form leaves in the address
@router.get("/submissions/{submission_id}/retry")
def submission(request: Request, session: Stored, user: SignedIn, submission_id: str) -> Response:
    found = coursework.submission(session, user, submission_id)
    return _submission_page(request, session, user, found)


def _submission_page(
    request: Request,
    session: Stored,
    user: User,
    found: Submission,
    *,
    status: int = HTTPStatus.OK,
    problem: str = "",
) -> Response:
    course_id = found.assignment.course_id
    sees_findings = allows(user, Action.SEE_FINDINGS, course_id)
    return _page(
        request,
        session,
        user,
        "submission.html",
        status=status,
        submission=found,
        findings=coursework.findings_of(session, found.id) if sees_findings else [],
        sees_findings=sees_findings,
        refusals=refusals(session, [each.name for each in found.jobs if not each.phase]),
        retried_phases=RETRIED_PHASES,
        unknown_since=_unknown_since(request),
        problem=problem,
    )


def _unknown_since(request: Request) -> Any:
    service: Service = request.app.state.service
    return service.contact.unknown_since


@router.post("/submissions/{submission_id}/score", dependencies=[OwnForm])
def override(
    request: Request,
    session: Stored,
    user: SignedIn,
    submission_id: str,
    score: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    found = coursework.submission(session, user, submission_id)
    require(user, Action.OVERRIDE_GRADE, course_id=found.assignment.course_id)
    try:
        number = float(score) if score.strip() else -1
        coursework.override(session, user, found, number, reason)
    except ValueError as error:
        text = str(error) if "could not convert" not in str(error) else "A score is a number."
        return _submission_page(
            request, session, user, found, status=HTTPStatus.BAD_REQUEST, problem=text
        )
    return _to(f"/submissions/{found.id}")


@router.post("/submissions/{submission_id}/retry", dependencies=[OwnForm])
def retry_job(
    session: Stored,
    user: SignedIn,
    service: Its,
    submission_id: str,
    job: Annotated[str, Form()] = "",
    then: Annotated[str, Form()] = "",
) -> Response:
    found = coursework.submission(session, user, submission_id)
    retry(session, user, found, job, service.retry)
    if then == "course":
        return _to(f"/courses/{found.assignment.course_id}")
    if then == "assignment":
        return _to(f"/assignments/{found.assignment_id}")
    return _to(f"/submissions/{found.id}")


@router.get("/findings/{finding_id}")
def finding(request: Request, session: Stored, user: SignedIn, finding_id: Number) -> Response:
    found = coursework.finding(session, user, finding_id)
    later = [(a, b) for a, b, _, _ in found.passages]
    earlier = [(a, b) for _, _, a, b in found.passages]
    return _page(
        request,
        session,
        user,
        "finding.html",
        finding=found,
        later=marked(found.later.content, later),
        earlier=marked(found.earlier.content, earlier),
    )


@router.get("/notifications")
def notifications(request: Request, session: Stored, user: SignedIn) -> Response:
    listed = coursework.notifications(session, user)
    return _page(request, session, user, "notifications.html", notifications=listed)


@router.post("/notifications", dependencies=[OwnForm])
def mark_read(session: Stored, user: SignedIn) -> Response:
    coursework.mark_read(session, user)
    return _to("/notifications")


@router.get("/people")
def show_people(request: Request, session: Stored, user: SignedIn) -> Response:
    require(user, Action.MANAGE_PEOPLE)
    return _people_page(request, session, user)


def _people_page(
    request: Request, session: Stored, user: User, status: int = HTTPStatus.OK, problem: str = ""
) -> Response:
    return _page(
        request,
        session,
        user,
        "people.html",
        status=status,
        people=people.everybody(session),
        courses=coursework.courses_of(session, user),
        problem=problem,
    )


@router.post("/people", dependencies=[OwnForm])
def add_person(
    request: Request,
    session: Stored,
    user: SignedIn,
    email: Annotated[str, Form()] = "",
    name: Annotated[str, Form()] = "",
    role: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
) -> Response:
    require(user, Action.MANAGE_PEOPLE)
    try:
        people.add(session, email, name, role, password)
    except ValueError as error:
        return _people_page(request, session, user, HTTPStatus.BAD_REQUEST, str(error))
    return _to("/people")


@router.post("/courses", dependencies=[OwnForm])
def add_course(
    request: Request,
    session: Stored,
    user: SignedIn,
    code: Annotated[str, Form()] = "",
    title: Annotated[str, Form()] = "",
) -> Response:
    require(user, Action.MANAGE_PEOPLE)
    try:
        people.add_course(session, code, title)
    except ValueError as error:
        return _people_page(request, session, user, HTTPStatus.BAD_REQUEST, str(error))
    return _to("/people")


@router.post("/enrolments", dependencies=[OwnForm])
def enrol(
    request: Request,
    session: Stored,
    user: SignedIn,
    email: Annotated[str, Form()] = "",
    course_id: Annotated[int, Form(ge=0, le=LARGEST_NUMBER)] = 0,
) -> Response:
    require(user, Action.MANAGE_PEOPLE)
    try:
        people.enrol(session, email, course_id)
    except ValueError as error:
        return _people_page(request, session, user, HTTPStatus.BAD_REQUEST, str(error))
    return _to("/people")
