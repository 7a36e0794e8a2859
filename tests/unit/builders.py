"""Small builders of what the operator's unit tests are about. Everything happens around NOW."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import ChildJob, Observation, Pod, PodPhase
from bgjobs.domain.resource import (
    Attempt,
    AttemptOutcome,
    BackgroundJob,
    Condition,
    Manager,
    Metadata,
    Reason,
    Spec,
    Status,
    Who,
)
from bgjobs.domain.runtimes import ResolvedRuntime, Runtime, Runtimes

NOW = datetime(2030, 1, 31, 12, 0, tzinfo=UTC)
UID = "5f1bd7e4-3c1a-4e5f-9a06-3a1a2c9d0b11"
CLASS = "shop.jobs.SyncStock"


def resolved(runtimes: Mapping[str, Runtime]) -> Runtimes:
    """Those whose keys each count their own jobs."""
    return {key: ResolvedRuntime(key=key, settings=each) for key, each in runtimes.items()}


CONFIG = Configuration(
    allowlist={CLASS: frozenset({"handle"})},
    runtimes=resolved({"default": Runtime(image="shop:1")}),
)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


class Time:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def pass_seconds(self, count: float) -> None:
        self.time += seconds(count)


def background_job(
    status: Status | None = None,
    *,
    uid: str = UID,
    name: str = "stock",
    resource_version: str = "100",
    created: datetime = NOW,
    deletion_timestamp: datetime | None = None,
    who: Who | None = None,
    changed: datetime = NOW,
    **spec: Any,
) -> BackgroundJob:
    return BackgroundJob(
        metadata=Metadata(
            name=name,
            namespace="shop",
            uid=uid,
            resource_version=resource_version,
            creation_timestamp=created,
            generation=3,
            deletion_timestamp=deletion_timestamp,
            annotations=who or Who(),
            managed_fields=(Manager(time=f"{changed:%Y-%m-%dT%H:%M:%SZ}"),),
        ),
        spec=Spec(**{"class_": CLASS, **spec}),
        status=status or Status(),
    )


def child_job(run: int = 1, attempt: int = 1, **changes: Any) -> ChildJob:
    fields: dict[str, Any] = {
        "name": f"stock-{run}-{attempt}",
        "uid": f"job-{run}-{attempt}",
        "resource_version": "200",
        "run": run,
        "attempt": attempt,
        "created": NOW,
        **changes,
    }
    return ChildJob(**fields)


def pod(phase: PodPhase, run: int = 1, attempt: int = 1, **changes: Any) -> Pod:
    fields: dict[str, Any] = {
        "name": f"stock-{run}-{attempt}-abcde",
        "uid": f"pod-{run}-{attempt}",
        "resource_version": "300",
        "owner_uid": f"job-{run}-{attempt}",
        "run": run,
        "attempt": attempt,
        "created": NOW,
        "phase": phase,
        **changes,
    }
    return Pod(**fields)


def running(run: int = 1, attempt: int = 1, **changes: Any) -> Pod:
    fields = {"started": NOW + seconds(1), "node_name": "node-1", **changes}
    return pod(PodPhase.RUNNING, run, attempt, **fields)


def succeeded(run: int = 1, attempt: int = 1, message: str = '{"result": 42}') -> Pod:
    return pod(
        PodPhase.SUCCEEDED,
        run,
        attempt,
        started=NOW + seconds(1),
        finished=NOW + seconds(4),
        node_name="node-1",
        exit_code=0,
        termination_message=message,
    )


def failed(run: int = 1, attempt: int = 1, exit_code: int | None = 1, **changes: Any) -> Pod:
    fields = {
        "started": NOW + seconds(1),
        "finished": NOW + seconds(4),
        "node_name": "node-1",
        "exit_code": exit_code,
        **changes,
    }
    return pod(PodPhase.FAILED, run, attempt, **fields)


def attempt(
    outcome: AttemptOutcome = AttemptOutcome.FAILED,
    *,
    run: int = 1,
    number: int = 1,
    finish: datetime = NOW,
    reason: Reason = Reason.ERROR,
) -> Attempt:
    return Attempt(
        run=run,
        attempt=number,
        job_name=f"stock-{run}-{number}",
        outcome=outcome,
        reason=reason,
        message="failed with exit code 1",
        finish=finish,
    )


def condition(status: Status, type_: str) -> Condition | None:
    return next((c for c in status.conditions if c.type == type_), None)


def see(
    job: BackgroundJob, child: ChildJob | None = None, pod: Pod | None = None, **more: Any
) -> Observation:
    return Observation(job=job, child=child, pod=pod, **more)


def after(job: BackgroundJob, decision: Decision, **spec: Any) -> BackgroundJob:
    """The job as it is once the decision's status is written and its spec changed."""
    return msgspec.structs.replace(
        job, status=decision.status, spec=msgspec.structs.replace(job.spec, **spec)
    )


# The same as JSON, as the API server returns it.


def background_job_json(name: str = "stock", uid: str = UID, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": uid,
            "resourceVersion": "7",
            "generation": 1,
            "creationTimestamp": "2030-01-31T12:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
        },
        "spec": {"class": CLASS, **spec},
        "status": {"phase": "Pending", "reason": "Queued", "message": "Waiting"},
    }


def pod_json(
    phase: str = "Running",
    state: dict[str, Any] | None = None,
    *,
    uid: str = UID,
    run: int = 1,
    attempt: int = 1,
    owner_uid: str = "job-1-1",
    owner_name: str = "stock-1-1",
    resource_version: str = "300",
    **status: Any,
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": f"stock-{run}-{attempt}-abcde",
            "uid": f"pod-{run}-{attempt}",
            "namespace": "shop",
            "resourceVersion": resource_version,
            "creationTimestamp": "2030-01-31T12:00:00Z",
            "labels": {
                "bgjobs.dev/uid": uid,
                "bgjobs.dev/run": str(run),
                "bgjobs.dev/attempt": str(attempt),
            },
            "ownerReferences": [
                {"kind": "Job", "name": owner_name, "uid": owner_uid, "controller": True}
            ],
        },
        "spec": {"nodeName": "node-1"},
        "status": {
            "phase": phase,
            **({"containerStatuses": [{"name": "job", "state": state}]} if state else {}),
            **status,
        },
    }


RUNNING_STATE = {"running": {"startedAt": "2030-01-31T12:00:01Z"}}


def terminated(exit_code: int = 0, message: str = "", reason: str = "") -> dict[str, Any]:
    return {
        "terminated": {
            "exitCode": exit_code,
            "reason": reason or ("Error" if exit_code else "Completed"),
            "startedAt": "2030-01-31T12:00:01Z",
            "finishedAt": "2030-01-31T12:00:04Z",
            "message": message,
        }
    }
