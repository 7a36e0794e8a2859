"""Asks the same of many jobs: of those that were counted, and of none that has moved on."""

import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from kubernetes.client import ApiException

from bgjobs.cli import cluster as api
from bgjobs.cli.changes import Change, is_done, moved_on, operations, what_holds
from bgjobs.cli.cluster import Cluster
from bgjobs.cli.errors import CommandError
from bgjobs.domain.error_group import error_group_of
from bgjobs.domain.resource import Phase, parse

_SECONDS_BETWEEN_CHANGES = 0.05
_REFUSED_OF_ONE = (403, 404, 409, 422)
"""It has changed, no right is held in its namespace, or an admission policy protects it."""

Object = dict[str, Any]


class Selection(NamedTuple):
    """Which jobs: of a namespace, or of all of them (None)."""

    namespace: str | None
    class_: str | None
    label_selector: str | None
    all_failed: bool
    error_group: str | None = None


class Changed(NamedTuple):
    job: Object
    done: str


class Outcome(NamedTuple):
    """The job as it is then; or why it was skipped, or is refused while others may not be."""

    job: Object
    skipped: str | None = None
    refused: ApiException | None = None


def change_one(cluster: Cluster, change: Change, name: str) -> Changed:
    """Raises CommandError where it makes no sense, and what the API server refuses."""
    namespace = cluster.namespace
    job = api.background_job(cluster, namespace, name)
    phase = job["status"]["phase"]
    if not change.is_refused_elsewhere and phase not in change.phases:
        raise CommandError(f"BackgroundJob {name} is {phase}: there is nothing to {change.verb}.")
    if is_done(change, job):
        return Changed(job, f"{change.done} already")
    try:
        changed = api.patch_background_job(cluster, namespace, name, operations(change, job))
    except ApiException as error:
        now = api.background_job_or_none(cluster, namespace, name)
        if now and now["metadata"]["generation"] == job["metadata"]["generation"]:
            raise
        why = moved_on(change, job, now) or "changed"
        raise CommandError(f"BackgroundJob {name} {why} meanwhile: look again.") from error
    held = what_holds(change, changed, cluster.flags)
    return Changed(changed, f"{change.done}, but {held}" if held else change.done)


def select(cluster: Cluster, change: Change, selection: Selection) -> list[Object]:
    """The jobs as they are now to which the change could be made."""
    phases = change.failed if selection.all_failed else change.phases
    jobs = api.background_jobs(
        cluster,
        selection.namespace,
        selection.label_selector or "",
        field_selector(phases, selection.class_),
    )
    group = selection.error_group
    return [
        job
        for job in jobs
        if not is_done(change, job) and (group is None or _error_group_of(job) == group)
    ]


def _error_group_of(job: Object) -> str | None:
    try:
        return error_group_of(parse(job))
    except ValueError:
        return None  # an older schema let it in


def field_selector(phases: frozenset[Phase], class_: str | None) -> str:
    """Selects by what is not wanted: a selector has no `or`."""
    others = sorted(frozenset(Phase) - phases)
    selected = [f"status.phase!={phase}" for phase in others]
    return ",".join([*selected, *([f"spec.class={class_}"] if class_ else [])])


def carry_out(
    cluster: Cluster, change: Change, jobs: Sequence[Object], *, in_phase: bool
) -> Iterator[Outcome]:
    """Makes the change job by job, at a bounded rate. Raises what concerns all of them."""
    for job in jobs:
        yield _carry_out(cluster, change, job, in_phase=in_phase)
        time.sleep(_SECONDS_BETWEEN_CHANGES)


def _carry_out(cluster: Cluster, change: Change, job: Object, *, in_phase: bool) -> Outcome:
    namespace, name = job["metadata"]["namespace"], job["metadata"]["name"]
    patch = operations(change, job, in_phase=in_phase)
    try:
        return Outcome(api.patch_background_job(cluster, namespace, name, patch))
    except ApiException as error:
        if error.status not in _REFUSED_OF_ONE:
            raise
        now = api.background_job_or_none(cluster, namespace, name)
        if why := moved_on(change, job, now):
            return Outcome(job, why)
        if in_phase and now and now["status"]["phase"] != job["status"]["phase"]:
            return Outcome(job, f"is {now['status']['phase']} by now")
        return Outcome(job, refused=error)
