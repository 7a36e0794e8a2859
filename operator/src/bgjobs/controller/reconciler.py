"""Observe, decide, act, show, mirror: one BackgroundJob at a time, from its state alone."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

from bgjobs import metrics
from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.events import EventPoster
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.observing import Observer, current
from bgjobs.controller.refusals import Refusals
from bgjobs.controller.showing import Showing
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain import start_window
from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision, Event, EventType, Start
from bgjobs.domain.observation import ChildJob, Observation, Pod, PodPhase
from bgjobs.domain.resource import (
    AttemptOutcome,
    BackgroundJob,
    Phase,
    Reason,
    parse,
    render_status,
)
from bgjobs.domain.runtimes import DEFAULT, runtime_for
from bgjobs.kube import manifests, paths, reading
from bgjobs.kube.api import REQUEST_ERRORS, Api, ApiError, delete_options
from bgjobs.kube.views import Doubt, Views
from bgjobs.mirror.writer import MirrorWriter

_MAY_HAVE_BEEN_CARRIED_OUT = 500
"""From this HTTP status on, the answer does not say that nothing was done."""

logger = logging.getLogger(__name__)


class Reconciler:
    """Brings one BackgroundJob a step further.

    Everything it keeps between two calls may be lost without harm.
    """

    def __init__(
        self,
        *,
        api: Api,
        views: Views,
        queue: WorkQueue,
        admission: AdmissionQueue,
        showing: Showing,
        configuration: ConfigurationKeeper,
        events: EventPoster,
        mirror: MirrorWriter,
        log_tails: LogTails,
        log_tails_of_all: bool,
        now: Callable[[], datetime],
    ) -> None:
        self._api = api
        self._views = views
        self._queue = queue
        self._admission = admission
        self._showing = showing
        self._configuration = configuration
        self._events = events
        self._mirror = mirror
        self._now = now
        self._log_tails = log_tails
        self._log_tails_of_all = log_tails_of_all
        self._observer = Observer(api, views, log_tails, now)
        self._refusals = Refusals(now)
        self._mirrored: dict[str, str] = {}

    def take_over(self) -> None:
        """Holds the slots of what is under way: what waits must not get them first.

        Also where a child Job is gone: until its end is recorded, its retry may come at once.
        """
        for uid in self._views:
            job, pod = self._views.job(uid), self._views.pod(uid)
            if job and (job.status.job_ref or self._is_under_way(uid) or current(job, pod)):
                self._admission.hold(uid, self._group(job), starting=True)

    def configuration_changed(self) -> None:
        """Counts what is under way by its runtime's key of now, before anything else starts.

        And looks at all jobs that the configuration is about: the finished may be a
        hundred thousand.
        """
        jobs = [job for uid in self._views if (job := self._views.job(uid))]
        unfinished = [job for job in jobs if not job.status.finished]
        self._admission.regroup({job.metadata.uid: self._group(job) for job in unfinished})
        for job in unfinished:
            self._queue.add(job.metadata.uid)

    def close(self) -> None:
        """Ends what goes on behind a reconciliation. Nothing may be reconciled from here on."""
        self._log_tails.close()

    async def reconcile(self, uid: str) -> None:
        """Raises ApiError and network errors: the caller tries again later.

        Raises RestoredError, too: this process must end.
        """
        job = await self._job(uid)
        if job is None:
            self._forget(uid)
            return
        seen = await self._observe(job)
        pod = seen.pod
        if pod and pod.told_to_end and pod.phase is PodPhase.RUNNING and not pod.lost:
            # By whomever: it was evicted, say, or its Job deleted.
            await self._log_tails.follow(job.metadata.namespace, pod)
        decision = decide(seen, self._configuration.current, self._now())
        if seen.child is not None:
            self._hold(seen)
        starts = decision.start is not None
        try:
            self._copy_to_mirror(await self._carry_out(seen, decision))
        except Exception as error:
            # It may have started where the answer was lost, but a fault must not keep its slot.
            starts = starts and isinstance(error, REQUEST_ERRORS)
            raise
        finally:
            if not starts and not self._is_under_way(uid):
                self._admission.release(uid)
        # Not before: what failed waits for its turn, whatever time has come meanwhile.
        if decision.look_again_at is not None:
            self._queue.add_at(uid, decision.look_again_at)

    async def _observe(self, job: BackgroundJob) -> Observation:
        refusal = self._refusals.get(job.metadata.uid, self._configuration.current)
        blocked = self._admission.blocked_by(self._group(job))
        return await self._observer.observe(job, refusal, blocked)

    async def _carry_out(self, seen: Observation, decision: Decision) -> BackgroundJob:
        """Acts, and shows the status. Returns the job as it is then."""
        job, uid = seen.job, seen.job.metadata.uid
        unstarted = seen.child is None and _ends_unstarted(job, decision)
        if unstarted and await self._observer.find_child(job):
            self._queue.add(uid)
            return job
        if decision.start is not None and await self._start(job, decision.start):
            return job
        shown = await self._show(job, decision)
        # The status says why before the deletion, or a crash in between would forget it.
        told = shown is not job or decision.status == job.status
        child = decision.stop
        if child is not None and told and not (child.deleting or child.gone):
            await self._stop(shown, child, seen.pod)
            self._queue.add(uid)
        return shown

    async def _job(self, uid: str) -> BackgroundJob | None:
        """The BackgroundJob, or None where it is gone, broken or needs nothing any more."""
        job = self._views.job(uid)
        if job is None or not self._views.is_doubted(uid, Doubt.JOB):
            return job
        with self._views.settling(uid, Doubt.JOB):
            if job.status.phase is not Phase.SUCCEEDED:
                try:
                    job = await self._observer.read_job(job)
                except ValueError:
                    return None  # its watch tells when it is mended
        if job is None:
            self._mirror.deleted(uid, self._now())
        elif job.status.phase is Phase.SUCCEEDED:  # the watch leaves those out
            self._copy_to_mirror(job)
            self._views.job_is_over(uid)
            return None
        return job

    def _forget(self, uid: str) -> None:
        self._forget_log(uid)
        self._views.forget(uid)
        self._admission.release(uid)
        self._showing.forget(uid)
        self._refusals.forget(uid)
        self._mirrored.pop(uid, None)

    def _keep_log(self, job: BackgroundJob) -> None:
        """Of the attempt that was just recorded, unless it succeeded and those are not kept."""
        uid, last, pod = (
            job.metadata.uid,
            job.status.attempts[-1],
            self._views.pod(job.metadata.uid),
        )
        if pod is None or (pod.run, pod.attempt) != (last.run, last.attempt):
            return
        if self._log_tails_of_all or last.outcome is not AttemptOutcome.SUCCEEDED:
            self._log_tails.keep(uid, job.metadata.namespace, pod)

    def _forget_log(self, uid: str) -> None:
        if pod := self._views.pod(uid):
            self._log_tails.forget(pod.uid)

    def _copy_to_mirror(self, job: BackgroundJob) -> None:
        """Hands the job to the mirror, each of its versions once."""
        uid, version = job.metadata.uid, job.metadata.resource_version
        if self._mirrored.get(uid) != version:
            self._mirrored[uid] = version
            self._mirror.put(job, self._now())

    def _hold(self, seen: Observation) -> None:
        """Keeps the job's slot while an attempt is under way, and its place in the start window."""
        uid, leaves_at = seen.job.metadata.uid, start_window.leaves_at(seen)
        starting = leaves_at is not None and self._now() < leaves_at
        if leaves_at is not None and starting:
            self._queue.add_at(uid, leaves_at)
        self._admission.hold(uid, self._group(seen.job), starting=starting)

    def _is_under_way(self, uid: str) -> bool:
        """Whether the views know a child Job whose outcome is not recorded yet."""
        job = self._views.job(uid)
        return job is not None and current(job, self._views.child(uid)) is not None

    def _group(self, job: BackgroundJob) -> str:
        runtimes = self._configuration.current.runtimes
        return runtime_for(runtimes, job.spec.class_).key if runtimes else DEFAULT

    async def _start(self, job: BackgroundJob, start: Start) -> bool:
        """Creates the child Job, unless the job has to wait. Whether it was created."""
        uid = job.metadata.uid
        manifest = manifests.child_job(job, start)
        if not self._admission.acquire(start.candidate):
            return False
        if not await self._observer.is_fresh(job):
            self._queue.add(uid)
            return False
        self._views.doubt(uid, Doubt.START)
        try:
            raw = await self._api.create(paths.jobs(job.metadata.namespace), manifest)
        except ApiError as error:
            await self._refused(job, start, error)
            return False
        self._took(job, reading.child_job(raw))
        return True

    def _took(self, job: BackgroundJob, child: ChildJob) -> None:
        uid = job.metadata.uid
        self._views.settle(uid, Doubt.START)
        self._refusals.forget(uid)
        self._showing.forget(uid)
        self._views.take_child(uid, child)
        self._showing.look_when_lasting(uid)

    async def _refused(self, job: BackgroundJob, start: Start, error: ApiError) -> None:
        uid = job.metadata.uid
        if error.status != 409 or not await self._adopt(job, start):
            self._refusals.add(uid, job.metadata.namespace, start.runtime.key, error)
        if error.status < _MAY_HAVE_BEEN_CARRIED_OUT:
            self._views.settle(uid, Doubt.START)
        self._queue.add(uid)

    async def _adopt(self, job: BackgroundJob, start: Start) -> bool:
        """Looks at the Job of that name: ours from an earlier try, or somebody else's.

        Whether there is one: a conflict may be about something else, such as a quota.
        """
        raw = await self._api.get(paths.job(job.metadata.namespace, start.job_name))
        if raw is None:
            return False
        if child := reading.child_of(raw, job.metadata.uid):
            self._took(job, child)
            return True
        message = (
            f"A Job named {start.job_name} exists that does not belong to this BackgroundJob; "
            "it is left alone. Delete it, or make this BackgroundJob anew under another name."
        )
        if self._refusals.add_conflict(job.metadata.uid, message):
            event = Event(type=EventType.WARNING, reason="AdoptionConflict", message=message)
            self._events.post(job, event, self._now())
        return True

    async def _stop(self, job: BackgroundJob, child: ChildJob, known: Pod | None) -> None:
        """Deletes the child Job unless it, or its pod, is no longer as it was known.

        A conflict means to look again.
        """
        seen = await self._observer.read_child(job, child)
        if seen is None or seen.gone or seen.deleting or seen.succeeded or seen.failed_message:
            return
        pod = await self._observer.read_pod(job, seen)
        if _phase(pod) is not _phase(known):
            return  # its watch lags, and what was decided on an old view may be wrong
        if pod is not None and pod.phase is PodPhase.RUNNING:
            await self._log_tails.follow(job.metadata.namespace, pod)
        options = delete_options(seen.uid, seen.resource_version, "Foreground")
        self._views.doubt(job.metadata.uid, Doubt.CHILD)  # also where it is not answered
        try:
            await self._api.delete(paths.job(job.metadata.namespace, seen.name), options)
        except ApiError as error:
            if error.status != 409:
                raise

    async def _show(self, job: BackgroundJob, decision: Decision) -> BackgroundJob:
        """Writes the status if it is another one, and urgent or lasting. Returns the job as is."""
        uid, status = job.metadata.uid, decision.status
        is_answer = job.metadata.generation > (job.status.observed_generation or 1)
        if status == job.status or not (
            decision.urgent or self._showing.may_show(uid, status, is_answer=is_answer)
        ):
            return job
        path = paths.status(job.metadata.namespace, job.metadata.name)
        patch: list[dict[str, Any]] = [
            {
                "op": "replace",
                "path": "/metadata/resourceVersion",
                "value": job.metadata.resource_version,
            },
            {"op": "add", "path": "/status", "value": render_status(status)},
        ]
        try:
            raw = await self._api.patch(path, patch)
        except ApiError as error:
            if error.status not in (404, 409):
                raise
            self._views.doubt(uid, Doubt.JOB)
            self._queue.add(uid)
            return job
        written = parse(raw)
        self._views.put_job(written)
        self._showing.forget(uid)
        if written.status.attempts_total > job.status.attempts_total:
            self._keep_log(written)
            self._forget_log(uid)
        metrics.count_transition(job, written)
        if decision.event is not None:
            self._events.post(written, decision.event, self._now())
        return written


def _phase(pod: Pod | None) -> PodPhase:
    return PodPhase.PENDING if pod is None else pod.phase


def _ends_unstarted(job: BackgroundJob, decision: Decision) -> bool:
    """Whether the job is to end or be held without an attempt: its view may lack one.

    After a restart a child Job may exist of which neither the status nor a view tells.
    """
    status = decision.status
    held = status.reason is Reason.SUSPENDED
    return status != job.status and not job.status.finished and (status.finished or held)
