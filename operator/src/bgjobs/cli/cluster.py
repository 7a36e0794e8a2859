"""What the plugin asks of the API server, by the official client."""

import json
import logging
import math
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml
from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION, KubeConfigMerger
from urllib3 import Retry

from bgjobs.cli.errors import API_ERRORS, CommandError, is_refusal, sentence, status_object
from bgjobs.domain.configuration import NAMESPACE
from bgjobs.domain.resource import BackgroundJob, parse
from bgjobs.kube import depth, labels, paths
from bgjobs.kube.clock import ServerClock
from bgjobs.kube.manifests import CONTAINER

_PAGE_SIZE = 500
_CONNECT_SECONDS = 5
_ANSWER_SECONDS = 30
_SECONDS_BETWEEN_BOOKMARKS = 90
"""The API server sends one every minute, so a watch that is silent for longer is broken."""
_ONLY_WHEN_TOLD_TO = Retry(5, connect=0, read=0, redirect=0, other=0, allowed_methods=None)
"""A busy API server says when to ask again (Retry-After)."""
_FAILING_FOR_SECONDS = 60.0
_PAUSE_SECONDS = 1.0

Object = dict[str, Any]


@dataclass(frozen=True)
class Cluster:
    """A cluster as one user sees it, and the namespace that commands are about."""

    client: ApiClient
    namespace: str
    operator_namespace: str
    flags: tuple[str, ...] = ()
    """--context and --kubeconfig as they were given, to be repeated in what is shown."""
    timeout: tuple[int, int | None] = (_CONNECT_SECONDS, _ANSWER_SECONDS)
    """Seconds to connect within, and the longest silence before an answer and within it."""
    clock: ServerClock = field(default_factory=ServerClock)


@contextmanager
def connected(
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None = None,
    operator_namespace: str = NAMESPACE,
) -> Iterator[Cluster]:
    """The cluster that kubectl would talk to.

    Raises CommandError where the kubeconfig cannot be used, and for what the API
    server refuses or does not answer within the block.
    """
    settings = Configuration()
    settings.retries = _ONLY_WHEN_TOLD_TO
    default = _configure(settings, kubeconfig, context)
    given = {"--context": context, "--kubeconfig": kubeconfig}
    cluster = Cluster(
        client=ApiClient(settings),
        namespace=namespace or default,
        operator_namespace=operator_namespace,
        flags=tuple(word for name, value in given.items() if value for word in (name, value)),
    )
    with errors_told(cluster):
        yield cluster


@contextmanager
def errors_told(cluster: Cluster) -> Iterator[None]:
    """Raises what the API server refuses or does not answer within the block as CommandError."""
    try:
        yield
    except API_ERRORS as error:
        raise CommandError(what_is_wrong(cluster, error)) from error


def what_is_wrong(cluster: Cluster, error: Exception) -> str:
    """One sentence about what the API server refuses or does not answer."""
    return sentence(error, cluster.client.configuration.host)


def _configure(settings: Configuration, kubeconfig: str | None, context: str | None) -> str:
    """Fills the settings in; returns the namespace to use where the command names none."""
    try:
        if _in_pod() and not (kubeconfig or context):
            config.load_incluster_config(client_configuration=settings)
            return _SERVICE_ACCOUNT_NAMESPACE.read_text()
        chosen, content = _context(kubeconfig, context)
        with _errors_raised():
            config.load_kube_config(kubeconfig, chosen, client_configuration=settings)
        return content.get("namespace") or "default"
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        why = " ".join(str(error).split())
        raise CommandError(f"The kubeconfig cannot be used: {why}") from error
    # Whatever else a file may hold: the client has no error of its own for it.
    except (TypeError, AttributeError, LookupError, ValueError) as error:
        raise CommandError("The kubeconfig cannot be used: it is malformed.") from error


def _context(kubeconfig: str | None, name: str | None) -> tuple[str, Object]:
    """The context of that name, else the current one. Raises CommandError where there is none."""
    found, current = contexts(kubeconfig)
    chosen = name or current
    if chosen in found:
        return chosen, found[chosen]
    problem = f"no context {chosen}" if chosen else "no current-context"
    choice = f"choose one by --context: {', '.join(found)}" if found else "it has none at all"
    raise CommandError(f"The kubeconfig has {problem}: {choice}.")


