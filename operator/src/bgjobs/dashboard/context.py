"""What every request works with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

import sqlalchemy as sa
from fastapi import Depends, Request
from jinja2 import Environment
from kubernetes.client import ApiClient

from bgjobs.dashboard.access import Gate, Viewer
from bgjobs.dashboard.pages import environment
from bgjobs.dashboard.session import Sessions

_BEARER = "bearer "


@dataclass(frozen=True)
class Dashboard:
    engine: sa.Engine
    client: ApiClient
    sessions: Sessions
    gate: Gate
    operator_namespace: str
    has_actions: bool
    templates: Environment = field(default_factory=environment)


def _dashboard(request: Request) -> Dashboard:
    found: Dashboard = request.app.state.dashboard
    return found


def _viewer(request: Request) -> Viewer:
    """Whoever may look. Raises SignedOutError or ForbiddenError."""
    dashboard = _dashboard(request)
    header = request.headers.get("Authorization", "")
    if header.lower().startswith(_BEARER):
        token: str | None = header[len(_BEARER) :].strip()
    else:
        token = dashboard.sessions.token(request.cookies)
    viewer = dashboard.gate.admit(token)
    request.state.user = viewer.user
    return viewer


def _connection(
    dashboard: Annotated[Dashboard, Depends(_dashboard)],
    _: Annotated[Viewer, Depends(_viewer)],
) -> Iterator[sa.Connection]:
    with dashboard.engine.connect() as connection:
        yield connection


Its = Annotated[Dashboard, Depends(_dashboard)]
Admitted = Annotated[Viewer, Depends(_viewer)]
Connected = Annotated[sa.Connection, Depends(_connection)]
"""Of somebody who may look: nothing is read for others."""
