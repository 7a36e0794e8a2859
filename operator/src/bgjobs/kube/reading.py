"""Child Jobs and pods as the API server returns them, reduced to what decisions need."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from bgjobs.domain.observation import ChildJob, Pod, PodPhase, Waiting
from bgjobs.kube import labels, manifests

Read = TypeVar("Read")


def or_none(reader: Callable[[dict[str, Any]], Read], raw: dict[str, Any]) -> Read | None:
    """None for what anybody may have made by hand under our labels, or by an older schema."""
    try:
        return reader(raw)
    except (KeyError, ValueError):
        return None


def owner_uid(raw: dict[str, Any]) -> str | None:
    """The uid of the object that controls a Job or a pod."""
    uid: str | None = _owner(raw).get("uid")
    return uid


def _owner(raw: dict[str, Any]) -> dict[str, Any]:
    owners = raw["metadata"].get("ownerReferences", [])
    return next((owner for owner in owners if owner.get("controller")), {})


def job_uid(raw: dict[str, Any]) -> str | None:
    """The uid of the Job that a pod is of, also where that was deleted without the pod."""
    return owner_uid(raw) or raw["metadata"].get("labels", {}).get(labels.JOB_UID)


def child_of(raw: dict[str, Any], uid: str) -> ChildJob | None:
    """The child Job, unless it is no BackgroundJob's, or another one's than that of the uid."""
    if owner_uid(raw) != uid or raw["metadata"].get("labels", {}).get(labels.UID) != uid:
        return None
    return or_none(child_job, raw)


def child_job(raw: dict[str, Any]) -> ChildJob:
    """Raises KeyError or ValueError where the labels of a child Job are missing."""
    marks = raw["metadata"]["labels"]
    return child_of_attempt(raw, int(marks[labels.RUN]), int(marks[labels.ATTEMPT]))


def child_of_attempt(raw: dict[str, Any], run: int, attempt: int) -> ChildJob:
    """The child Job that is known to be of this attempt, whatever its labels say."""
    metadata, status = raw["metadata"], raw.get("status", {})
    conditions = {c["type"]: c for c in status.get("conditions", []) if c["status"] == "True"}
    failed = conditions.get("Failed")
    end = (failed or conditions.get("Complete", {})).get("lastTransitionTime")
    return ChildJob(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        run=run,
        attempt=attempt,
        created=time(metadata["creationTimestamp"]),
        failed_message=failed.get("message", "") if failed else None,
        succeeded="Complete" in conditions,
        ended=_time_or_none(end),
        deleted_at=_time_or_none(metadata.get("deletionTimestamp")),
    )


def pod(raw: dict[str, Any]) -> Pod:
    """Raises KeyError or ValueError where the labels of a child Job's pod are missing."""
    metadata, status = raw["metadata"], raw.get("status", {})
    # Clusters may add containers of their own.
    statuses = {c["name"]: c for c in status.get("containerStatuses", [])}
    state = statuses.get(manifests.CONTAINER, {}).get("state", {})
    terminated, running = state.get("terminated", {}), state.get("running", {})
    waiting = state.get("waiting")
    conditions = {c["type"]: c for c in status.get("conditions", [])}
    disruption = conditions.get("DisruptionTarget", {"status": "False"})
    scheduled = conditions.get("PodScheduled", {"status": "True"})
    if scheduled["status"] == "False":
        waiting = scheduled
    ready = conditions.get("Ready", {}).get("status")
    containers_ready = conditions.get("ContainersReady", {}).get("status")
    containers = {c["name"]: c for c in raw["spec"].get("containers", [])}
    limits = containers.get(manifests.CONTAINER, {}).get("resources", {}).get("limits", {})
    return Pod(
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        owner_uid=job_uid(raw),
        owner_name=_owner(raw).get("name") or metadata["labels"].get(labels.JOB_NAME),
        is_orphan=owner_uid(raw) is None,
        run=int(metadata["labels"][labels.RUN]),
        attempt=int(metadata["labels"][labels.ATTEMPT]),
        created=time(metadata["creationTimestamp"]),
        phase=PodPhase(status.get("phase", "Pending")),
        reason=status.get("reason"),
        node_name=raw["spec"].get("nodeName"),
        started=_time_or_none(terminated.get("startedAt") or running.get("startedAt")),
        finished=_time_or_none(terminated.get("finishedAt")),
        exit_code=terminated.get("exitCode"),
        terminated_reason=terminated.get("reason"),
        termination_message=terminated.get("message", ""),
        disruption=(
            disruption.get("message", disruption.get("reason", ""))
            if disruption["status"] == "True"
            else None
        ),
        waiting=(
            Waiting(reason=waiting.get("reason", ""), message=waiting.get("message", ""))
            if waiting
            else None
        ),
        has_sandbox=conditions.get("PodReadyToStartContainers", {}).get("status") == "True",
        memory_limit=limits.get("memory"),
        # When a node falls silent, its pods' Ready alone is set to False.
        lost=ready == "False" and containers_ready == "True",
        deadline=_deadline(raw),
        to_be_gone_at=_time_or_none(metadata.get("deletionTimestamp")),
        # What is deleted after it has ended gets no time to end.
        told_to_end=metadata.get("deletionGracePeriodSeconds", 0) > 0,
    )


def _deadline(raw: dict[str, Any]) -> datetime | None:
    limit = raw["spec"].get("activeDeadlineSeconds")
    counts_from = _time_or_none(raw.get("status", {}).get("startTime"))
    return counts_from + timedelta(seconds=limit) if counts_from and limit else None


def _time_or_none(text: str | None) -> datetime | None:
    """None also for what no status can hold.

    The kubelet writes the year 1970 for a container that never started.
    """
    when = None if text is None else time(text)
    return when if when is not None and 2000 <= when.year < 3000 else None


def time(text: str) -> datetime:
    """Reads RFC 3339 as the API server writes it."""
    return datetime.fromisoformat(text)
