"""The simulation bites: it finds each of these faults, put into the operator on purpose."""

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.faults import schedule
from tests.faults.scenarios import SCENARIOS
from tests.faults.seeds import FIRST_SEED
from tests.faults.simulation import simulate

from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.reconciler import Reconciler
from bgjobs.domain import decide, names, priority
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies import attempt_ended, start
from bgjobs.domain.policies.allowed import allowed
from bgjobs.domain.policies.rerun import rerun
from bgjobs.domain.policies.stop import cancel
from bgjobs.domain.resource import AttemptOutcome, BackgroundJob
from bgjobs.kube import reading
from bgjobs.kube.api import Api
from bgjobs.kube.views import Views
from bgjobs.mirror.writer import MirrorWriter

_FOUND_WITHIN_SCHEDULES = 100

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
    def twice(decision: Decision, seen: Observation) -> Decision:
        used, before = decision.status.retries_used, seen.job.status.retries_used
        status = msgspec.structs.replace(decision.status, retries_used=used + (used > before))
        return msgspec.structs.replace(decision, status=status)

    _changing(patch, attempt_ended.attempt_ended, twice)


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

    policies = (at_first if policy is allowed else policy for policy in decide.POLICIES)
    patch.setattr(decide, "POLICIES", tuple(policies))


def status_written_without_resource_version(patch: pytest.MonkeyPatch) -> None:
    sent = Api.patch

    async def unguarded(self: Api, path: str, operations: list[Any]) -> Any:
        return await sent(self, path, operations[1:])

    patch.setattr(Api, "patch", unguarded)


def names_of_child_jobs_differ_each_time(patch: pytest.MonkeyPatch) -> None:
    name, numbers = names.child_job_name, itertools.count()
    patch.setattr(start, "child_job_name", lambda *given: f"{name(*given)}-{next(numbers)}")


def foreign_jobs_adopted(patch: pytest.MonkeyPatch) -> None:
    async def adopt(self: Any, job: BackgroundJob, start: Any) -> None:
        path = f"/apis/batch/v1/namespaces/{job.metadata.namespace}/jobs/{start.job_name}"
        if raw := await self._api.get(path):
            uid = job.metadata.uid
            ours = {"bgjobs.dev/uid": uid, "bgjobs.dev/run": "1", "bgjobs.dev/attempt": "1"}
            raw["metadata"]["labels"] = ours
            self._took(job, reading.child_job(raw))

    patch.setattr(Reconciler, "_adopt", adopt)


def limits_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdmissionQueue, "_full", lambda _: None)


def slots_given_back_too_early(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdmissionQueue, "hold", lambda self, uid, *_, **__: self.release(uid))


def vanished_jobs_not_noticed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Views, "child_is_gone", lambda *_: None)


def deletions_not_mirrored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MirrorWriter, "deleted", lambda *_: None)


def _without(patch: pytest.MonkeyPatch, policy: Policy) -> None:
    patch.setattr(decide, "POLICIES", tuple(p for p in decide.POLICIES if p is not policy))


def _changing(
    patch: pytest.MonkeyPatch, policy: Policy, change: Callable[[Decision, Observation], Decision]
) -> None:
    def changed(seen: Observation, *others: Any) -> Decision | None:
        decision = policy(seen, *others)
        return change(decision, seen) if decision else None

    policies = (changed if each is policy else each for each in decide.POLICIES)
    patch.setattr(decide, "POLICIES", tuple(policies))


@pytest.mark.parametrize(
    "breakage",
    [
        cancel_ignored,
        cancel_heard_before_the_end_of_an_attempt,
        terminal_phases_not_kept,
        retries_without_end,
        retry_counted_twice,
        suspend_counted_as_a_failure,
        allowlist_not_checked_for_retries,
        status_written_without_resource_version,
        names_of_child_jobs_differ_each_time,
        foreign_jobs_adopted,
        limits_ignored,
        slots_given_back_too_early,
        vanished_jobs_not_noticed,
        deletions_not_mirrored,
    ],
)
def test_a_fault_of_the_operator_is_found(
    breakage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    breakage(monkeypatch)
    seeds = range(FIRST_SEED, FIRST_SEED + _FOUND_WITHIN_SCHEDULES)
    plans = itertools.chain(map(schedule.draw, seeds), SCENARIOS.values())
    assert any(simulate(plan).violations for plan in plans)
