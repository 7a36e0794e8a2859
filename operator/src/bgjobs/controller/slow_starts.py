"""Looks for what keeps attempts from starting: no watch tells of pods that stay Pending."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.controller.pods import pod_seen
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import ChildJob, PodPhase
from bgjobs.kube import labels, paths
from bgjobs.kube.api import Api
from bgjobs.kube.views import Views

_SLOW_AFTER = timedelta(seconds=2)
_SLOW_AFTER_WHILE_BUSY = timedelta(seconds=10)
"""Late, since what is read is much then, and most attempts only wait for their turn."""


class SlowStarts:
    """Reads Pending pods, and what was said of those that could not be made, while it is needed."""

    def __init__(
        self,
        api: Api,
        views: Views,
        queue: WorkQueue,
        now: Callable[[], datetime],
        is_busy: Callable[[], bool],
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._now = now
        self._is_busy = is_busy

    async def look(self) -> None:
        slow = self._starting_for(_SLOW_AFTER_WHILE_BUSY if self._is_busy() else _SLOW_AFTER)
        if not slow:
            return
        selectors = {"labelSelector": labels.UID, "fieldSelector": "status.phase=Pending"}
        async for raw in self._api.every(paths.ALL_PODS, **selectors):
            pod_seen(self._views, self._queue, None, raw)
        podless = [uid for uid in slow if self._views.pod(uid) is None]
        jobs = [job for uid in podless if (job := self._views.job(uid))]
        for namespace in {job.metadata.namespace for job in jobs}:
            await self._look_for_failed_creates(namespace)

    async def _look_for_failed_creates(self, namespace: str) -> None:
        """The Job controller tells only in Events why it could not create a pod.

        The last of a Job counts: their names end in their time, and so they are listed.
        """
        children = {child.uid: uid for uid in self._views if (child := self._views.child(uid))}
        selector = "reason=FailedCreate,involvedObject.kind=Job"
        said: dict[str, str] = {}
        async for raw in self._api.every(paths.events(namespace), fieldSelector=selector):
            said[raw["involvedObject"].get("uid", "")] = raw.get("message", "")
        for child_uid in said.keys() & children.keys():
            uid = children[child_uid]
            if self._views.put_failed_create(uid, child_uid, said[child_uid]):
                self._queue.add(uid)

    def _starting_for(self, longer_than: timedelta) -> list[str]:
        """The BackgroundJobs whose child Job has had no pod that runs for longer than that."""
        now = self._now()
        return [
            uid
            for uid in self._views
            if (child := self._views.child(uid))
            and now - child.created > longer_than
            and self._is_starting(uid, child)
        ]

    def _is_starting(self, uid: str, child: ChildJob) -> bool:
        pod = self._views.pod(uid)
        if child.succeeded or child.failed_message or child.gone:
            return False
        started = (
            pod is not None
            and (pod.run, pod.attempt) == (child.run, child.attempt)
            and pod.phase is not PodPhase.PENDING
        )
        return not started
