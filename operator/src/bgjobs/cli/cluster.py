"""What the plugin asks of the API server, by the official client."""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration

from bgjobs.cli.errors import API_ERRORS, CommandError, sentence, status_object
from bgjobs.kube import labels, paths
from bgjobs.kube.clock import ServerClock

OPERATOR_NAMESPACE = "bgjobs-system"
_PAGE_SIZE = 500
_TIMEOUT_SECONDS = (5, 30)
"""To connect, and between two bytes of an answer."""

Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster as one user sees it, and the namespace that commands are about."""

    client: ApiClient
    namespace: str
    operator_namespace: str
    flags: tuple[str, ...] = ()
    """--context and --kubeconfig as they were given, to be repeated in what is shown."""
    clock: ServerClock = field(default_factory=ServerClock)


@contextmanager
def connected(
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None = None,
    operator_namespace: str = OPERATOR_NAMESPACE,
) -> Iterator[Cluster]:
    """The cluster that kubectl would talk to.

    Raises CommandError where the kubeconfig cannot be used, and for what the API
    server refuses or does not answer within the block.
    """
    settings = Configuration()
    settings.retries = False
    default = _configure(settings, kubeconfig, context)
    given = {"--context": context, "--kubeconfig": kubeconfig}
    cluster = Cluster(
        client=ApiClient(settings),
        namespace=namespace or default,
        operator_namespace=operator_namespace,
        flags=tuple(word for name, value in given.items() if value for word in (name, value)),
    )
    try:
        yield cluster
    except API_ERRORS as error:
        raise CommandError(sentence(error, settings.host)) from error


def _configure(settings: Configuration, kubeconfig: str | None, context: str | None) -> str:
    """Fills the settings in; returns the namespace to use where the command names none."""
    try:
        if _in_pod() and not (kubeconfig or context):
            config.load_incluster_config(client_configuration=settings)
            return _SERVICE_ACCOUNT_NAMESPACE.read_text()
        config.load_kube_config(kubeconfig, context, client_configuration=settings)
        contexts, active = config.list_kube_config_contexts(kubeconfig)
        chosen = next((c for c in contexts if c["name"] == context), active)
        return chosen["context"].get("namespace") or "default"
    # Whatever a file may hold: the client has no error of its own for most of it.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        raise CommandError(f"The kubeconfig cannot be used: {why}") from error


_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _in_pod() -> bool:
    location = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    has_kubeconfig = any(Path(path).exists() for path in location.split(os.pathsep))
    return not has_kubeconfig and _SERVICE_ACCOUNT_NAMESPACE.exists()


def background_job(cluster: Cluster, namespace: str, name: str) -> Object:
    """Raises CommandError where there is none of that name."""
    found = _get_or_none(cluster, paths.background_job(namespace, _quoted(name)))
    if found is None:
        raise CommandError(f"There is no BackgroundJob {name} in the namespace {namespace}.")
    return found


def background_jobs(
    cluster: Cluster, namespace: str | None, label_selector: str = "", field_selector: str = ""
) -> Iterator[Object]:
    """Every BackgroundJob of a namespace, or of all of them (None), read page by page."""
    path = paths.background_jobs(namespace) if namespace else paths.ALL_BACKGROUND_JOBS
    query = {
        "limit": str(_PAGE_SIZE),
        "labelSelector": label_selector,
        "fieldSelector": field_selector,
    }
    while True:
        page = _request(cluster, "GET", path, query)
        yield from page["items"]
        if not (token := page["metadata"].get("continue")):
            return
        query["continue"] = token


def child_job(cluster: Cluster, namespace: str, name: str) -> Object | None:
    return _get_or_none(cluster, paths.job(namespace, name))


def pods(cluster: Cluster, namespace: str, uid: str) -> list[Object]:
    """The pods of every attempt of a BackgroundJob."""
    query = {"labelSelector": f"{labels.UID}={uid}"}
    return list(_request(cluster, "GET", paths.pods(namespace), query)["items"])


def lease(cluster: Cluster, name: str) -> Object | None:
    namespace = cluster.operator_namespace
    return _get_or_none(
        cluster, f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{name}"
    )


def config_map(cluster: Cluster, name: str) -> Object | None:
    return _get_or_none(cluster, f"{paths.config_maps(cluster.operator_namespace)}/{name}")


def now(cluster: Cluster) -> datetime:
    """The API server's time, as of its latest answer."""
    return cluster.clock.now()


def _get_or_none(cluster: Cluster, path: str) -> Object | None:
    try:
        return _request(cluster, "GET", path)
    except ApiException as error:
        status = status_object(error)
        if error.status == 404 and status and status.get("details", {}).get("name"):
            return None
        raise


def _request(
    cluster: Cluster,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
) -> Object:
    """JSON in, JSON out: the client's own models would take a second to import."""
    request = cluster.client.param_serialize(
        method,
        path,
        query_params=[(name, value) for name, value in (query or {}).items() if value],
        header_params={"Accept": "application/json", "Content-Type": content_type},
        body=body,
        auth_settings=["BearerToken"],
    )
    response = cluster.client.call_api(*request, _request_timeout=_TIMEOUT_SECONDS)
    payload = response.read()
    cluster.clock.observe(response.getheader("Date"))
    if not 200 <= response.status < 300:
        text = payload.decode(errors="replace")
        raise ApiException(status=response.status, reason=response.reason, body=text)
    answer: Object = json.loads(payload)
    return answer


def _quoted(name: str) -> str:
    """A name as somebody typed it, as one segment of a path."""
    return quote(name, safe="")
