"""Lists what no watch tells of: to see it, to delete what has expired, to mend the mirror."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy.exc import SQLAlchemyError

from bgjobs import metrics
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.names import child_job_name, is_object_name
from bgjobs.domain.observation import ChildJob
from bgjobs.domain.resource import BackgroundJob, Metadata, Phase, parse
from bgjobs.domain.retention import (
    Retention,
    child_has_expired,
    child_is_astray,
    child_is_old,
    is_overtaken,
    job_has_expired,
    surplus,
)
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import REQUEST_ERRORS, Api, ApiError, delete_options
from bgjobs.kube.views import Doubt, Views, check_not_restored
from bgjobs.mirror.writer import LiveRows, MirrorWriter

_NAME_STAYS_FOR = timedelta(seconds=60)
"""After the outcome is recorded: a start on a view as old as that must meet the child Job."""
_PAUSE_SECONDS = 0.01
_PAUSE_WHILE_JOBS_WAIT = 0.05
"""Between two deletions."""
_LOOKS_FOR_ROOM = 1200
_LOOKS_APART_SECONDS = 0.05
"""A minute in all."""
_REFUSED = (403, 422)

logger = logging.getLogger(__name__)


class _Dispensable(NamedTuple):
    """A child Job that may be deleted, unless its BackgroundJob says otherwise by then."""

    child: ChildJob
    namespace: str
    owner_name: str
    owner_uid: str


class _Swept(NamedTuple):
    """What a list of all BackgroundJobs has told."""

    finished: list[tuple[datetime, Metadata]]
    expired: list[Metadata]
    """Those whose last state the mirror holds."""
    failure: Exception | None
    """Why the mirror was not compared."""


class Resync:
    """Queues what it finds changed, and deletes only what is still as it was seen."""

    def __init__(
        self,
        api: Api,
        views: Views,
        queue: WorkQueue,
        mirror: MirrorWriter,
        log_tails: LogTails,
        log_tails_of_all: bool,
        retention: Retention,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._mirror = mirror
        self._log_tails = log_tails
        self._log_tails_of_all = log_tails_of_all
        self._retention = retention
        self._now = now
        self._dispensable: list[_Dispensable] = []
        self._recorded_since: dict[str, datetime] = {}
        """When the outcome of a child Job that is still there was first found recorded."""

    async def catch_up(self) -> None:
        """Reads anew what a leader must know before it writes: what the last one did.

        Deletes nothing. Raises RestoredError.
        """
        began, known = self._now(), self._views.versions()
        listed = set()
        async for raw in self._api.every(
            paths.ALL_BACKGROUND_JOBS, fieldSelector=paths.UNSUCCEEDED
        ):
            listed.add(raw["metadata"]["uid"])
            if (job := reading.or_none(parse, raw)) is not None:
                check_not_restored(job.metadata.version, known.get(job.metadata.uid, 0))
                self._views.put_job(job)
        for uid in self._views:
            if uid not in listed:
                self._views.doubt(uid, Doubt.JOB)
        self._views.listed(began)
        await self.child_jobs()
        self._dispensable.clear()
        await self._pods()
        for uid in self._views:
            self._queue.add(uid)

    async def child_jobs(self) -> None:
        """Reads every child Job.

        One that a BackgroundJob should have but is missing is doubted; one that
        seems dispensable is left for `deletions`.
        """
        began = self._now()
        listed, dispensable, recorded = set(), [], {}
        async for raw in self._api.every(paths.ALL_JOBS, labelSelector=labels.UID):
            metadata = raw["metadata"]
            uid = metadata["labels"][labels.UID]
            listed.add(metadata["uid"])
            if (child := reading.child_of(raw, uid)) is None:
                continue
            job, name = self._views.job(uid), metadata.get("annotations", {}).get(labels.NAME, "")
            if job is None or is_overtaken(child, job):
                recorded[child.uid] = self._recorded_since.get(child.uid, began)
            # Those that no view tells of must be old, since their BackgroundJob is to be read.
            may_go = (
                child_is_old(child, self._retention, began)
                if job is None
                else self._is_dispensable(child, job)
            )
            # Anybody may write annotations, and this one becomes part of a path.
            if may_go and is_object_name(name):
                dispensable.append(_Dispensable(child, metadata["namespace"], name, uid))
            if job is None or job.status.finished:
                continue
            if child.name != child_job_name(job.metadata.name, uid, child.run, child.attempt):
                continue  # it only bears our labels
            known = self._views.child(uid)
            self._views.put_child(uid, child)
            if known is None or child.deleting or child.succeeded or child.failed_message:
                self._queue.add(uid)
        self._dispensable = dispensable
        self._recorded_since = recorded
        for uid in self._views:
            job, child_now = self._views.job(uid), self._views.child(uid)
            if child_now is None or job is None or job.status.finished:
                continue
            if child_now.uid not in listed and child_now.created < began:
                self._views.doubt(uid, Doubt.CHILD)
                self._queue.add(uid)

    async def deletions(self) -> None:
        """Deletes the child Jobs, and their pods, that seemed dispensable and still do."""
        refused: dict[str, ApiError] = {}
        while self._dispensable:
            found = self._dispensable.pop()
            owner = await self._owner(found)
            if owner is None or not self._is_dispensable(found.child, owner):
                continue
            path = paths.job(found.namespace, found.child.name)
            if child_is_astray(found.child, owner, self._now()):
                logger.warning("%s: Job %s goes on past its end", owner.key, found.child.name)
            await self._keep_log(found)
            await self._delete(path, found.child.uid, found.child.resource_version, refused)
        _warn_of(refused)

    async def _keep_log(self, found: _Dispensable) -> None:
        """Of an attempt whose log is asked for and not known to be kept: it goes with its Job."""
        child, attempt = found.child, (found.owner_uid, found.child.run, found.child.attempt)
        is_asked_for = self._log_tails_of_all or child.failed_message is not None
        if not is_asked_for or self._log_tails.is_kept(attempt):
            return
        selector = f"{labels.UID}={found.owner_uid}"
        async for raw in self._api.every(paths.pods(found.namespace), labelSelector=selector):
            if reading.job_uid(raw) == child.uid:
                await self._log_tails.read(
                    attempt, paths.log(found.namespace, raw["metadata"]["name"])
                )

    async def _pods(self) -> None:
        """Reads every pod of a child Job: the watch leaves out those that are Pending."""
        async for raw in self._api.every(paths.ALL_PODS, labelSelector=labels.UID):
            if pod := reading.or_none(reading.pod, raw):
                self._views.put_pod(raw["metadata"]["labels"][labels.UID], pod)

    async def background_jobs(self) -> None:
        """Brings the mirror to what there is, and deletes what has stayed its time.

        A BackgroundJob is deleted only once the mirror holds its last state, except for the
        oldest finished ones where there are too many. Raises RestoredError.
        """
        try:
            swept = await self._compare()
        except REQUEST_ERRORS:
            self._mirror.missed()
            raise
        refused: dict[str, ApiError] = {}
        for metadata in surplus(swept.finished, self._retention):
            if await self._delete_job(metadata, refused):
                metrics.DELETED_ABOVE_LIMIT.inc()
        for metadata in swept.expired:
            await self._delete_job(metadata, refused)
        _warn_of(refused)
        if swept.failure is not None:
            raise swept.failure

    async def _compare(self) -> _Swept:
        """Lists every BackgroundJob, and brings the mirror to that.

        What the mirror lacks is only known once its rows can be read: until then nothing is put.
        A row that was there before the list outlived its BackgroundJob if that is not
        listed.
        """
        began = self._now()
        rows, failure = await self._rows()
        known = self._views.versions()
        before = await self._api.get_list(paths.ALL_BACKGROUND_JOBS, limit="1")
        version = int(before["metadata"]["resourceVersion"])
        check_not_restored(version, max(known.values(), default=0))
        if rows and rows.are_ahead_of(version):
            rows = self._mirror.begin_epoch(rows)
        listed, watched, finished, expired = set(), set(), [], []
        async for raw in self._api.every(paths.ALL_BACKGROUND_JOBS):
            listed.add(raw["metadata"]["uid"])
            if raw.get("status", {}).get("phase") != Phase.SUCCEEDED:
                watched.add(raw["metadata"]["uid"])
            if (job := reading.or_none(parse, raw)) is None:
                continue
            check_not_restored(job.metadata.version, known.get(job.metadata.uid, 0))
            if rows and rows.is_ahead_of(job.metadata):
                self._mirror.begin_epoch(rows)
                return await self._compare()
            if rows and not rows.has(job.metadata):
                if await self._mirror_has_room():
                    self._mirror.put(job, self._now())
                else:
                    rows, failure = None, TimeoutError("the mirror's database takes nothing")
            done = job.is_done
            if done and job.status.completion_time:
                finished.append((job.status.completion_time, job.metadata))
            if job_has_expired(job, self._retention, self._now()):
                expired.append(job.metadata)
        # A watch that begins anew tells nothing of what left it meanwhile.
        for uid in self._views:
            job = self._views.job(uid)
            if uid not in watched and job and job.metadata.version <= version:
                self._views.doubt(uid, Doubt.JOB)
                self._queue.add(uid)
        if rows:
            for uid in rows.versions.keys() - listed:
                self._mirror.deleted(uid, self._now())
            self._mirror.end_sweep(version, began)
        else:
            self._mirror.missed()
        kept = [metadata for metadata in expired if rows and rows.has(metadata)]
        return _Swept(finished, kept, failure)

    async def _rows(self) -> tuple[LiveRows | None, Exception | None]:
        """The mirror's rows, or why they cannot be read: that is to hold up nothing else."""
        try:
            return await asyncio.to_thread(self._mirror.live_rows), None
        except SQLAlchemyError as error:
            return None, error

    async def _mirror_has_room(self) -> bool:
        """Waits for the database, or all jobs of a cluster would be in memory at once.

        Not for long where it takes nothing: then the sweep does what needs no mirror.
        """
        for _ in range(_LOOKS_FOR_ROOM):
            if not self._mirror.is_half_full:
                return True
            await asyncio.sleep(_LOOKS_APART_SECONDS)
        return False

    async def _delete_job(self, metadata: Metadata, refused: dict[str, ApiError]) -> bool:
        path = paths.background_job(metadata.namespace, metadata.name)
        if not await self._delete(path, metadata.uid, metadata.resource_version, refused):
            return False
        # No watch tells that a Succeeded one is gone.
        self._mirror.deleted(metadata.uid, self._now())
        return True

    def _is_dispensable(self, child: ChildJob, job: BackgroundJob) -> bool:
        now = self._now()
        if child_is_astray(child, job, now):
            return True
        is_safe = now - self._recorded_since.get(child.uid, now) >= _NAME_STAYS_FOR
        return is_safe and child_has_expired(child, job, self._retention, now)

    async def _owner(self, found: _Dispensable) -> BackgroundJob | None:
        """The BackgroundJob as it is now; None if it no longer exists."""
        raw = await self._api.get(paths.background_job(found.namespace, found.owner_name))
        owner = reading.or_none(parse, raw) if raw else None
        return owner if owner and owner.metadata.uid == found.owner_uid else None

    async def _delete(
        self, path: str, uid: str, resource_version: str, refused: dict[str, ApiError]
    ) -> bool:
        """Deletes what is still as it was seen; False where it is not. Lets starts go first.

        What an admission policy, say, keeps is noted, by its path, and holds up no other.
        """
        await asyncio.sleep(_PAUSE_WHILE_JOBS_WAIT if len(self._queue) else _PAUSE_SECONDS)
        try:
            await self._api.delete(path, delete_options(uid, resource_version, "Background"))
        except ApiError as error:
            if error.status in _REFUSED:
                refused[path] = error
            elif error.status != 409:
                raise
            return False
        return True


def _warn_of(refused: dict[str, ApiError]) -> None:
    for path, error in [*refused.items()][:1]:
        logger.warning(
            "expired objects that the API server refuses to delete: %d. They are tried again; see "
            "what keeps the operator from it (RBAC, an admission policy). The first is %s: %s",
            len(refused),
            path,
            error,
        )
