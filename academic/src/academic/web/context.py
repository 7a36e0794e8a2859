"""What every request works with."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Path, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from jinja2 import Environment
from sqlalchemy.orm import Session

from academic.service import accounts
from academic.service.accounts import Throttle
from academic.service.tracking import Contact
from academic.store.schema import User
from academic.web.pages import environment

COOKIE = "academic_session"
LARGEST_NUMBER = 2**31 - 1
"""Of a course, an assignment or a finding: what the database takes."""
_AT_ONCE = 12
"""Requests with a session: fewer than the 15 connections of the engine, which others use, too."""
_BEARER = "bearer "


class SignedOutError(Exception):
    """Nobody has signed in, or the session has ended."""


@dataclass(frozen=True)
class Service:
    engine: sa.Engine
    contact: Contact
    retry: Callable[[str], None]
    """Runs the BackgroundJob of that name again, with the service's own rights."""
    throttle: Throttle
    dashboard_url: str
    templates: Environment = field(default_factory=environment)


def _service(request: Request) -> Service:
    found: Service = request.app.state.service
    return found


def _session(service: Annotated[Service, Depends(_service)]) -> Iterator[Session]:
    with Session(service.engine) as session:
        yield session


# A request runs in one thread after the other, and keeps its connection between them. Without the
# limit those that have a connection would wait for a thread, and every thread for a connection.
Stored = Annotated[Session, Depends(_session, scope="function", max_concurrency=_AT_ONCE)]


def token_of(request: Request) -> str:
    """Of a browser's cookie, or a program's Authorization header."""
    header = request.headers.get("Authorization", "")
    if header.lower().startswith(_BEARER):
        return header[len(_BEARER) :].strip()
    return request.cookies.get(COOKIE, "")


def _user(
    request: Request,
    session: Stored,
    # For the description of the API.
    _: Annotated[HTTPAuthorizationCredentials | None, Security(HTTPBearer(auto_error=False))],
) -> User:
    """Whoever has signed in. Raises SignedOutError."""
    user = accounts.user_of(session, token_of(request))
    if user is None:
        raise SignedOutError
    request.state.user = user
    return user


Number = Annotated[int, Path(ge=0, le=LARGEST_NUMBER)]
Its = Annotated[Service, Depends(_service)]
SignedIn = Annotated[User, Depends(_user)]
