"""Which cluster, and as whom: the pod's service account, or a kubeconfig."""

import os
from dataclasses import dataclass
from pathlib import Path

import yaml
from kubernetes import config

from bgjobs.client.errors import NoClusterError
from bgjobs.client.operations import Request
from bgjobs.kube import paths

NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 5.0
WATCH_GRACE_SECONDS = 5.0
"""What a watch may take longer than it was asked to, before it counts as broken."""

CONFIGURATION_ERRORS = (
    config.ConfigException,
    yaml.YAMLError,
    OSError,
    # Whatever else a file may hold: the official client has no error of its own for it.
    TypeError,
    AttributeError,
    LookupError,
    ValueError,
)


@dataclass(frozen=True)
class Where:
    """What the application says of its cluster; None is what its surroundings say."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None

    @property
    def file(self) -> str | None:
        """The official client looks at KUBECONFIG only when it is imported."""
        return self.kubeconfig or os.environ.get("KUBECONFIG")

    @property
    def is_own_pods(self) -> bool:
        """Whether it is the cluster that this pod runs in."""
        return "KUBERNETES_SERVICE_HOST" in os.environ and not (self.file or self.context)


def namespace(where: Where) -> str:
    """The namespace of jobs that name none. Raises CONFIGURATION_ERRORS."""
    if where.namespace:
        return where.namespace
    if where.is_own_pods:
        return NAMESPACE_FILE.read_text()
    contexts, current = config.list_kube_config_contexts(where.file)
    chosen = {each["name"]: each for each in contexts}[where.context or current["name"]]
    return str(chosen["context"].get("namespace") or "default")


def no_cluster(error: Exception) -> NoClusterError:
    why = " ".join(str(error).split()) or type(error).__name__
    return NoClusterError(
        f"There is no cluster to talk to: {why}. Outside a pod, KUBECONFIG or ~/.kube/config names"
        " one."
    )


def path(request: Request, default_namespace: str) -> str:
    where = request.namespace or default_namespace
    if request.name is None:
        return paths.background_jobs(where)
    return paths.background_job(where, request.name)


def headers(request: Request) -> dict[str, str]:
    is_patch = request.method == "PATCH"
    content = "application/merge-patch+json" if is_patch else "application/json"
    return {"Accept": "application/json", "Content-Type": content, "User-Agent": "bgjobs-client"}


def answer_seconds(request: Request) -> float:
    """How long the answer may keep silent."""
    if request.watch_seconds is not None:
        return request.watch_seconds + WATCH_GRACE_SECONDS
    return min(request.within_seconds or ANSWER_SECONDS, ANSWER_SECONDS)


def in_words(error: BaseException) -> str:
    """The cause, without what the libraries wrap around it."""
    text = str(getattr(error, "strerror", None) or error)
    cause = text.rpartition("] " if "[SSL: " in text else ": ")[2]
    return " ".join(cause.split()) or type(error).__name__
