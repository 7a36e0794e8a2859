"""Fixtures that several kinds of tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page
from tests import browsing
from tests import mariadb as mariadb_server

from bgjobs_local.controlplane import ControlPlane, control_plane, ensure_binaries


@pytest.fixture(scope="session", name="control_plane")
def _control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A real API server with its controllers and scheduler; kwok pretends to run the pods.

    Each *.yaml of tests/stages is a kwok Stage beside kwok's own ones. The operator's writes are
    in the audit log.
    """
    # The first build takes minutes: let its progress be seen.
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        ensure_binaries()
    here = Path(__file__).parent
    stages, audit_policy = sorted((here / "stages").glob("*.yaml")), here / "audit-policy.yaml"
    directory = tmp_path_factory.mktemp("control-plane")
    with control_plane(directory, stages, audit_policy) as running:
        yield running


@pytest.fixture(scope="session")
def mariadb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a MariaDB server."""
    with mariadb_server.running(tmp_path_factory.mktemp("mariadb")) as server:
        yield server.port


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing.browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with browsing.page_in(browser) as page:
        yield page
