"""Installs bgjobs in a cluster from deploy/overlays/local."""

from pathlib import Path

from bgjobs_local import images
from bgjobs_local.database import database_secrets
from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl

_ROOT = Path(__file__).parents[4]
_OVERLAY = _ROOT / "deploy" / "overlays" / "local"
_NAMESPACE = "bgjobs-system"
_WITHIN = "--timeout=120s"


def install(kubectl: Kubectl, image_prefix: str) -> None:
    """Applies the overlay and waits until all of it runs.

    `image_prefix` takes the place of localhost/bgjobs/ where the images lie in
    a registry. Run again, it upgrades: what runs is restarted on the newest images.
    """
    manifests = kubectl("kustomize", str(_OVERLAY)).replace(images.PREFIX, image_prefix)
    _ensure_namespace(kubectl)
    _ensure_secrets(kubectl)
    # A Job's template cannot be changed.
    kubectl("delete", "job/bgjobs-migrate", "-n", _NAMESPACE, "--ignore-not-found")
    print("Applying deploy/overlays/local", flush=True)
    was_there = kubectl("get", "deployment", "-n", _NAMESPACE, "-o", "name")
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
    if was_there:
        kubectl("rollout", "restart", "deployment", "-n", _NAMESPACE)
    print("Waiting for the database, its schema, the operator and the dashboard", flush=True)
    try:
        kubectl("rollout", "status", "statefulset/mariadb", "-n", _NAMESPACE, _WITHIN)
        kubectl("wait", "job/bgjobs-migrate", "-n", _NAMESPACE, "--for=condition=Complete", _WITHIN)
        for name in ("bgjobs-operator", "bgjobs-dashboard"):
            kubectl("rollout", "status", f"deployment/{name}", "-n", _NAMESPACE, _WITHIN)
    except LocalError as error:
        pods = kubectl("get", "pods", "-n", _NAMESPACE)
        log = kubectl("logs", "deployment/bgjobs-operator", "-n", _NAMESPACE, "--tail=20")
        raise LocalError(
            f"bgjobs did not come up: {error}\n{pods}\nThe operator's log ends with\n{log}"
        ) from error


def _ensure_namespace(kubectl: Kubectl) -> None:
    manifest = (_ROOT / "deploy" / "base" / "namespace.yaml").read_text()
    kubectl("apply", "--server-side", "-f", "-", stdin=manifest)


def _ensure_secrets(kubectl: Kubectl) -> None:
    """The passwords are made once and stay."""
    found = kubectl("get", "secrets", "-n", _NAMESPACE, "-o", "name").split()
    if not {"secret/bgjobs-database", "secret/bgjobs-dashboard"} <= {*found}:
        kubectl("apply", "-f", "-", stdin=database_secrets())
        # A server that runs already has other passwords.
        kubectl("delete", "pod/mariadb-0", "-n", _NAMESPACE, "--ignore-not-found")