def contexts(kubeconfig: str | None) -> tuple[dict[str, Object], str]:
    """Each context by its name, and the current one's name. Raises CommandError."""
    location = kubeconfig or KUBE_CONFIG_DEFAULT_LOCATION
    merged = KubeConfigMerger(location).config
    if merged is None:
        raise CommandError(
            f"There is no kubeconfig at {location}: name one by --kubeconfig or in KUBECONFIG."
        )
    found = {each.value["name"]: each.value["context"] for each in merged["contexts"]}
    return found, merged.safe_get("current-context") or ""


@contextmanager
def _errors_raised() -> Iterator[None]:
    """The client merely logs that a command for credentials failed, and goes on as nobody."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)
    if said:
        raise config.ConfigException(said[0])


_SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def _in_pod() -> bool:
    location = os.environ.get("KUBECONFIG") or str(Path("~/.kube/config").expanduser())
    has_kubeconfig = any(Path(path).exists() for path in location.split(os.pathsep))
    return not has_kubeconfig and _SERVICE_ACCOUNT_NAMESPACE.exists()


def background_job(cluster: Cluster, namespace: str, name: str) -> Object:
    """Raises CommandError where there is none of that name."""
    found = background_job_or_none(cluster, namespace, name)
    if found is None:
        raise _no_such_job(namespace, name)
    return found


def _no_such_job(namespace: str, name: str) -> CommandError:
    return CommandError(f"There is no BackgroundJob {name} in the namespace {namespace}.")


def background_job_or_none(cluster: Cluster, namespace: str, name: str) -> Object | None:
    return _get_or_none(cluster, _path(namespace, name))


def parsed(raw: Object) -> BackgroundJob:
    """Raises CommandError where today's schema would refuse it."""
    try:
        return parse(raw)
    except ValueError as error:
        name = raw["metadata"]["name"]
        raise CommandError(f"BackgroundJob {name} breaks the schema of today: {error}.") from error


def create_background_job(cluster: Cluster, manifest: Object, *, dry_run: bool) -> Object:
    path = paths.background_jobs(_quoted(cluster.namespace))
    return _request(cluster, "POST", path, {"dryRun": "All"} if dry_run else None, manifest)


def patch_background_job(
    cluster: Cluster, namespace: str, name: str, operations: list[Object]
) -> Object:
    """Applies a JSON patch (RFC 6902)."""
    path = _path(namespace, name)
    return _request(cluster, "PATCH", path, None, operations, "application/json-patch+json")


def watch_background_job(
    cluster: Cluster, namespace: str, name: str, deadline: float
) -> Iterator[Object | None]:
    """The job as it is, then whenever it changes until the deadline; None once it is gone.

    Raises CommandError where there is none at first. Goes on when a watch breaks, and while the
    API server is away for a minute.
    """
    first, version = _listed(cluster, namespace, name)
    if first is None:
        raise _no_such_job(namespace, name)
    job: Object | None = first
    failing_since: float | None = None
    while job is not None and job["metadata"]["uid"] == first["metadata"]["uid"]:
        yield job
        if (left := deadline - time.monotonic()) <= 0:
            return
        try:
            yield from _changes(cluster, namespace, name, version, left)
            job, version = _listed(cluster, namespace, name)
            failing_since = None
        except API_ERRORS as error:
            failing_since = failing_since or time.monotonic()
            if is_refusal(error) or time.monotonic() - failing_since > _FAILING_FOR_SECONDS:
                raise
            time.sleep(_PAUSE_SECONDS)
    yield None


def _listed(cluster: Cluster, namespace: str, name: str) -> tuple[Object | None, str]:
    """The job, and the resourceVersion to watch it from: its own may be too old by far."""
    query = {"fieldSelector": _by_name(name)}
    found = _request(cluster, "GET", paths.background_jobs(_quoted(namespace)), query)
    return next(iter(found["items"]), None), found["metadata"]["resourceVersion"]


def _by_name(name: str) -> str:
    """The field selector of a name as somebody typed it."""
    return "metadata.name=" + re.sub(r"([\\,=])", r"\\\1", name)


