"""Installs bgjobs in a cluster, and the academic service beside it, from their local overlays."""

from collections.abc import Mapping
from pathlib import Path

from bgjobs_local import images
from bgjobs_local.database import database_secrets
from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl, node_address

_ROOT = Path(__file__).parents[4]
_OVERLAYS = (Path("deploy", "overlays", "local"), Path("academic", "deploy", "local"))
_NAMESPACES = (
    ("bgjobs-system", Path("deploy", "base", "namespace.yaml")),
    ("academic", Path("academic", "deploy", "base", "namespace.yaml")),
)
_STEPS = (
    ("bgjobs-system", "statefulset/mariadb"),
    ("bgjobs-system", "job/bgjobs-migrate"),
    ("bgjobs-system", "deployment/bgjobs-operator"),
    ("bgjobs-system", "deployment/bgjobs-dashboard"),
    ("academic", "deployment/postbox"),
    ("academic", "job/academic-migrate"),
    ("academic", "deployment/academic"),
)
_SECRETS = {
    "bgjobs-system": {"secret/bgjobs-database", "secret/bgjobs-dashboard"},
    "academic": {"secret/academic"},
}
_WITHIN = "--timeout=120s"
_LOG_LINES = 20


def install(kubectl: Kubectl, delivered: Mapping[str, str]) -> None:
    """Applies the overlays and waits until all of it runs.

    `delivered`: under which names the cluster finds the images. Run again, it upgrades:
    what runs is restarted on the newest images.
    """
    for _, manifest in _NAMESPACES:
        kubectl("apply", "--server-side", "-f", str(_ROOT / manifest))
    _ensure_secrets(kubectl)
    for namespace, what in _STEPS:
        if what.startswith("job/"):
            # A Job's template cannot be changed.
            kubectl("delete", what, "-n", namespace, "--ignore-not-found")
    names = [namespace for namespace, _ in _NAMESPACES]
    upgraded = [each for each in names if kubectl("get", "deployment", "-n", each, "-o", "name")]
    address = node_address(kubectl)
    for overlay in _OVERLAYS:
        print(f"Applying {overlay}", flush=True)
        manifests = kubectl("kustomize", str(_ROOT / overlay))
        manifests = manifests.replace("//NODE:", f"//{address}:")
        for name, image in delivered.items():
            manifests = manifests.replace(f"{images.PREFIX}{name}:{images.TAG}", image)
        kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=manifests)
    for namespace in upgraded:
        kubectl("rollout", "restart", "deployment", "-n", namespace)
    print("Waiting for the database, its schemas, the operator, the dashboard and the academic")
    print("service", flush=True)
    for namespace, what in _STEPS:
        _wait(kubectl, namespace, what)


def _wait(kubectl: Kubectl, namespace: str, what: str) -> None:
    try:
        if what.startswith("job/"):
            kubectl("wait", what, "-n", namespace, "--for=condition=Complete", _WITHIN)
        else:
            kubectl("rollout", "status", what, "-n", namespace, _WITHIN)
    except LocalError as error:
        pods = kubectl("get", "pods", "-n", namespace)
        raise LocalError(
            f"{what} did not come up: {error}\n{pods}\nIts log ends with\n"
            f"{_log(kubectl, namespace, what)}"
        ) from error


def _log(kubectl: Kubectl, namespace: str, what: str) -> str:
    try:
        return kubectl("logs", what, "-n", namespace, f"--tail={_LOG_LINES}")
    except LocalError as error:
        return str(error)


def _ensure_secrets(kubectl: Kubectl) -> None:
    """Passwords stay, unless one is missing: then all are new, and so is the database."""
    for namespace, names in _SECRETS.items():
        if not names <= {*kubectl("get", "secrets", "-n", namespace, "-o", "name").split()}:
            kubectl("apply", "-f", "-", stdin=database_secrets())
            # A server that runs already has other passwords.
            kubectl("delete", "pod/mariadb-0", "-n", "bgjobs-system", "--ignore-not-found")
            return
