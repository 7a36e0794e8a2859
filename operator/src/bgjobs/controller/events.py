"""Posts Kubernetes Events in the background: useful to people, never in the way of jobs."""

import asyncio
import itertools
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bgjobs import metrics
from bgjobs.domain.decision import Event, EventType
from bgjobs.domain.resource import GROUP, KIND, VERSION, BackgroundJob
from bgjobs.kube import paths
from bgjobs.kube.api import REQUEST_ERRORS, Api, ApiError, in_words

_MAX_WAITING = 10_000
_MANY_WAIT = 1_000
_PAUSE_WHILE_BUSY_SECONDS = 0.5
"""Between two Events while many jobs start, unless many Events wait."""
_COMPONENT = "bgjobs-operator"
_MAX_MESSAGE_CHARACTERS = 1024

logger = logging.getLogger(__name__)


class EventPoster:
    """A bounded queue of Events, warnings first; when it is full, the newest are dropped."""

    def __init__(self, api: Api, is_busy: Callable[[], bool]) -> None:
        self._api = api
        self._is_busy = is_busy
        self._order = itertools.count()
        self._queue: asyncio.PriorityQueue[tuple[bool, int, str, dict[str, Any]]] = (
            asyncio.PriorityQueue(_MAX_WAITING)
        )

    def post(self, job: BackgroundJob, event: Event, now: datetime) -> None:
        about = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "namespace": job.metadata.namespace,
            "name": job.metadata.name,
            "uid": job.metadata.uid,
            "resourceVersion": job.metadata.resource_version,
        }
        self._put(job.metadata.namespace, about, event, now)

    def post_about_config_map(
        self, namespace: str, name: str, uid: str, event: Event, now: datetime
    ) -> None:
        about = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "namespace": namespace,
            "name": name,
            "uid": uid,
        }
        self._put(namespace, about, event, now)

    def _put(self, namespace: str, about: dict[str, Any], event: Event, now: datetime) -> None:
        time = f"{now:%Y-%m-%dT%H:%M:%SZ}"
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"generateName": f"{about['name'][:200]}.", "namespace": namespace},
            "involvedObject": about,
            "type": str(event.type),
            "reason": event.reason,
            "message": event.message[:_MAX_MESSAGE_CHARACTERS],
            "source": {"component": _COMPONENT},
            "firstTimestamp": time,
            "lastTimestamp": time,
            "count": 1,
        }
        try:
            is_normal = event.type is EventType.NORMAL
            self._queue.put_nowait((is_normal, next(self._order), namespace, manifest))
        except asyncio.QueueFull:
            metrics.EVENTS_DROPPED.inc()

    async def run(self) -> None:
        while True:
            *_, namespace, manifest = await self._queue.get()
            try:
                await self._api.create(paths.events(namespace), manifest)
            except REQUEST_ERRORS as error:
                if not _can_never_be_posted(error):
                    logger.warning("an Event was not posted: %s", in_words(error))
            if self._is_busy() and self._queue.qsize() < _MANY_WAIT:
                await asyncio.sleep(_PAUSE_WHILE_BUSY_SECONDS)


def _can_never_be_posted(error: Exception) -> bool:
    """Whether its namespace ends, or is gone, and what happened there with it."""
    return isinstance(error, ApiError) and (error.status == 404 or error.is_of_ending_namespace)
