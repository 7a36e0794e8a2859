"""Observe, decide, act, show: one BackgroundJob at a time, from its state alone."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from bgjobs import metrics
from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.events import EventPoster
from bgjobs.controller.hints import HintQueue
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.observing import Observer, current
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain import start_window
from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision, Event, EventType, Start
from bgjobs.domain.observation import ChildJob, Observation, Pod, PodPhase, Refusal
from bgjobs.domain.resource import (
    AttemptOutcome,
    BackgroundJob,
    Phase,
    Reason,
    Status,
    parse,
    render_status,
)
from bgjobs.domain.runtimes import DEFAULT, key_for
from bgjobs.kube import manifests, paths, reading
from bgjobs.kube.api import Api, ApiError, delete_options
from bgjobs.kube.views import Doubt, Views
from bgjobs.mirror.writer import MirrorWriter

_SHOWN_AFTER = timedelta(seconds=1)
"""A state that does not last this long is never written."""

_SHOWN_AFTER_WHILE_BUSY = timedelta(seconds=10)
"""The same while many jobs start: then a quick one takes longer, too."""

_REFUSED_FOR = timedelta(seconds=30)
_CONFLICT_FOR = timedelta(seconds=10)
_BUSY_FOR = timedelta(seconds=5)
_NAMESPACE_ENDS_FOR = timedelta(minutes=5)
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
        hints: HintQueue,
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
        self._hints = hints
        self._configuration = configuration
        self._events = events
        self._mirror = mirror
        self._now = now
        self._log_tails = log_tails
        self._log_tails_of_all = log_tails_of_all
        self._observer = Observer(api, views, log_tails, now)
        self._refusals: dict[str, Refusal] = {}
        self._refused_under = configuration.current
        self._decided: dict[str, tuple[tuple[str, str, str], datetime]] = {}
        self._mirrored: dict[str, str] = {}

    def take_over(self) -> None:
        """Holds the slots of what is under way: what waits must not get them first.

        Also where a child Job is gone: until its end is recorded, its retry may come at once.
        """
        for uid in self._views:
            job, pod = self._views.job(uid), self._views.pod(uid)
            if job and (job.status.job_ref or self._is_under_way(uid) or current(job, pod)):
                self._admission.hold(uid, self._group(job), starting=True)

    def close(self) -> None:
        """Ends what goes on behind a reconciliation. Nothing may be reconciled from here on."""
        self._log_tails.close()

    async def reconcile(self, uid: str) -> None:
        """Raises ApiError and network errors: the caller tries again later."""
        job = await self._job(uid)
        if job is None:
            self._forget(uid)
            return
        if self._refused_under is not self._configuration.current:
            # What is mended may be taken at once.
            self._refused_under = self._configuration.current
            self._refusals.clear()
        group = self._group(job)
        seen = await self._observer.observe(
            job, self._refusals.get(uid), self._admission.blocked_by(group)
        )
        decision = decide(seen, self._configuration.current, self._now())
        if seen.child is not None:
            self._hold(seen, group)
        try:
            await self._carry_out(seen, decision)
        finally:
            if decision.start is None and not self._is_under_way(uid):
                self._admission.release(uid)
        # Not before: what failed waits for its turn, whatever time has come meanwhile.
        if decision.look_again_at is not None:
            self._queue.add_at(uid, decision.look_again_at)

    async def _carry_out(self, seen: Observation, decision: Decision) -> None:
        job, uid = seen.job, seen.job.metadata.uid
        unstarted = seen.child is None and _ends_unstarted(job, decision)
        if unstarted and await self._observer.find_child(job):
            self._queue.add(uid)
            return
        if decision.stop is not None:
            # The status says why before the deletion, or a crash in between would forget it.
            shown = await self._show(job, decision)
            told = shown is not job or decision.status == job.status
            if told and not (decision.stop.deleting or decision.stop.gone):
                await self._stop(shown, decision.stop, seen.pod)
                self._queue.add(uid)
            self._copy_to_mirror(shown)
            return
        if decision.start is not None and await self._start(job, decision.start):
            self._copy_to_mirror(job)
            return
        self._copy_to_mirror(await self._show(job, decision))

    async def _job(self, uid: str) -> BackgroundJob | None:
        """The BackgroundJob, or None where it is gone, broken or needs nothing any more."""
        job = self._views.job(uid)
        if job is None or not self._views.is_doubted(uid, Doubt.JOB):
            return job
        with self._views.settling(uid, Doubt.JOB):
            if job.status.phase is not Phase.SUCCEEDED:
                job = await self._observer.read_job(job)
        if job is None:
            if self._views.is_over(uid):
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
        self._hints.forget(uid)
        self._refusals.pop(uid, None)
        self._decided.pop(uid, None)
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

    def _hold(self, seen: Observation, group: str) -> None:
        """Keeps the job's slot while an attempt is under way, and its place in the start window."""
        uid, leaves_at = seen.job.metadata.uid, start_window.leaves_at(seen)
        starting = leaves_at is not None and self._now() < leaves_at
        if leaves_at is not None and starting:
            self._queue.add_at(uid, leaves_at)
        self._admission.hold(uid, group, starting=starting)

    def _is_under_way(self, uid: str) -> bool:
        """Whether the views know a child Job whose outcome is not recorded yet."""
        job = self._views.job(uid)
        return job is not None and current(job, self._views.child(uid)) is not None

    def _group(self, job: BackgroundJob) -> str:
        runtimes = self._configuration.current.runtimes
        return key_for(runtimes, job.spec.class_) if runtimes else DEFAULT

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
        self._refusals.pop(uid, None)
        self._decided.pop(uid, None)
        self._hints.forget(uid)
        self._views.take_child(uid, child)
        self._queue.add_at(uid, self._now() + self._shown_after)

    async def _refused(self, job: BackgroundJob, start: Start, error: ApiError) -> None:
        """Holds the job back for as long as the API server's refusal means; others may start."""
        uid = job.metadata.uid
        if error.status == 409:
            await self._adopt(job, start)
        elif error.is_of_ending_namespace:
            message = f"Namespace {job.metadata.namespace} is being deleted, and this job with it."
            retry_at = self._now() + _NAMESPACE_ENDS_FOR
            self._refusals[uid] = Refusal(
                reason=Reason.QUEUED, message=message, retry_at=retry_at, tries=1
            )
        elif error.status == 403 and "exceeded quota" in error.message:
            self._hold_back(uid, Reason.QUOTA_EXCEEDED, error.message, _REFUSED_FOR)
        elif error.status in (400, 403, 404, 413, 422):
            message = (
                f"The API server refuses the Job of runtime {start.runtime.key}; a platform "
                f"engineer mends it in ConfigMap bgjobs-runtimes, and it is tried again: {error}"
            )
            self._hold_back(uid, Reason.CONFIGURATION_INVALID, message, _REFUSED_FOR)
        else:
            message = f"The API server does not take the Job at present; it is tried again: {error}"
            self._hold_back(uid, Reason.QUEUED, message, _BUSY_FOR)
        if error.status < _MAY_HAVE_BEEN_CARRIED_OUT:
            self._views.settle(uid, Doubt.START)
        self._queue.add(uid)

    async def _adopt(self, job: BackgroundJob, start: Start) -> None:
        """A Job of that name exists: ours from an earlier try, or somebody else's."""
        raw = await self._api.get(paths.job(job.metadata.namespace, start.job_name))
        if raw is None:
            return
        if child := reading.child_of(raw, job.metadata.uid):
            self._took(job, child)
            return
        message = (
            f"A Job named {start.job_name} exists that does not belong to this BackgroundJob; "
            "it is left alone. Delete it, or make this BackgroundJob anew under another name."
        )
        if job.metadata.uid not in self._refusals:
            event = Event(type=EventType.WARNING, reason="AdoptionConflict", message=message)
            self._events.post(job, event, self._now())
        self._hold_back(job.metadata.uid, Reason.ADOPTION_CONFLICT, message, _CONFLICT_FOR)

    def _hold_back(self, uid: str, reason: Reason, message: str, longest: timedelta) -> None:
        """Tries again after 2 s, 4 s and so on, at most every `longest`."""
        before = self._refusals.get(uid)
        tries = before.tries + 1 if before and before.reason is reason else 1
        pause = min(longest, timedelta(seconds=2 ** min(tries, 10)))
        self._refusals[uid] = Refusal(
            reason=reason, message=message, retry_at=self._now() + pause, tries=tries
        )

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
        status = decision.status
        if status == job.status or not (decision.urgent or self._may_show(job, status)):
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
            self._views.doubt(job.metadata.uid, Doubt.JOB)
            self._queue.add(job.metadata.uid)
            return job
        written = parse(raw)
        self._views.put_job(written)
        self._decided.pop(job.metadata.uid, None)
        self._hints.forget(job.metadata.uid)
        if written.status.attempts_total > job.status.attempts_total:
            self._keep_log(written)
            self._forget_log(job.metadata.uid)
        metrics.count_transition(job, written)
        if decision.event is not None:
            self._events.post(written, decision.event, self._now())
        return written

    def _may_show(self, job: BackgroundJob, status: Status) -> bool:
        """Whether a status that records nothing has lasted, and may be written by now."""
        uid, now = job.metadata.uid, self._now()
        what = (str(status.phase), str(status.reason), status.message)
        known, since = self._decided.get(uid, (None, now))
        if known != what:
            self._decided[uid] = (what, now)
            since = now
        if now - since < self._shown_after:
            self._queue.add_at(uid, since + self._shown_after)
            return False
        return status.job_ref is not None or self._hints.take(uid)

    @property
    def _shown_after(self) -> timedelta:
        return _SHOWN_AFTER_WHILE_BUSY if self._admission.is_busy else _SHOWN_AFTER


def _phase(pod: Pod | None) -> PodPhase:
    return PodPhase.PENDING if pod is None else pod.phase


def _ends_unstarted(job: BackgroundJob, decision: Decision) -> bool:
    """Whether the job is to end or be held without an attempt: its view may lack one.

    After a restart a child Job may exist of which neither the status nor a view tells.
    """
    status = decision.status
    held = status.reason is Reason.SUSPENDED
    return status != job.status and not job.status.finished and (status.finished or held)
