"""The dashboard's application: who may look, what is wrong, and the pages behind that."""

import logging
import re
import shlex
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bgjobs.cli.errors import API_ERRORS
from bgjobs.dashboard import api, pages, rendering
from bgjobs.dashboard.access import ForbiddenError, SignedOutError
from bgjobs.dashboard.context import Dashboard
from bgjobs.dashboard.filters import FilterError
from bgjobs.dashboard.rendering import HEADERS, Problem
from bgjobs.dashboard.session import SECONDS

logger = logging.getLogger(__name__)

_STATIC = Path(__file__).parent / "static"
_MAX_BODY_BYTES = 64 * 1024
_NO_SUCH_TABLE_OR_COLUMN = (1146, 1054)
_NO_RIGHT = (1044, 1045, 1142, 1143)

DATABASE_DOWN = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The database does not answer",
    "Jobs are not held up by it: they start, run and are recorded in the cluster, and the mirror "
    "catches up. This page comes back by itself.",
    "Until then, the cluster itself tells what runs:",
    "kubectl get bgjob -A",
)
CLUSTER_DOWN = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The API server does not answer",
    "It has to say who you are and whether you may look, so nothing is shown until it is back.",
)
NO_TABLES = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The database has no tables of this version",
    "Its schema has to be brought up to date; the operator then mirrors what the cluster has.",
    "On the machine or in the pod that reaches the database:",
    "python3 -m bgjobs.mirror",
)
DATABASE_REFUSES = Problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "The database does not let the dashboard in",
    "Its user or password is wrong there, or lacks the right to SELECT from the mirror's tables. "
    "Jobs are not held up by it.",
    "See what the database says:",
    "kubectl logs -n bgjobs-system deployment/bgjobs-dashboard --tail=50",
)
FAULT = Problem(
    HTTPStatus.INTERNAL_SERVER_ERROR,
    "Something is wrong in the dashboard",
    "That is a fault of its own; its log says which. Jobs are not affected.",
    "See the log:",
    "kubectl logs -n bgjobs-system deployment/bgjobs-dashboard --tail=50",
)


def create(dashboard: Dashboard) -> FastAPI:
    app = FastAPI(
        title="bgjobs",
        description="What the mirror knows, read-only. Send a Kubernetes token as a bearer token.",
        version="1",
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
    )
    app.state.dashboard = dashboard
    app.add_middleware(Guard)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    app.include_router(pages.router)
    app.include_router(api.router)
    _add_sign_in(app)
    _add_probes(app)
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

        request = Request(scope)
        if refused := _refused(request):
            await refused(scope, receive, send_with_headers)
        else:
            await self._app(scope, receive, send_with_headers)


