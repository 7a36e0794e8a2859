"""Looks for what keeps attempts from starting: no watch tells of pods that stay Pending."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.controller.pods import pod_seen
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import ChildJob, Pod, PodPhase
from bgjobs.kube import labels, paths
from bgjobs.kube.api import Api
from bgjobs.kube.views import Views

_SLOW_AFTER = timedelta(seconds=2)
_SLOW_AFTER_WHILE_BUSY = timedelta(seconds=10)
"""Late, since what is read is much then, and most attempts only wait for their turn."""


async def look_at_slow_starts(
    api: Api,
    views: Views,
    queue: WorkQueue,
    now: Callable[[], datetime],
    is_busy: Callable[[], bool],
) -> None:
    """Reads Pending pods, and what was said of those that could not be made, if any are slow."""
    slow = _starting_since(views, now() - (_SLOW_AFTER_WHILE_BUSY if is_busy() else _SLOW_AFTER))
    if not slow:
        return
    selectors = {"labelSelector": labels.UID, "fieldSelector": "status.phase=Pending"}
    async for raw in api.every(paths.ALL_PODS, **selectors):
        pod_seen(views, queue, None, raw)
    podless = [uid for uid in slow if views.pod(uid) is None]
    jobs = [job for uid in podless if (job := views.job(uid))]
    for namespace in {job.metadata.namespace for job in jobs}:
        await _look_for_failed_creates(api, views, queue, namespace)


async def _look_for_failed_creates(
    api: Api, views: Views, queue: WorkQueue, namespace: str
) -> None:
    """The Job controller tells only in Events why it could not create a pod.

    The last of a Job counts: their names end in their time, and so they are listed.
    """
    children = {child.uid: uid for uid in views if (child := views.child(uid))}
    selector = "reason=FailedCreate,involvedObject.kind=Job"
    said: dict[str, str] = {}
    async for raw in api.every(paths.events(namespace), fieldSelector=selector):
        said[raw["involvedObject"].get("uid", "")] = raw.get("message", "")
    for child_uid in said.keys() & children.keys():
        uid = children[child_uid]
        if views.put_failed_create(uid, child_uid, said[child_uid]):
            queue.add(uid)


def _starting_since(views: Views, time: datetime) -> list[str]:
    """The BackgroundJobs whose child Job has had no pod that runs since before that time."""
    return [
        uid
        for uid in views
        if (child := views.child(uid))
        and child.created < time
        and _is_starting(child, views.pod(uid))
    ]


def _is_starting(child: ChildJob, pod: Pod | None) -> bool:
    if child.succeeded or child.failed_message or child.gone:
        return False
    started = (
        pod is not None
        and (pod.run, pod.attempt) == (child.run, child.attempt)
        and pod.phase is not PodPhase.PENDING
    )
    return not started
