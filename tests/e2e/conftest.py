"""bgjobs deployed as a user deploys it, in a cluster of the tests' own."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bgjobs_local import cluster, deploy, images
from bgjobs_local.kubectl import Kubectl, of_local_cluster

_STATE = Path(__file__).parents[2] / ".local" / "e2e"


@pytest.fixture(scope="session")
def kubectl(request: pytest.FixtureRequest) -> Iterator[Kubectl]:
    """kubectl for a real cluster with real pods, in which bgjobs is installed."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        archives = images.build()
        try:
            cluster.up(_STATE)
            cluster.load(_STATE, archives)
            kubectl = of_local_cluster(_STATE)
            deploy.install(kubectl)
            yield kubectl
        finally:
            cluster.down(_STATE)
