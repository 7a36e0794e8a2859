"""Faults that are put into the operator on purpose, for the simulation to find."""

import itertools
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from bgjobs.controller import resync
from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.observing import Observer
from bgjobs.controller.reconciler import Reconciler
from bgjobs.domain import decide, names, priority, retention
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies import attempt_ended, start
from bgjobs.domain.policies.allowed import allowed
from bgjobs.domain.policies.rerun import rerun
from bgjobs.domain.policies.stop import cancel
from bgjobs.domain.resource import AttemptOutcome, BackgroundJob
from bgjobs.kube import paths, reading
from bgjobs.kube.api import Api
from bgjobs.kube.views import TRUSTED_FOR, Views
from bgjobs.mirror.writer import MirrorWriter

Breakage = Callable[[pytest.MonkeyPatch], None]
Policy = Callable[..., Decision | None]


def cancel_ignored(patch: pytest.MonkeyPatch) -> None:
    _without(patch, cancel)


def cancel_heard_before_the_end_of_an_attempt(patch: pytest.MonkeyPatch) -> None:
    policies = [policy for policy in decide.POLICIES if policy is not attempt_ended.attempt_ended]
    patch.setattr(decide, "POLICIES", (*policies[:3], attempt_ended.attempt_ended, *policies[3:]))


def terminal_phases_not_kept(patch: pytest.MonkeyPatch) -> None:
    _without(patch, rerun)


def retries_without_end(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(priority, "effective_retries", lambda spec: spec.retries + 2)


def retry_counted_twice(patch: pytest.MonkeyPatch) -> None:
    def twice(seen: Observation, *others: Any) -> Decision | None:
        if decision := attempt_ended.attempt_ended(seen, *others):
            used, before = decision.status.retries_used, seen.job.status.retries_used
            status = msgspec.structs.replace(decision.status, retries_used=used + (used > before))
            return msgspec.structs.replace(decision, status=status)
        return None

    _replace(patch, attempt_ended.attempt_ended, twice)


def suspend_counted_as_a_failure(patch: pytest.MonkeyPatch) -> None:
    stopped = attempt_ended._stopped

    def failed(*arguments: Any) -> Any:
        end = stopped(*arguments)
        suspended = end.outcome is AttemptOutcome.SUSPENDED
        return msgspec.structs.replace(end, outcome=AttemptOutcome.FAILED) if suspended else end

    patch.setattr(attempt_ended, "_stopped", failed)


def allowlist_not_checked_for_retries(patch: pytest.MonkeyPatch) -> None:
    def at_first(seen: Observation, config: Configuration, now: Any) -> Decision | None:
        return allowed(seen, config, now) if seen.job.status.next_attempt == 1 else None

    _replace(patch, allowed, at_first)


def status_written_without_resource_version(patch: pytest.MonkeyPatch) -> None:
    sent = Api.patch

    async def unguarded(self: Api, path: str, operations: list[Any]) -> Any:
        return await sent(self, path, operations[1:])

    patch.setattr(Api, "patch", unguarded)


def deletion_without_preconditions(patch: pytest.MonkeyPatch) -> None:
    sent = Api.delete

    async def unguarded(self: Api, path: str, options: dict[str, Any]) -> None:
        await sent(self, path, options | {"preconditions": {}})

    patch.setattr(Api, "delete", unguarded)


def names_of_child_jobs_differ_each_time(patch: pytest.MonkeyPatch) -> None:
    name, numbers = names.child_job_name, itertools.count()
    patch.setattr(start, "child_job_name", lambda *given: f"{name(*given)}-{next(numbers)}")


def unanswered_start_not_looked_for(patch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        pass

    patch.setattr(Observer, "find_child", nothing)


def foreign_jobs_adopted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(reading, "child_of", lambda raw, _: reading.or_none(reading.child_job, raw))


def child_job_deleted_before_its_end_is_recorded(patch: pytest.MonkeyPatch) -> None:
    show = Reconciler._show

    async def delete_first(self: Any, job: BackgroundJob, decision: Decision) -> BackgroundJob:
        if decision.status.attempts_total > job.status.attempts_total:
            child = self._views.child(job.metadata.uid)
            await self._api.delete(paths.job(job.metadata.namespace, child.name), {})
        return await show(self, job, decision)

    patch.setattr(Reconciler, "_show", delete_first)


def child_job_deleted_as_soon_as_its_time_is_over(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(resync, "_NAME_STAYS_FOR", timedelta(0))


def limits_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdmissionQueue, "_full", lambda _: None)


def slots_not_held_by_a_new_leader(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Reconciler, "take_over", lambda _: None)


def slots_of_vanished_child_jobs_not_held(patch: pytest.MonkeyPatch) -> None:
    def take_over(self: Any) -> None:
        for uid in self._views:
            job = self._views.job(uid)
            if job and self._is_under_way(uid):
                self._admission.hold(uid, self._group(job), starting=True)

    patch.setattr(Reconciler, "take_over", take_over)


def slots_counted_by_the_runtimes_of_before(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdmissionQueue, "regroup", lambda *_: None)


def slots_given_back_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdmissionQueue, "hold", lambda self, uid, *_, **__: self.release(uid))


def silent_watch_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Views, "is_trusted", lambda *_: True)


def old_news_trusted_after_a_silence(patch: pytest.MonkeyPatch) -> None:
    def is_trusted(self: Any, _: BackgroundJob, now: datetime) -> bool:
        return bool(now - self._heard_at < TRUSTED_FOR)

    patch.setattr(Views, "is_trusted", is_trusted)


def job_expires_that_is_to_run_again(patch: pytest.MonkeyPatch) -> None:
    def by_its_end_alone(job: BackgroundJob, *others: Any) -> bool:
        spec = msgspec.structs.replace(job.spec, retry_requests=0)
        return retention.job_has_expired(msgspec.structs.replace(job, spec=spec), *others)

    patch.setattr(resync, "job_has_expired", by_its_end_alone)


def pods_that_outlive_their_child_job_ignored(patch: pytest.MonkeyPatch) -> None:
    find = Observer.find_child

    async def by_its_job_alone(self: Any, job: BackgroundJob) -> Any:
        child = await find(self, job)
        if child is not None and child.gone:
            self._views.forget(job.metadata.uid)
            self._views.put_job(job)
            return None
        return child

    patch.setattr(Observer, "find_child", by_its_job_alone)


def late_news_of_what_is_over_believed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Views, "job_is_over", lambda *_: None)


def vanished_jobs_not_noticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Views, "child_is_gone", lambda *_: None)


def deletions_not_mirrored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MirrorWriter, "deleted", lambda *_: None)


def _without(patch: pytest.MonkeyPatch, policy: Policy) -> None:
    patch.setattr(decide, "POLICIES", tuple(p for p in decide.POLICIES if p is not policy))


def _replace(patch: pytest.MonkeyPatch, policy: Policy, other: Policy) -> None:
    policies = (other if each is policy else each for each in decide.POLICIES)
    patch.setattr(decide, "POLICIES", tuple(policies))
