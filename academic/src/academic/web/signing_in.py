"""Signing in and out, and the probes."""

from http import HTTPStatus
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse

from academic.service import accounts
from academic.service.accounts import SESSION_SECONDS, TooManyFailuresError, WrongPasswordError
from academic.web import pages
from academic.web.context import COOKIE, Its, Service, Stored

router = APIRouter(include_in_schema=False)

WRONG = "This address and this password do not belong together."
TOO_MANY = "Too many wrong passwords for this address: wait a minute, then try again."


@router.get("/sign-in")
def show(request: Request) -> Response:
    return page(request, HTTPStatus.OK, "/")


@router.post("/sign-in")
def sign_in(
    request: Request,
    service: Its,
    session: Stored,
    email: Annotated[str, Form()] = "",
    password: Annotated[str, Form()] = "",
    next: Annotated[str, Form()] = "/",
) -> Response:
    target = _local(next)
    try:
        token = accounts.sign_in(session, service.throttle, email, password)
    except WrongPasswordError:
        return page(request, HTTPStatus.UNAUTHORIZED, target, WRONG, email)
    except TooManyFailuresError:
        return page(request, HTTPStatus.TOO_MANY_REQUESTS, target, TOO_MANY, email)
    session.commit()
    response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
    response.set_cookie(
        COOKIE,
        token,
        max_age=SESSION_SECONDS,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


@router.post("/sign-out")
def sign_out(request: Request, session: Stored, form_key: Annotated[str, Form()] = "") -> Response:
    response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
    token = request.cookies.get(COOKIE, "")
    if accounts.is_form_key(token, form_key):
        accounts.sign_out(session, token)
        session.commit()
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return response


@router.get("/sign-out")
def signed_out() -> Response:
    """Of an address that stayed in the browser after the form was sent to it."""
    return RedirectResponse("/", HTTPStatus.SEE_OTHER)


@router.get("/healthz")
@router.get("/readyz")
def probe() -> Response:
    """It answers without the database too: it has a page for that."""
    return Response("ok")


def page(
    request: Request, status: int, target: str, problem: str = "", email: str = ""
) -> Response:
    service: Service = request.app.state.service
    return pages.render(
        service.templates,
        request,
        "sign_in.html",
        status=status,
        next=target,
        problem=problem,
        email=email,
    )


def _local(target: str) -> str:
    """A page of this service, whatever a form says: never another site."""
    parts = urlsplit(target)
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\")
    return target if is_local and not parts.netloc and target.isprintable() else "/"
