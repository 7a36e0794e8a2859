"""Starts, cancels and retries a job, where that is switched on, by the viewer's own token."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Form, HTTPException, Response
from fastapi.responses import RedirectResponse

from bgjobs.cli.changes import CANCEL, RETRY, START, Change, because, operations
from bgjobs.cli.cluster import background_job, patch_background_job
from bgjobs.cli.errors import API_ERRORS, CommandError
from bgjobs.dashboard import cluster, view
from bgjobs.dashboard.context import Visit, Visited

router = APIRouter()

CHANGES: Mapping[str, Change] = {each.verb: each for each in (START, CANCEL, RETRY)}
_MAX_REASON_CHARACTERS = 256


class _Button(NamedTuple):
    verb: str
    refusal: str
    """Why it cannot be pressed, if so."""


def buttons(visit: Visit, row: Mapping[str, Any]) -> list[_Button]:
    """What can be done with a job as it is now."""
    verbs = [verb for verb, change in CHANGES.items() if row["phase"] in change.phases]
    if row["deleted_at"] or not verbs:
        return []
    may = cluster.may_patch(visit.its.client, visit.viewer.token, row["namespace"])
    forbidden = f"You may not patch BackgroundJobs in namespace {row['namespace']}."
    return [_Button(verb, "" if may else forbidden) for verb in verbs]


def _change(visit: Visit, verb: str) -> Change:
    if not visit.its.has_actions:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            "This dashboard is read-only: use kubectl bgjob, or set BGJOBS_ACTIONS=true for it.",
        )
    if verb not in CHANGES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return CHANGES[verb]


@router.get("/jobs/{uid}/do/{verb}")
def confirm(visit: Visited, uid: str, verb: str) -> Response:
    asked = _Asked(verb, _change(visit, verb), visit.job(uid))
    return _confirm_page(visit, asked)


@router.post("/jobs/{uid}/do/{verb}")
def act(
    visit: Visited,
    uid: str,
    verb: str,
    form_key: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    change = _change(visit, verb)
    if not visit.its.sessions.is_form_key(visit.request.cookies, form_key):
        raise HTTPException(
            HTTPStatus.FORBIDDEN, "This form is not of your session: load the page again."
        )
    row = visit.job(uid)
    reason = reason.strip()[:_MAX_REASON_CHARACTERS]
    if change is CANCEL and not reason:
        asked = _Asked(verb, change, row, problem="Say why: the reason is kept with the job.")
        return _confirm_page(visit, asked, HTTPStatus.BAD_REQUEST)
    problem = _do(visit, row, because(change, reason) if change is CANCEL else change)
    if problem:
        asked = _Asked(verb, change, row, reason, problem)
        return _confirm_page(visit, asked, HTTPStatus.CONFLICT)
    return RedirectResponse(f"/jobs/{uid}?done={verb}", HTTPStatus.SEE_OTHER)


class _Asked(NamedTuple):
    verb: str
    change: Change
    row: Mapping[str, Any]
    reason: str = ""
    problem: str = ""
    """Why it was refused, if it was."""


def _confirm_page(visit: Visit, asked: _Asked, status: HTTPStatus = HTTPStatus.OK) -> Response:
    line = view.line(asked.row)
    return visit.page("confirm.html", status=status, line=line, **asked._asdict())


def _do(visit: Visit, row: Mapping[str, Any], change: Change) -> str:
    """Asks for the change; returns why it was refused, if so."""
    namespace, name = row["namespace"], row["name"]
    try:
        with visit.cluster(namespace) as seen:
            job = background_job(seen, namespace, name)
            if job["metadata"]["uid"] != row["uid"]:
                return "Another job has this name by now."
            patch_background_job(seen, namespace, name, operations(change, job))
    except (CommandError, *API_ERRORS) as error:
        return cluster.in_words(visit.its.client, error)
    return ""
