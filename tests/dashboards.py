"""The dashboard as a process of its own, under its own account, and those who sign in."""

import contextlib
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests import operating
from tests import server as api
from tests.server import ROOT, Server

from bgjobs_local.processes import ENVIRONMENT

_NAMESPACE = "bgjobs-system"
_READY_WITHIN_S = 30
DATABASE_USER = "dashboard"
_KEY = "a key that only these tests know, 32 characters or more"


@dataclass(frozen=True)
class Dashboard:
    url: str
    log: Path


def install(server: Server) -> None:
    """The account of the dashboard, the roles, and people who may look or not."""
    files = (
        f"--filename={ROOT}/deploy/base/{name}.yaml" for name in ("rbac-dashboard", "rbac-users")
    )
    done = api.kubectl(server, "apply", "--server-side", "--force-conflicts", *files)
    assert done.returncode == 0, done.stderr
    documents = [
        document
        for name in ("bgjobs-admin", "bgjobs-viewer", "bgjobs-submitter", "bgjobs-looker")
        for document in _account(name)
    ]
    # Somebody who may look at the dashboard, and change nothing.
    rule = {"apiGroups": ["bgjobs.dev"], "resources": ["dashboards"], "verbs": ["get"]}
    documents.append(
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRole",
            "metadata": {"name": "bgjobs-looker"},
            "rules": [rule],
        }
    )
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    done = api.kubectl(server, *apply, standard_input=yaml.safe_dump_all(documents))
    assert done.returncode == 0, done.stderr


def _account(name: str) -> list[Any]:
    subject = {"kind": "ServiceAccount", "name": name, "namespace": _NAMESPACE}
    return [
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": _NAMESPACE},
        },
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": f"test-{name}"},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": name,
            },
            "subjects": [subject],
        },
    ]


def token(server: Server, account: str, seconds: int = 3600) -> str:
    """As `kubectl create token` gives it."""
    path = f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts/{account}/token"
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": seconds},
    }
    answer = api.request(server, "POST", path, request)
    assert answer.status == 201, answer.message
    return str(answer.body["status"]["token"])


@contextlib.contextmanager
def running(
    server: Server, database_url: str, directory: Path, **settings: str
) -> Iterator[Dashboard]:
    """Serves on loopback until the block ends. `settings` are further BGJOBS_* variables."""
    kubeconfig, log, port = directory / "kubeconfig", directory / "log", operating.free_port()
    kubeconfig.touch(mode=0o600)
    operating.write_kubeconfig(server, kubeconfig, server.url, token(server, "bgjobs-dashboard"))
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "bgjobs.dashboard"],
            env={
                **ENVIRONMENT,
                "KUBECONFIG": str(kubeconfig),
                "BGJOBS_DATABASE_URL": database_url,
                "BGJOBS_SESSION_KEY": _KEY,
                "BGJOBS_HTTP_HOST": "127.0.0.1",
                "BGJOBS_HTTP_PORT": str(port),
                **settings,
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    dashboard = Dashboard(f"http://127.0.0.1:{port}", log)
    try:
        api.wait_until(
            lambda: process.poll() is not None or _answers(dashboard),
            lambda: f"the dashboard does not answer:\n{log.read_text()}",
            _READY_WITHIN_S,
        )
        assert process.poll() is None, f"the dashboard has ended:\n{log.read_text()}"
        yield dashboard
    except AssertionError as error:
        error.add_note(f"The end of the dashboard's log:\n{log.read_text()[-6000:]}")
        raise
    finally:
        process.kill()
        process.wait()


def _answers(dashboard: Dashboard) -> bool:
    try:
        with urllib.request.urlopen(f"{dashboard.url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
