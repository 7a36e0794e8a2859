"""The service's application: its frame, what is wrong, and the pages behind that."""

import logging
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlsplit

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from academic.service.coursework import NotFoundError
from academic.service.permissions import NotPermittedError
from academic.service.submitting import RefusedError
from academic.web import api, pages, routes, signing_in
from academic.web.context import COOKIE, Service, SignedOutError
from academic.web.pages import HEADERS, Problem
from bgjobs.client import ClientError

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_MAX_BODY_BYTES = 1024 * 1024
DATABASE_DOWN = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The database does not answer",
    "Nothing is lost of what was handed in before. This page comes back by itself; hand in again "
    "what was not confirmed.",
)
FAULT = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Something is wrong in the service",
    "That is a fault of its own, and its log says which. Try again in a while.",
)


def create(service: Service) -> FastAPI:
    app = FastAPI(
        title="academic",
        description=(
            "Courses, assignments, submissions and grades. Sign in by POST /api/v1/sessions and "
            "send its token as a bearer token."
        ),
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.service = service
    app.add_middleware(Guard)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.include_router(signing_in.router)
    app.include_router(routes.router)
    app.include_router(api.router)
    _add_errors(app)
    return app


class Guard:
    """Headers on every answer, and no large bodies nor requests that another site makes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name.lower() for name, _ in message["headers"]}
                message["headers"] += [
                    (name.lower().encode(), value.encode())
                    for name, value in HEADERS.items()
                    if name.lower().encode() not in given
                ]
            await send(message)

        if refused := _refused(Request(scope)):
            await refused(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _refused(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("Host"):
        text = "Forms are taken from this service's own pages only."
        return Response(text, HTTPStatus.FORBIDDEN, media_type="text/plain")
    # A body of unknown length is none that browsers send.
    length = request.headers.get("Content-Length", "0")
    is_unknown = "Transfer-Encoding" in request.headers or not length.isdigit()
    if is_unknown or int(length) > _MAX_BODY_BYTES:
        text = "That is too large: at most 1 MiB can be sent at once."
        return Response(text, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, media_type="text/plain")
    return None


def _add_errors(app: FastAPI) -> None:
    def show(request: Request, problem: Problem) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": problem.text}, problem.status)
        service: Service = request.app.state.service
        return pages.render(
            service.templates, request, "problem.html", status=problem.status, problem=problem
        )

    @app.exception_handler(SignedOutError)
    def signed_out(request: Request, _: SignedOutError) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse(
                {"error": "POST /api/v1/sessions gives a token: send it as a bearer token."},
                HTTPStatus.UNAUTHORIZED,
                {"WWW-Authenticate": "Bearer"},
            )
        query = f"?{request.url.query}" if request.url.query else ""
        target = request.url.path + query if request.method == "GET" else "/"
        had = "Your session has ended: sign in again." if COOKIE in request.cookies else ""
        return signing_in.page(request, HTTPStatus.UNAUTHORIZED, target, had)

    @app.exception_handler(NotPermittedError)
    def not_permitted(request: Request, error: NotPermittedError) -> Response:
        return show(request, Problem(HTTPStatus.FORBIDDEN, "That is not yours to do", str(error)))

    @app.exception_handler(RefusedError)
    def refused(request: Request, error: RefusedError) -> Response:
        return show(request, Problem(HTTPStatus.BAD_REQUEST, "That cannot be taken", str(error)))

    @app.exception_handler(NotFoundError)
    def not_found(request: Request, error: NotFoundError) -> Response:
        return show(request, Problem(HTTPStatus.NOT_FOUND, "Nothing here", str(error)))

    @app.exception_handler(ClientError)
    def cluster(request: Request, error: ClientError) -> Response:
        logger.warning("the cluster did not do what was asked: %s", error)
        title = "The cluster did not do it"
        return show(request, Problem(HTTPStatus.BAD_GATEWAY, title, str(error)))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        where = ", ".join(".".join(map(str, each["loc"][1:])) for each in error.errors())
        text = f"The request is malformed: {where[:200]}."
        return show(request, Problem(HTTPStatus.BAD_REQUEST, "That cannot be read", text))

    @app.exception_handler(HTTPException)
    def http_problem(request: Request, error: HTTPException) -> Response:
        status = HTTPStatus(error.status_code)
        if status is HTTPStatus.NOT_FOUND:
            own = error.detail if error.detail != status.phrase else "There is no such page."
            return show(request, Problem(status, "Nothing here", own))
        return show(request, Problem(status, status.phrase, error.detail))

    @app.exception_handler(SQLAlchemyError)
    def database(request: Request, error: SQLAlchemyError) -> Response:
        logger.warning("the database cannot be used: %s", str(error).splitlines()[0])
        return show(request, DATABASE_DOWN)

    @app.exception_handler(Exception)
    def fault(request: Request, _: Exception) -> Response:
        return show(request, FAULT)
