"""Watches the pods of child Jobs.

Not through kopf: in a burst, a third of the operator's CPU went into what it does with three
events a pod, for a handler that only takes a key down.
"""

import asyncio
import logging
from typing import Any

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import PodPhase
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import REQUEST_ERRORS, Api, ApiError, in_words
from bgjobs.kube.views import Views

_PAUSE_SECONDS = 1.0
_SELECTORS = {"labelSelector": labels.UID, "fieldSelector": "status.phase!=Pending"}
"""Of what pods do before they run, their child Jobs tell enough."""

logger = logging.getLogger(__name__)


class PodWatch:
    """Keeps the views of pods as they are."""

    def __init__(self, api: Api, views: Views, queue: WorkQueue) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self.has_listed = False

    async def run(self) -> None:
        """For ever: a watch that breaks goes on where it ended, or begins anew with a list."""
        version = ""
        while True:
            try:
                version = version or await self._list()
                async for event in self._api.watch(
                    paths.ALL_PODS, resourceVersion=version, **_SELECTORS
                ):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        pod_seen(self._views, self._queue, event["type"], event["object"])
            except REQUEST_ERRORS as error:
                if isinstance(error, ApiError):
                    version = ""  # most likely it is too old to go on from
                logger.warning("the watch of pods begins again: %s", in_words(error))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _list(self) -> str:
        """Sees all there are, and misses those that went unseen. The version to watch from."""
        before = await self._api.get_list(paths.ALL_PODS, limit="1", **_SELECTORS)
        version: str = before["metadata"]["resourceVersion"]
        listed = set()
        async for raw in self._api.every(paths.ALL_PODS, **_SELECTORS):
            listed.add(raw["metadata"]["uid"])
            pod_seen(self._views, self._queue, None, raw)
        for uid in self._views:
            pod = self._views.pod(uid)
            if (
                pod is not None
                and pod.uid not in listed
                and pod.phase is not PodPhase.PENDING
                and int(pod.resource_version) <= int(version)
            ):
                self._views.remove_pod(uid, pod)
                self._queue.add(uid)
        self.has_listed = True
        return version


def pod_seen(views: Views, queue: WorkQueue, type: str | None, raw: dict[str, Any]) -> None:
    """Keeps what is news, and queues its BackgroundJob unless that is done with its pods."""
    uid = raw["metadata"]["labels"][labels.UID]
    seen = reading.or_none(reading.pod, raw)
    if seen is None or views.is_over(uid):
        return
    is_news = views.remove_pod(uid, seen) if type == "DELETED" else views.put_pod(uid, seen)
    job = views.job(uid)
    if is_news and (job is None or not job.status.finished):
        queue.add(uid)
