"""What every request works with."""

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import Depends, HTTPException, Request, Response
from jinja2 import Environment
from kubernetes.client import ApiClient

from bgjobs.cli.cluster import Cluster
from bgjobs.cli.explain import Lease
from bgjobs.dashboard import cluster, queries, rendering, view
from bgjobs.dashboard.access import Gate, Viewer
from bgjobs.dashboard.cluster import as_viewer
from bgjobs.dashboard.filters import utc_now
from bgjobs.dashboard.session import Sessions
from bgjobs.domain.configuration import Configuration

_AT_ONCE = 12
"""Requests with a connection: no more than the 15 that the engine has."""
_BEARER = "bearer "
_UID = re.compile(r"[0-9a-f-]{36}", re.ASCII)


@dataclass(frozen=True)
class Dashboard:
    engine: sa.Engine
    client: ApiClient
    sessions: Sessions
    gate: Gate
    operator_namespace: str
    has_actions: bool
    templates: Environment = field(default_factory=rendering.environment)


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


def _leadership(
    dashboard: Annotated[Dashboard, Depends(_dashboard)],
    _: Annotated[Viewer, Depends(_viewer)],
) -> Lease | None:
    return cluster.leadership(dashboard.client, dashboard.operator_namespace)


def _configuration(
    dashboard: Annotated[Dashboard, Depends(_dashboard)],
    _: Annotated[Viewer, Depends(_viewer)],
) -> Configuration:
    return cluster.configuration(dashboard.client, dashboard.operator_namespace)


Its = Annotated[Dashboard, Depends(_dashboard)]
Admitted = Annotated[Viewer, Depends(_viewer)]
# What is asked of the cluster: before Visited, or a connection would wait for the answer.
Leadership = Annotated[Lease | None, Depends(_leadership)]
Configured = Annotated[Configuration, Depends(_configuration)]
# A request runs in one thread after the other, and keeps its connection between them. Without the
# limit those that have a connection would wait for a thread, and every thread for a connection.
Connected = Annotated[
    sa.Connection, Depends(_connection, scope="function", max_concurrency=_AT_ONCE)
]
"""Of somebody who may look: nothing is read for others."""


@dataclass(frozen=True)
class Visit:
    """A request for a page, by somebody who may look."""

    request: Request
    its: Its
    viewer: Admitted
    connection: Connected

    def page(self, template: str, **values: Any) -> Response:
        """The page, with what every page has."""
        return rendering.render(
            self.its.templates,
            self.request,
            template,
            user=self.viewer.user,
            form_key=self.its.sessions.form_key(self.request.cookies),
            fresh=view.freshness(queries.meta(self.connection), utc_now()),
            **values,
        )

    def cluster(self, namespace: str) -> AbstractContextManager[Cluster]:
        """What the viewer may see and change, whatever the dashboard itself may."""
        its = self.its
        return as_viewer(its.client, self.viewer.token, namespace, its.operator_namespace)

    def job(self, uid: str) -> Mapping[str, Any]:
        """Raises HTTPException where the mirror has none of that uid."""
        row = queries.job(self.connection, uid) if _UID.fullmatch(uid) else None
        if row is None:
            raise HTTPException(
                HTTPStatus.NOT_FOUND,
                "There is no such job here: it never was, or its history has been deleted.",
            )
        return row


Visited = Annotated[Visit, Depends()]
