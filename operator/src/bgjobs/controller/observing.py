"""What there is of one BackgroundJob: from the views where they can be trusted, else read anew."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from bgjobs.controller.log_tails import LogTails
from bgjobs.domain.names import child_job_name
from bgjobs.domain.observation import ChildJob, Observation, Pod, Refusal
from bgjobs.domain.ranking import Blocked
from bgjobs.domain.resource import BackgroundJob, parse
from bgjobs.kube import labels, paths, reading
from bgjobs.kube.api import Api
from bgjobs.kube.views import Doubt, Views, check_not_restored


class Observer:
    """Reads of one BackgroundJob what its decision needs. All raise ApiError and network errors."""

    def __init__(
        self, api: Api, views: Views, log_tails: LogTails, now: Callable[[], datetime]
    ) -> None:
        self._api = api
        self._views = views
        self._log_tails = log_tails
        self._now = now

    async def read_job(self, job: BackgroundJob) -> BackgroundJob | None:
        """The BackgroundJob as it is now; None if it is gone.

        Raises ValueError where it breaks the schema by now, RestoredError where it is older.
        """
        raw = await self._api.get(paths.background_job(job.metadata.namespace, job.metadata.name))
        if raw is None or raw["metadata"]["uid"] != job.metadata.uid:
            self._views.job_is_over(job.metadata.uid)
            return None
        fresh = parse(raw)
        check_not_restored(fresh.metadata.version, job.metadata.version)
        self._views.put_job(fresh)
        return self._views.job(job.metadata.uid)

    async def observe(
        self, job: BackgroundJob, refusal: Refusal | None, blocked: Blocked | None
    ) -> Observation:
        child = await self._child(job)
        pod = self._pod(job, child)
        ended = child and (child.succeeded or child.failed_message is not None or child.gone)
        if child is not None and ended and (pod is None or not (pod.ended or pod.gone)):
            pod = await self.read_pod(job, child)
        return Observation(
            job=job,
            child=child,
            pod=pod,
            failure=self._views.failure(job.metadata.uid, (pod or child).uid) if child else None,
            log_tail=self._log_tails.tail(pod.uid) if pod else None,
            refusal=refusal,
            blocked=blocked,
        )

    async def find_child(self, job: BackgroundJob) -> ChildJob | None:
        """The child Job of the attempt that comes next, if it is there though no view tells.

        If somebody has deleted it, it is gone only when its pod is, too.
        """
        metadata = job.metadata
        name, pod = _child_name(job), current(job, self._views.pod(metadata.uid))
        raw = await self._api.get(paths.job(metadata.namespace, name))
        self._views.settle(metadata.uid, Doubt.START)
        child = reading.child_of(raw, metadata.uid) if raw else None
        if raw is None and pod is not None and pod.owner_uid and pod.owner_name == name:
            child = self._unseen_child(job, pod.owner_uid, gone=True)
        if child is not None:
            self._views.take_child(metadata.uid, child)
        return current(job, self._views.child(metadata.uid))

    async def read_child(self, job: BackgroundJob, known: ChildJob) -> ChildJob | None:
        """The child Job as it is now, marked gone where it is. Raises RestoredError."""
        raw = await self._api.get(paths.job(job.metadata.namespace, known.name))
        if raw is None or raw["metadata"]["uid"] != known.uid:
            self._views.child_is_gone(job.metadata.uid)
        else:
            # Its labels may have been removed by hand.
            child = reading.child_of_attempt(raw, known.run, known.attempt)
            check_not_restored(int(child.resource_version), int(known.resource_version))
            self._views.take_child(job.metadata.uid, child)
        return current(job, self._views.child(job.metadata.uid))

    async def is_fresh(self, job: BackgroundJob) -> bool:
        """Whether the view is no older than a silent watch allows; where not, reads it anew."""
        if self._views.is_trusted(job, self._now()):
            return True
        try:
            fresh = await self.read_job(job)
        except ValueError:
            fresh = None
        if fresh is None:
            self._views.doubt(job.metadata.uid, Doubt.JOB)
            return False
        return fresh.metadata.resource_version == job.metadata.resource_version

    async def _child(self, job: BackgroundJob) -> ChildJob | None:
        """The child Job of the current attempt, read anew where the view may be wrong."""
        uid, ref = job.metadata.uid, job.status.job_ref
        if job.status.finished:
            return None
        child = current(job, self._views.child(uid))
        if child is None:
            if ref is None:
                unanswered = self._views.is_doubted(uid, Doubt.START)
                has_pod = current(job, self._views.pod(uid)) is not None
                return await self.find_child(job) if unanswered or has_pod else None
            # All else follows from the status: by hand, it may name a Job of somebody else.
            child = self._unseen_child(job, ref.uid)
            self._views.take_child(uid, child)
        elif not child.deleting and not self._views.is_doubted(uid, Doubt.CHILD):
            return child
        with self._views.settling(uid, Doubt.CHILD):
            return await self.read_child(job, child)

    def _unseen_child(self, job: BackgroundJob, uid: str, *, gone: bool = False) -> ChildJob:
        """The child Job of the current attempt, of which only the uid is known."""
        return ChildJob(
            name=_child_name(job),
            uid=uid,
            resource_version="0",
            run=job.status.run,
            attempt=job.status.next_attempt,
            created=self._now(),
            gone=gone,
        )

    async def read_pod(self, job: BackgroundJob, child: ChildJob) -> Pod | None:
        """The child Job's pod as it is now: its last words may not have been seen yet."""
        selector = f"{labels.UID}={job.metadata.uid}"
        found = False
        async for raw in self._api.every(
            paths.pods(job.metadata.namespace), labelSelector=selector
        ):
            if reading.job_uid(raw) == child.uid:
                found = True
                if pod := reading.or_none(reading.pod, raw):
                    self._views.put_pod(job.metadata.uid, pod)
        known = self._pod(job, child)
        if known is not None and not found:
            self._views.remove_pod(job.metadata.uid, known)
        return self._pod(job, child)

    def _pod(self, job: BackgroundJob, child: ChildJob | None) -> Pod | None:
        """The child Job's own pod; others may bear its labels."""
        pod = current(job, self._views.pod(job.metadata.uid))
        return pod if pod and child and pod.owner_uid == child.uid else None


def _child_name(job: BackgroundJob) -> str:
    metadata, status = job.metadata, job.status
    return child_job_name(metadata.name, metadata.uid, status.run, status.next_attempt)


View = TypeVar("View", ChildJob, Pod)


def current(job: BackgroundJob, view: View | None) -> View | None:
    """The view, if it is of the attempt that is under way or comes next."""
    status = job.status
    if view is None or status.finished:
        return None
    return view if (view.run, view.attempt) == (status.run, status.next_attempt) else None
