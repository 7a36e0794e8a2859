"""How the dashboard answers browsers, without a cluster."""

import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi import Request
from fastapi.testclient import TestClient
from jinja2 import ChoiceLoader, DictLoader
from kubernetes.client import ApiClient, ApiException

from bgjobs.dashboard import rendering, words
from bgjobs.dashboard.access import Gate
from bgjobs.dashboard.app import create
from bgjobs.dashboard.cluster import Reviewed, as_viewer, configuration
from bgjobs.dashboard.context import Dashboard
from bgjobs.dashboard.session import Sessions
from bgjobs.dashboard.view import Freshness
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.mirror.schema import METADATA

_NOW = datetime(2026, 11, 28, 12)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty mirror."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/mirror.db")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


class _ApiServer(ApiClient):
    """Has empty objects alone; keeps how long was waited for each, beside how many connections."""

    def __init__(self, engine: sa.Engine) -> None:
        super().__init__()
        self._engine = engine
        self.asked: list[tuple[Any, int]] = []

    def call_api(self, *_: Any, _request_timeout: Any = None, **__: Any) -> Any:
        assert isinstance(self._engine.pool, sa.QueuePool)
        self.asked.append((_request_timeout, self._engine.pool.checkedout()))
        return SimpleNamespace(response=SimpleNamespace(status=200, headers={}, data=b"{}"))


@pytest.fixture
def api_server(engine: sa.Engine) -> _ApiServer:
    return _ApiServer(engine)


@pytest.fixture
def browser(engine: sa.Engine, api_server: _ApiServer) -> TestClient:
    dashboard = Dashboard(
        engine=engine,
        client=api_server,
        sessions=Sessions("k" * 32),
        gate=Gate(lambda _: Reviewed("ann", may_look=True), time.monotonic),
        operator_namespace="bgjobs-system",
        has_actions=True,
    )
    return TestClient(create(dashboard), follow_redirects=False)


def _etag(
    monkeypatch: pytest.MonkeyPatch,
    due: datetime,
    *,
    as_of: datetime = _NOW,
    now: datetime = _NOW,
) -> str:
    """Of a page that counts the time until something is due."""
    monkeypatch.setattr(rendering, "utc_now", lambda: now)
    page = """{% extends "base.html" %}{% block main %}
        {{ ui.away(due, now, "due {} ago", "due in {}") }}{% endblock %}"""
    templates = rendering.environment()
    assert templates.loader is not None
    templates.loader = ChoiceLoader([DictLoader({"page.html": page}), templates.loader])
    request = Request({"type": "http", "path": "/", "headers": []})
    fresh = Freshness(as_of, 0, None)
    answer = rendering.render(templates, request, "page.html", user="ann", fresh=fresh, due=due)
    assert answer.headers["X-As-Of"] == words.iso(as_of)
    return answer.headers["ETag"]


def test_a_page_is_sent_again_for_another_time_that_it_counts_from_not_for_its_counting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    due, second = _NOW + timedelta(minutes=5), timedelta(seconds=1)
    first = _etag(monkeypatch, due)
    assert _etag(monkeypatch, due, as_of=_NOW + second, now=_NOW + second) == first
    assert _etag(monkeypatch, due + timedelta(minutes=1)) != first


class _Forbidding(ApiClient):
    def call_api(self, *_: Any, **__: Any) -> Any:
        raise ApiException(status=403)


def test_configmaps_that_may_not_be_read_are_not_in_order() -> None:
    problems = configuration(_Forbidding(), "bgjobs-system").problems
    assert problems.keys() == {ALLOWLIST, RUNTIMES}
    assert all("may not read it" in problem for problem in problems.values())


@pytest.mark.parametrize("file", ["app.js", "app.css"])
def test_a_browser_asks_whether_scripts_and_styles_are_those_of_its_page(
    browser: TestClient, file: str
) -> None:
    first = browser.get(f"/static/{file}")
    assert "no-cache" in first.headers["Cache-Control"]
    again = browser.get(f"/static/{file}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, "no-cache" in again.headers["Cache-Control"]) == (304, True)


@pytest.mark.parametrize("path", ["/sign-in", "/sign-out"])
def test_the_address_of_a_form_leads_to_a_page(browser: TestClient, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


@pytest.mark.parametrize(
    ("site", "refresh"),
    [
        pytest.param("cross-site", "0", id="the browser keeps the cookie back"),
        pytest.param("same-origin", None, id="once it has loaded itself again"),
        pytest.param("none", None, id="an address that was entered"),
    ],
)
def test_a_link_on_another_site_leads_in_whoever_is_signed_in(
    browser: TestClient, site: str, refresh: str | None
) -> None:
    answer = browser.get("/jobs?name=shown", headers={"Sec-Fetch-Site": site})
    assert (answer.status_code, answer.headers.get("Refresh")) == (401, refresh)


@pytest.mark.parametrize(("path", "count"), [("/", 3), ("/health", 3), ("/configuration", 2)])
def test_no_page_keeps_a_connection_while_it_waits_for_the_cluster_nor_waits_long(
    browser: TestClient, api_server: _ApiServer, path: str, count: int
) -> None:
    assert browser.get(path, headers={"Authorization": "Bearer token"}).status_code == 200
    assert api_server.asked == [((3, 5), 0)] * count


def test_what_is_asked_as_the_viewer_is_not_waited_for_longer(api_server: _ApiServer) -> None:
    with as_viewer(api_server, "token", "shop", "bgjobs-system") as seen:
        assert seen.timeout == (3, 5)
