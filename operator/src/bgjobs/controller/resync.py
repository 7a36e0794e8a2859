"""Looks for what no watch tells: pods that stay Pending, child Jobs that vanish, missed rows."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import PodPhase
from bgjobs.domain.resource import parse
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import REQUEST_ERRORS, Api
from bgjobs.kube.views import Views
from bgjobs.mirror.writer import MirrorWriter

_SLOW_START_AFTER = timedelta(seconds=2)

logger = logging.getLogger(__name__)


class Resync:
    """Lists what watches leave out and queues what it finds changed."""

    def __init__(
        self,
        api: Api,
        views: Views,
        queue: WorkQueue,
        mirror: MirrorWriter,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._mirror = mirror
        self._now = now

    async def child_jobs(self) -> None:
        """Reads every child Job; one that a BackgroundJob should have but is missing is doubted."""
        began = self._now()
        listed = set()
        async for raw in self._api.every(paths.ALL_JOBS, labelSelector=labels.UID):
            uid = raw["metadata"]["labels"][labels.UID]
            listed.add(raw["metadata"]["uid"])
            if reading.owner_uid(raw) != uid or (child := _read(reading.child_job, raw)) is None:
                continue
            known = self._views.child(uid)
            self._views.put_child(uid, child)
            if known is None or child.deleting or child.succeeded or child.failed_message:
                self._queue.add(uid)
        for uid in self._views:
            job, child_now = self._views.job(uid), self._views.child(uid)
            if child_now is None or job is None or job.status.finished:
                continue
            if child_now.uid not in listed and child_now.created < began:
                self._views.doubtful.add(uid)
                self._queue.add(uid)

    async def pods(self) -> None:
        """Reads every pod of a child Job: the watch leaves out those that are Pending."""
        async for raw in self._api.every(paths.ALL_PODS, labelSelector=labels.UID):
            if pod := _read(reading.pod, raw):
                self._views.put_pod(raw["metadata"]["labels"][labels.UID], pod)

    async def slow_starts(self) -> None:
        """Reads the Pending pods if a child Job has had none that runs for a while."""
        if not any(self._is_slow(uid) for uid in self._views):
            return
        selectors = {"labelSelector": labels.UID, "fieldSelector": "status.phase=Pending"}
        async for raw in self._api.every(paths.ALL_PODS, **selectors):
            uid = raw["metadata"]["labels"][labels.UID]
            pod = _read(reading.pod, raw)
            if pod is not None and pod != self._views.pod(uid):
                self._views.put_pod(uid, pod)
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
        return not started and self._now() - child.created > _SLOW_START_AFTER

    async def mirror_rows(self) -> None:
        """Hands every BackgroundJob to the mirror and tells it which of its rows outlived theirs.

        Rows that are newer than the list are let be: theirs may have come after it.
        """
        before = await self._api.get_list(paths.ALL_BACKGROUND_JOBS, limit="1")
        listed = set()
        async for raw in self._api.every(paths.ALL_BACKGROUND_JOBS):
            listed.add(raw["metadata"]["uid"])
            if job := _read(parse, raw):
                self._mirror.put(job)
        version = before["metadata"]["resourceVersion"]
        rows = await asyncio.to_thread(self._mirror.live_rows, version)
        for uid in rows - listed:
            self._mirror.deleted(uid, self._now())


Read = TypeVar("Read")


def _read(reader: Callable[[dict[str, Any]], Read], raw: dict[str, Any]) -> Read | None:
    """None for what anybody may have made by hand under our labels, or by an older schema."""
    try:
        return reader(raw)
    except (KeyError, ValueError):
        return None


async def attempt(action: Callable[[], Awaitable[None]]) -> None:
    """Does it; where the API server or the database fails, it is left for another time."""
    try:
        await action()
    except (*REQUEST_ERRORS, SQLAlchemyError) as error:
        logger.warning("%s is tried again: %s", action.__qualname__, error)


async def repeat(every_seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        await attempt(action)
