"""How the dashboard answers browsers, without a cluster."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from kubernetes.client import ApiClient

from bgjobs.dashboard.access import Gate
from bgjobs.dashboard.app import create
from bgjobs.dashboard.cluster import Reviewed
from bgjobs.dashboard.context import Dashboard
from bgjobs.dashboard.session import Sessions
from bgjobs.mirror.schema import METADATA


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    """An empty mirror."""
    engine = sa.create_engine(f"sqlite:///{tmp_path}/mirror.db")
    METADATA.create_all(engine)
    yield engine
    engine.dispose()


@pytest.fixture
def browser(engine: sa.Engine) -> TestClient:
    dashboard = Dashboard(
        engine=engine,
        client=ApiClient(),
        sessions=Sessions("k" * 32),
        gate=Gate(lambda _: Reviewed("ann", may_look=True), time.monotonic),
        operator_namespace="bgjobs-system",
        has_actions=True,
    )
    return TestClient(create(dashboard), follow_redirects=False)


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
