"""Looks for what no watch tells: child Jobs that vanish, what expires."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import BackgroundJob, parse
from bgjobs.domain.retention import Retention, child_has_expired, job_has_expired
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import REQUEST_ERRORS, Api, ApiError
from bgjobs.kube.views import Views
from bgjobs.mirror.rows import padded
from bgjobs.mirror.writer import MirrorWriter

_SECONDS_BETWEEN_DELETIONS = 0.05

logger = logging.getLogger(__name__)


class Resync:
    """Lists what watches leave out and queues what it finds changed."""

    def __init__(
        self,
        api: Api,
        views: Views,
        queue: WorkQueue,
        mirror: MirrorWriter,
        retention: Retention,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._mirror = mirror
        self._retention = retention
        self._now = now

    async def child_jobs(self) -> None:
        """Reads every child Job; one that a BackgroundJob should have but is missing is doubted."""
        began = self._now()
        listed = set()
        async for raw in self._api.every(paths.ALL_JOBS, labelSelector=labels.UID):
            uid = raw["metadata"]["labels"][labels.UID]
            listed.add(raw["metadata"]["uid"])
            if (
                reading.owner_uid(raw) != uid
                or (child := reading.or_none(reading.child_job, raw)) is None
            ):
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
            if pod := reading.or_none(reading.pod, raw):
                self._views.put_pod(raw["metadata"]["labels"][labels.UID], pod)

    async def background_jobs(self) -> None:
        """Brings the mirror to what there is, and deletes what has stayed its time.

        A row outlived its BackgroundJob if it is not listed, unless it is newer than
        the list. A BackgroundJob is deleted only once the mirror holds its last state.
        """
        before = await self._api.get_list(paths.ALL_BACKGROUND_JOBS, limit="1")
        listed, expired = set(), []
        async for raw in self._api.every(paths.ALL_BACKGROUND_JOBS):
            listed.add(raw["metadata"]["uid"])
            if (job := reading.or_none(parse, raw)) is None:
                continue
            self._mirror.put(job)
            if job_has_expired(job, self._retention, self._now()):
                expired.append(job.metadata)
        version = before["metadata"]["resourceVersion"]
        rows = await asyncio.to_thread(self._mirror.live_rows, version)
        for uid in rows.keys() - listed:
            self._mirror.deleted(uid, self._now())
        for metadata in expired:
            if rows.get(metadata.uid) == padded(metadata.resource_version):
                path = paths.background_job(metadata.namespace, metadata.name)
                if await self._delete(path, metadata.uid, metadata.resource_version):
                    # No watch tells that a Succeeded one is gone.
                    self._mirror.deleted(metadata.uid, self._now())

    async def expired_child_jobs(self) -> None:
        """Deletes child Jobs, and their pods, that have stayed their time."""
        async for raw in self._api.every(paths.ALL_JOBS, labelSelector=labels.UID):
            child = reading.or_none(reading.child_job, raw)
            owner = await self._owner(raw) if child and child.ended else None
            if child and owner and child_has_expired(child, owner, self._retention, self._now()):
                path = paths.job(owner.metadata.namespace, child.name)
                await self._delete(path, child.uid, child.resource_version)

    async def _owner(self, raw: dict[str, Any]) -> BackgroundJob | None:
        """The BackgroundJob that controls a Job; None for one that no longer exists."""
        uid, annotations = reading.owner_uid(raw), raw["metadata"].get("annotations", {})
        if uid is None or labels.NAME not in annotations:
            return None
        if known := self._views.job(uid):
            return known
        path = paths.background_job(raw["metadata"]["namespace"], annotations[labels.NAME])
        found = await self._api.get(path)
        owner = reading.or_none(parse, found) if found else None
        return owner if owner and owner.metadata.uid == uid else None

    async def _delete(self, path: str, uid: str, resource_version: str) -> bool:
        """Deletes what is still as it was seen; False where it is not. Lets starts go first."""
        await asyncio.sleep(_SECONDS_BETWEEN_DELETIONS)
        preconditions = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        try:
            await self._api.delete(path, options)
        except ApiError as error:
            if error.status != 409:
                raise
            return False
        return True


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
