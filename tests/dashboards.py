"""The dashboard as a process of its own, under its own account, and those who sign in."""

import base64
import contextlib
import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from tests import operating
from tests import server as api
from tests.server import ROOT, Server

from bgjobs_local.processes import ENVIRONMENT

_NAMESPACE = "bgjobs-system"
_READY_WITHIN_S = 30
_LEEWAY_S = 60
"""How long the API server takes a token that has expired, in case clocks differ."""
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
        for document in _account(name, name)
    ]
    documents += _account("bgjobs-leaver", "bgjobs-looker")
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


def take_away(server: Server, account: str) -> None:
    """What the account may do."""
    path = f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/test-{account}"
    assert api.request(server, "DELETE", path).status == 200


def _account(name: str, role: str) -> list[Any]:
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
                "name": role,
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


def expiring(server: Server, token: str, seconds: float) -> str:
    """The same token, signed again so that it counts no longer than so many seconds.

    The API server gives none for less than ten minutes.
    """
    header, payload, _ = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(payload + "=="))
    now = int(time.time())
    claims |= {"exp": int(now + seconds - _LEEWAY_S), "iat": now - 3600, "nbf": now - 3600}
    signed = f"{header}.{_base64url(json.dumps(claims).encode())}"
    pem = (server.control_plane.ca.parent / "service-accounts.key").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    parts = decode_dss_signature(key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
    return f"{signed}.{_base64url(b''.join(part.to_bytes(32, 'big') for part in parts))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


@contextlib.contextmanager
def running(
    server: Server, database_url: str, directory: Path, *, api_url: str = "", **settings: str
) -> Iterator[Dashboard]:
    """Serves on loopback until the block ends.

    `api_url` is a way to the API server other than the direct one, `settings` are further
    BGJOBS_* variables.
    """
    kubeconfig, log, port = directory / "kubeconfig", directory / "log", operating.free_port()
    kubeconfig.touch(mode=0o600)
    account = token(server, "bgjobs-dashboard")
    operating.write_kubeconfig(server, kubeconfig, api_url or server.url, account)
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
