"""Looks for what keeps attempts from starting: no watch tells of pods that stay Pending."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.controller.pods import pod_seen
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import ChildJob, Pod, PodPhase
from bgjobs.domain.policies.obstacles import may_lack_volumes
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
    """If any are slow, reads Pending pods, and the Events that alone tell what some lack."""
    slow = _starting_since(views, now() - (_SLOW_AFTER_WHILE_BUSY if is_busy() else _SLOW_AFTER))
    if not slow:
        return
    selectors = {"labelSelector": labels.UID, "fieldSelector": "status.phase=Pending"}
    async for raw in api.every(paths.ALL_PODS, **selectors):
        pod_seen(views, queue, None, raw)
    podless, mounting = dict[str, str](), dict[str, str]()
    for uid, child in slow.items():
        pod = views.pod(uid)
        if pod is None or pod.owner_uid != child.uid:
            podless[child.uid] = uid
        elif may_lack_volumes(pod):
            mounting[pod.uid] = uid
    await _look_for_failures(api, views, queue, "FailedCreate", "Job", podless)
    await _look_for_failures(api, views, queue, "FailedMount", "Pod", mounting)


async def _look_for_failures(
    api: Api, views: Views, queue: WorkQueue, reason: str, kind: str, uids: dict[str, str]
) -> None:
    """What the Events of these objects say; each is of the BackgroundJob beside it.

    The last of an object counts: their names end in their time, and so they are listed.
    """
    selector = f"reason={reason},involvedObject.kind={kind}"
    jobs = [job for uid in uids.values() if (job := views.job(uid))]
    said: dict[str, str] = {}
    for namespace in {job.metadata.namespace for job in jobs}:
        async for raw in api.every(paths.events(namespace), fieldSelector=selector):
            said[raw["involvedObject"].get("uid", "")] = raw.get("message", "")
    for about in said.keys() & uids.keys():
        if views.put_failure(uids[about], about, said[about]):
            queue.add(uids[about])


def _starting_since(views: Views, time: datetime) -> dict[str, ChildJob]:
    """The child Jobs that have had no pod that runs since before that time."""
    return {
        uid: child
        for uid in views
        if (child := views.child(uid))
        and child.created < time
        and _is_starting(child, views.pod(uid))
    }


def _is_starting(child: ChildJob, pod: Pod | None) -> bool:
    if child.succeeded or child.failed_message or child.gone:
        return False
    started = (
        pod is not None
        and (pod.run, pod.attempt) == (child.run, child.attempt)
        and pod.phase is not PodPhase.PENDING
    )
    return not started