def _refused(request: Request) -> Response | None:
    if request.method in ("GET", "HEAD"):
        return None
    origin = request.headers.get("Origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
        text = "Forms are taken from this dashboard's own pages only."
        return Response(text, HTTPStatus.FORBIDDEN, media_type="text/plain")
    length = request.headers.get("Content-Length", "")
    if not length.isdigit() or int(length) > _MAX_BODY_BYTES:
        return Response("The body is too large.", HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return None


def _add_sign_in(app: FastAPI) -> None:
    dashboard: Dashboard = app.state.dashboard

    @app.get("/sign-in", include_in_schema=False)
    @app.get("/sign-out", include_in_schema=False)
    def show() -> Response:
        """Of an address that stayed in the browser after a form was sent to it."""
        return RedirectResponse("/", HTTPStatus.SEE_OTHER)

    @app.post("/sign-in", include_in_schema=False)
    def sign_in(
        request: Request, token: Annotated[str, Form()] = "", next: Annotated[str, Form()] = "/"
    ) -> Response:
        token, target = token.strip(), _local(next)
        try:
            cookie = dashboard.sessions.seal(token)
        except ValueError as error:
            return _sign_in_page(request, HTTPStatus.BAD_REQUEST, target, str(error))
        try:
            dashboard.gate.admit(token)
        except SignedOutError:
            text = "The API server does not know this token: it has expired, or a part is missing."
            return _sign_in_page(request, HTTPStatus.UNAUTHORIZED, target, text)
        except ForbiddenError:
            pass  # the page that comes next says who they are, and what they lack
        response = RedirectResponse(target, HTTPStatus.SEE_OTHER)
        response.set_cookie(
            dashboard.sessions.cookie,
            cookie,
            max_age=SECONDS,
            httponly=True,
            samesite="strict",
            secure=request.url.scheme == "https",
        )
        return response

    @app.post("/sign-out", include_in_schema=False)
    def sign_out() -> Response:
        response = RedirectResponse("/", HTTPStatus.SEE_OTHER)
        response.delete_cookie(dashboard.sessions.cookie, httponly=True, samesite="strict")
        return response


def _local(target: str) -> str:
    """A page of this dashboard, whatever a form says: never another site."""
    is_local = target.startswith("/") and target[1:2] not in ("/", "\\")
    return target if is_local and target.isprintable() else "/"


def _sign_in_page(request: Request, status: int, target: str, problem: str = "") -> Response:
    dashboard: Dashboard = request.app.state.dashboard
    return rendering.render(
        dashboard.templates, request, "sign_in.html", status=status, next=target, problem=problem
    )


def _add_probes(app: FastAPI) -> None:
    @app.get("/healthz", include_in_schema=False)
    @app.get("/readyz", include_in_schema=False)
    async def probe() -> Response:
        """Without the database too, which has a page, and while all threads wait for it."""
        return Response("ok")


def _add_errors(app: FastAPI) -> None:
    dashboard: Dashboard = app.state.dashboard

    def show(request: Request, problem: Problem, user: str | None = None) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse({"error": problem.text or problem.title}, problem.status)
        return rendering.render(
            dashboard.templates,
            request,
            "problem.html",
            status=problem.status,
            user=user,
            has_session=dashboard.sessions.cookie in request.cookies,
            problem=problem,
        )

    def handle(kind: type[Exception], problem_of: Callable[[Any], Problem]) -> None:
        def handler(request: Request, error: Exception) -> Response:
            user = getattr(request.state, "user", None)
            return show(request, problem_of(error), user)

        app.add_exception_handler(kind, handler)

    def signed_out(request: Request, _: Exception) -> Response:
        if request.url.path.startswith("/api/"):
            return JSONResponse(
                {"error": "Send a Kubernetes token as a bearer token."},
                HTTPStatus.UNAUTHORIZED,
                {"WWW-Authenticate": "Bearer"},
            )
        query = f"?{request.url.query}" if request.url.query else ""
        target = request.url.path + query if request.method == "GET" else "/"
        has_ended = dashboard.sessions.cookie in request.cookies
        had = "Your session has ended: sign in again." if has_ended else ""
        response = _sign_in_page(request, HTTPStatus.UNAUTHORIZED, target, had)
        if request.method == "GET" and request.headers.get("Sec-Fetch-Site") == "cross-site":
            # By a link on another site: the cookie comes once the page loads itself again.
            response.headers["Refresh"] = "0"
        return response

    def database(error: SQLAlchemyError) -> Problem:
        logger.warning("the database cannot be read: %s", str(error).splitlines()[0])
        cause = getattr(error, "orig", None)
        code = cause.args[0] if cause is not None and cause.args else None
        if code in _NO_RIGHT:
            return DATABASE_REFUSES
        # SQLite has words only.
        is_old = code in _NO_SUCH_TABLE_OR_COLUMN or re.match("no such (table|column)", str(cause))
        return NO_TABLES if is_old else DATABASE_DOWN

    def cluster(error: Exception) -> Problem:
        logger.warning("the API server does not answer: %s", error)
        return CLUSTER_DOWN

    app.add_exception_handler(SignedOutError, signed_out)
    handle(ForbiddenError, _forbidden)
    handle(FilterError, lambda error: Problem(HTTPStatus.BAD_REQUEST, "No such filter", str(error)))
    handle(
        RequestValidationError,
        lambda _: Problem(HTTPStatus.BAD_REQUEST, "No such page", "The address is malformed."),
    )
    handle(HTTPException, _http_problem)
    handle(SQLAlchemyError, database)
    for kind in API_ERRORS:
        handle(kind, cluster)
    handle(Exception, lambda _: FAULT)


def _forbidden(error: ForbiddenError) -> Problem:
    return Problem(
        HTTPStatus.FORBIDDEN,
        "You may not look at this",
        f"You are signed in as {error.user}. The dashboard shows jobs of all namespaces, so only "
        "those may look who may get dashboards.bgjobs.dev.",
        "A cluster administrator grants that:",
        _grant(error.user),
    )


def _grant(user: str) -> str:
    account = user.removeprefix("system:serviceaccount:")
    whom = f"--serviceaccount={account}" if account != user else f"--user={user}"
    words = re.sub("[^a-z0-9]+", "-", account.lower()).strip("-")
    binding = f"bgjobs-admin-{words}".rstrip("-")
    create = ("kubectl", "create", "clusterrolebinding", binding)
    return shlex.join([*create, "--clusterrole=bgjobs-admin", whom])


def _http_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    if status is HTTPStatus.NOT_FOUND:
        own = error.detail if error.detail != status.phrase else "There is no such page."
        return Problem(status, "Nothing here", own)
    return Problem(status, status.phrase, error.detail)
