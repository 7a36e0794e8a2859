"""Looks for what keeps attempts from starting: no watch tells of pods that stay Pending."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import PodPhase
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import Api
from bgjobs.kube.views import Views

_SLOW_AFTER = timedelta(seconds=2)


class SlowStarts:
    """Reads Pending pods, and what was said of those that could not be made, while it is needed."""

    def __init__(
        self, api: Api, views: Views, queue: WorkQueue, now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._now = now

    async def look(self) -> None:
        if not any(self._is_slow(uid) for uid in self._views):
            return
        selectors = {"labelSelector": labels.UID, "fieldSelector": "status.phase=Pending"}
        async for raw in self._api.every(paths.ALL_PODS, **selectors):
            uid = raw["metadata"]["labels"][labels.UID]
            pod = reading.or_none(reading.pod, raw)
            if pod is not None and pod != self._views.pod(uid):
                self._views.put_pod(uid, pod)
                self._queue.add(uid)
        if any(self._is_slow(uid) and self._views.pod(uid) is None for uid in self._views):
            await self._look_for_failed_creates()

    async def _look_for_failed_creates(self) -> None:
        """The Job controller tells only in an Event why it could not create a pod."""
        children = {child.uid: uid for uid in self._views if (child := self._views.child(uid))}
        selector = "reason=FailedCreate,involvedObject.kind=Job"
        async for raw in self._api.every(paths.ALL_EVENTS, fieldSelector=selector):
            child_uid, said = raw["involvedObject"].get("uid"), raw.get("message", "")
            uid = children.get(child_uid)
            if uid is not None and self._views.put_failed_create(uid, child_uid, said):
                self._queue.add(uid)

    def _is_slow(self, uid: str) -> bool:
        child, pod = self._views.child(uid), self._views.pod(uid)
        if child is None or child.succeeded or child.failed_message or child.gone:
            return False
        started = (
            pod is not None
            and (pod.run, pod.attempt) == (child.run, child.attempt)
            and pod.phase is not PodPhase.PENDING
        )
        return not started and self._now() - child.created > _SLOW_AFTER
