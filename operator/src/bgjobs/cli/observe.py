"""Reads what explain needs to know of a job; what may not be read is left out, and said."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, TypeVar

from kubernetes.client import ApiException

from bgjobs.cli import cluster as api
from bgjobs.cli.cluster import Cluster
from bgjobs.cli.explain import Facts, Lease
from bgjobs.domain.allowlist import parse_allowlist
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES, Configuration
from bgjobs.domain.errors import ConfigurationError
from bgjobs.domain.names import child_job_name
from bgjobs.domain.observation import ChildJob
from bgjobs.domain.queue_report import ANNOTATION, LEASE, QueueReport, decode
from bgjobs.domain.resource import TERMINAL_PHASES, BackgroundJob, parse
from bgjobs.domain.runtimes import parse_runtimes
from bgjobs.kube import reading

_UNFINISHED = ",".join(f"status.phase!={phase}" for phase in sorted(TERMINAL_PHASES))

Value = TypeVar("Value")


def observe(cluster: Cluster, name: str) -> Facts:
    """Raises CommandError where there is no such BackgroundJob."""
    job = api.parsed(api.background_job(cluster, cluster.namespace, name))
    unreadable = Unreadable()
    facts: dict[str, Any] = {}
    if not job.status.finished:
        facts |= _attempt(cluster, job, unreadable)
        raw = unreadable.ask(
            f"whether the operator runs (Lease {LEASE})", lambda: api.lease(cluster, LEASE) or {}
        )
        facts["lease"] = None if raw is None else read_lease(raw)
    if not job.status.finished and "child" not in facts:
        facts |= _others(cluster, unreadable)
    return Facts(
        job=job,
        operator_namespace=cluster.operator_namespace,
        flags=cluster.flags,
        configuration=read_configuration(cluster, unreadable),
        now=cluster.clock.now(),
        unreadable=tuple(unreadable.sentences),
        **facts,
    )


class Unreadable:
    """Collects what the reader may not read."""

    def __init__(self) -> None:
        self.sentences: list[str] = []

    def ask(self, what: str, read: Callable[[], Value]) -> Value | None:
        """What `read` returns; None, and a sentence about `what`, where it is forbidden."""
        try:
            return read()
        except ApiException as error:
            if error.status != 403:
                raise
            self.sentences.append(f"You may not see {what}.")
            return None


def _attempt(cluster: Cluster, job: BackgroundJob, unreadable: Unreadable) -> dict[str, Any]:
    """The child Job of the current attempt and its pod, if there are any."""
    metadata, status = job.metadata, job.status
    raw = unreadable.ask(
        f"Jobs in namespace {metadata.namespace}",
        lambda: api.child_job(cluster, metadata.namespace, _child_name(job)) or {},
    )
    if raw is None:
        return {}
    if raw and reading.owner_uid(raw) == metadata.uid:
        # Its labels may have been removed by hand.
        child = reading.child_of_attempt(raw, status.run, status.next_attempt)
    elif status.job_ref:
        child = _gone(job)
    else:
        return {}
    pods = unreadable.ask(
        f"pods in namespace {metadata.namespace}",
        lambda: api.pods(cluster, metadata.namespace, metadata.uid),
    )
    own = [
        pod
        for raw in pods or []
        if reading.job_uid(raw) == child.uid
        and (pod := reading.or_none(reading.pod, raw)) is not None
    ]
    return {"child": child, "pod": own[-1] if own else None}


def _gone(job: BackgroundJob) -> ChildJob:
    """The child Job that the status names but nobody finds."""
    ref = job.status.job_ref
    assert ref is not None
    return ChildJob(
        name=ref.name,
        uid=ref.uid,
        resource_version="0",
        run=ref.run,
        attempt=ref.attempt,
        created=job.metadata.creation_timestamp,
        gone=True,
    )


def read_lease(raw: dict[str, Any]) -> Lease:
    spec = raw.get("spec", {})
    renewed = spec.get("renewTime")
    return Lease(
        renewed=reading.time(renewed) if renewed else None,
        duration=timedelta(seconds=spec.get("leaseDurationSeconds", 0)),
        holder=spec.get("holderIdentity", ""),
        report=_report(raw.get("metadata", {}).get("annotations", {}).get(ANNOTATION)),
    )


def _report(text: str | None) -> QueueReport | None:
    try:
        return decode(text) if text else None
    except ValueError:
        return None


def _others(cluster: Cluster, unreadable: Unreadable) -> dict[str, Any]:
    """The unfinished BackgroundJobs of the cluster, or else of the namespace."""

    def read(namespace: str | None) -> tuple[BackgroundJob, ...]:
        listed = api.background_jobs(cluster, namespace, field_selector=_UNFINISHED)
        return tuple(job for raw in listed if (job := _parsed(raw)) is not None)

    everywhere = unreadable.ask("BackgroundJobs of other namespaces", lambda: read(None))
    namespace = cluster.namespace if everywhere is None else None
    others = everywhere or unreadable.ask("which other jobs wait", lambda: read(namespace)) or ()
    begun = unreadable.ask(
        "which jobs have only just begun", lambda: _begun(cluster, namespace, others)
    )
    return {"others": others, "begun": begun or frozenset(), "sees_all": everywhere is not None}


def _begun(
    cluster: Cluster, namespace: str | None, jobs: Iterable[BackgroundJob]
) -> frozenset[str]:
    """The uids of the jobs that have a child Job of their next attempt."""
    there = {
        (raw["metadata"]["namespace"], raw["metadata"]["name"], reading.owner_uid(raw))
        for raw in api.child_jobs(cluster, namespace)
    }
    return frozenset(
        job.metadata.uid
        for job in jobs
        if (job.metadata.namespace, _child_name(job), job.metadata.uid) in there
    )


def _child_name(job: BackgroundJob) -> str:
    """The name of the child Job of the attempt that is under way or comes next."""
    metadata, status = job.metadata, job.status
    return child_job_name(metadata.name, metadata.uid, status.run, status.next_attempt)


def _parsed(raw: dict[str, Any]) -> BackgroundJob | None:
    """None for what an older schema let in."""
    try:
        return parse(raw)
    except ValueError:
        return None


def read_configuration(cluster: Cluster, unreadable: Unreadable) -> Configuration:
    problems: dict[str, str] = {}

    def read(name: str, parse_data: Callable[[dict[str, str]], Value]) -> Value | None:
        raw = unreadable.ask(f"ConfigMap {name}", lambda: api.config_map(cluster, name) or {})
        if raw is None:
            return None
        if not raw:
            problems[name] = "it does not exist"
            return None
        try:
            return parse_data(raw.get("data") or {})
        except ConfigurationError as error:
            problems[name] = str(error)
            return None

    allowlist, runtimes = read(ALLOWLIST, parse_allowlist), read(RUNTIMES, parse_runtimes)
    return Configuration(allowlist=allowlist, runtimes=runtimes, problems=problems)