def _changes(
    cluster: Cluster, namespace: str, name: str, version: str, within_seconds: float
) -> Iterator[Object]:
    """What happens to a job until its watch ends or tells that it is gone."""
    limit = {"timeoutSeconds": str(math.ceil(within_seconds))} if within_seconds < math.inf else {}
    query = {
        **limit,
        "watch": "true",
        "fieldSelector": _by_name(name),
        "resourceVersion": version,
        "allowWatchBookmarks": "true",
    }
    path = paths.background_jobs(namespace)
    with _stream(cluster, path, query, _SECONDS_BETWEEN_BOOKMARKS) as response:
        for line in response:
            event = _loads(line)
            if event["type"] == "BOOKMARK":
                continue
            if event["type"] == "ERROR":
                time.sleep(_PAUSE_SECONDS)
            if event["type"] in ("DELETED", "ERROR"):
                return
            yield event["object"]


def log(
    cluster: Cluster, namespace: str, pod: str, *, follow: bool
) -> AbstractContextManager[Iterable[bytes]]:
    """The log of a child Job's container, in pieces."""
    query = {"container": CONTAINER, "follow": "true" if follow else ""}
    return _stream(cluster, paths.log(namespace, pod), query, None)


def background_jobs(
    cluster: Cluster, namespace: str | None, label_selector: str = "", field_selector: str = ""
) -> Iterator[Object]:
    """Every BackgroundJob of a namespace, or of all of them (None), read page by page."""
    path = paths.background_jobs(_quoted(namespace)) if namespace else paths.ALL_BACKGROUND_JOBS
    return _every(cluster, path, label_selector, field_selector)


def child_jobs(cluster: Cluster, namespace: str | None) -> Iterator[Object]:
    """Those of a namespace, or of all of them (None), that have not succeeded."""
    path = paths.jobs(_quoted(namespace)) if namespace else paths.ALL_JOBS
    return _every(cluster, path, labels.UID, "status.successful=0")


def _every(
    cluster: Cluster, path: str, label_selector: str, field_selector: str
) -> Iterator[Object]:
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
    return _get_or_none(cluster, paths.lease(cluster.operator_namespace, name))


def config_map(cluster: Cluster, name: str) -> Object | None:
    return _get_or_none(cluster, f"{paths.config_maps(cluster.operator_namespace)}/{name}")


def namespaces(cluster: Cluster) -> list[str]:
    listed = _request(cluster, "GET", "/api/v1/namespaces")["items"]
    return [each["metadata"]["name"] for each in listed]


def replace_config_map(cluster: Cluster, config_map: Object) -> Object:
    """Fails where it was changed since it was read."""
    path = f"{paths.config_maps(cluster.operator_namespace)}/{config_map['metadata']['name']}"
    return _request(cluster, "PUT", path, None, config_map)


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
    response = _send(cluster, method, path, query, body, content_type)
    try:
        answer: Object = _loads(response.data)
    except ValueError as error:
        host = cluster.client.configuration.host
        raise CommandError(f"What answers at {host} is no API server: {error}") from error
    return answer


def _loads(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except RecursionError:
        return json.loads(depth.cut(payload))


@contextmanager
def _stream(
    cluster: Cluster, path: str, query: Mapping[str, str], silent_seconds: int | None
) -> Iterator[Any]:
    """The answer as it comes in; it breaks where nothing comes for so long."""
    timeout = (_CONNECT_SECONDS, silent_seconds)
    response = _send(cluster, "GET", path, query, timeout=timeout)
    try:
        yield response
    finally:
        response.close()


def _send(
    cluster: Cluster,
    method: str,
    path: str,
    query: Mapping[str, str] | None = None,
    body: Any = None,
    content_type: str = "application/json",
    timeout: tuple[int, int | None] | None = None,
) -> Any:
    """The answer, not read yet. Raises ApiException where the API server refuses."""
    request = cluster.client.param_serialize(
        method,
        path,
        query_params=[(name, value) for name, value in (query or {}).items() if value],
        header_params={"Accept": "application/json, */*", "Content-Type": content_type},
        body=body,
        auth_settings=["BearerToken"],
    )
    response = cluster.client.call_api(
        *request, _request_timeout=timeout or cluster.timeout
    ).response
    cluster.clock.observe(response.headers.get("Date"))
    if not 200 <= response.status < 300:
        text = response.data.decode(errors="replace")
        raise ApiException(status=response.status, reason=response.reason, body=text)
    return response


def _path(namespace: str, name: str) -> str:
    return paths.background_job(_quoted(namespace), _quoted(name))


def _quoted(name: str) -> str:
    """A name as somebody typed it, as one segment of a path."""
    return quote(name, safe="")
