"""What the tests against a real API server share."""

import hashlib

import pytest
from tests import server as api
from tests.server import Jobs, Server

from bgjobs_local.controlplane import ControlPlane


@pytest.fixture(scope="session")
def installed(control_plane: ControlPlane) -> Server:
    """The API server with the CRD and the admission policies in force."""
    server = api.connect(control_plane)
    api.install(server)
    return server


@pytest.fixture(scope="module")
def jobs(installed: Server, request: pytest.FixtureRequest) -> Jobs:
    """A namespace of the test module's own."""
    namespace = request.module.__name__.rpartition(".")[2].replace("_", "-")
    answer = api.request(
        installed,
        "POST",
        "/api/v1/namespaces",
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}},
    )
    assert answer.status == 201, answer.message
    return Jobs(installed, namespace)


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name for a BackgroundJob that no other test of the module uses."""
    digest = hashlib.sha256(request.node.nodeid.encode()).hexdigest()
    return f"job-{digest[:12]}"
