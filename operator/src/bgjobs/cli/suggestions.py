"""What the shell suggests, from the cluster; nothing where that cannot be asked."""

from collections.abc import Callable, Iterable
from itertools import islice

import typer

from bgjobs.cli import cluster as api
from bgjobs.cli.bulk import field_selector
from bgjobs.cli.cluster import Cluster
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.resource import Phase

_MOST_READ = 1000

Suggestions = list[tuple[str, str]]
Suggest = Callable[[typer.Context, str], Suggestions]


def jobs(phases: frozenset[Phase] = frozenset(Phase)) -> Suggest:
    """Names of the jobs that are in one of these phases."""

    def read(cluster: Cluster, _: typer.Context) -> Iterable[tuple[str, str]]:
        selector = field_selector(phases, None)
        for job in islice(
            api.background_jobs(cluster, cluster.namespace, field_selector=selector), _MOST_READ
        ):
            yield job["metadata"]["name"], f"{job['status']['phase']}, {job['spec']['class']}"

    return _suggest(read)


def _classes(cluster: Cluster, _: typer.Context) -> Iterable[tuple[str, str]]:
    allowed = (api.config_map(cluster, ALLOWLIST) or {}).get("data") or {}
    return [(class_, " ".join(methods.split())) for class_, methods in allowed.items()]


def _methods(cluster: Cluster, context: typer.Context) -> Iterable[tuple[str, str]]:
    """Of all classes: which one was typed before is not known here."""
    for class_, methods in _classes(cluster, context):
        for method in methods.replace(",", " ").split():
            yield method, f"of {class_}"


def _runtimes(cluster: Cluster, context: typer.Context) -> Iterable[tuple[str, str]]:
    own = (api.config_map(cluster, RUNTIMES) or {}).get("data") or {}
    return [*((key, "has settings of its own") for key in own), *_classes(cluster, context)]


def _namespaces(cluster: Cluster, _: typer.Context) -> Iterable[tuple[str, str]]:
    return [(name, "") for name in api.namespaces(cluster)]


def _suggest(read: Callable[[Cluster, typer.Context], Iterable[tuple[str, str]]]) -> Suggest:
    def suggest(context: typer.Context, incomplete: str) -> Suggestions:
        given = context.params
        try:
            with api.connected(
                given.get("kubeconfig"), given.get("context"), given.get("namespace")
            ) as cluster:
                found = dict(read(cluster, context))
        # Whatever it is, the line that is being typed is no place to tell.
        except Exception:
            return []
        return [(name, what) for name, what in found.items() if name.startswith(incomplete)]

    return suggest


classes, methods, runtimes, namespaces = map(_suggest, (_classes, _methods, _runtimes, _namespaces))


def contexts(context: typer.Context, incomplete: str) -> Suggestions:
    try:
        found, _ = api.contexts(context.params.get("kubeconfig"))
    except Exception:
        return []
    return [(name, "") for name in found if name.startswith(incomplete)]


def priorities(incomplete: str) -> list[str]:
    return [name for name in ("High", "Medium", "Low") if name.startswith(incomplete)]
