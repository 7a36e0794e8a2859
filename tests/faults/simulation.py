"""Runs a schedule against the operator, and tells what is wrong with what happened."""

import argparse
import asyncio
import functools
import logging
import random
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from tests.faults import model, schedule, virtualtime
from tests.faults.apiserver import ApiServer, Key, Object, Write, owner_uid
from tests.faults.cluster import Cluster, job_name
from tests.faults.network import CALM, Network, Request
from tests.faults.process import Database, Operator
from tests.faults.schedule import ALLOWED, Happening, Schedule, Submission

from bgjobs.controller.election import LeaseLostError
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.names import child_job_name
from bgjobs.kube import labels, paths
from bgjobs.kube.api import REQUEST_ERRORS, ApiError
from bgjobs.mirror.schema import JOBS, METADATA
from bgjobs.settings import Settings

NAMESPACE = "shop"
_OPERATOR_NAMESPACE = "bgjobs-system"
_REST_WITHIN_SECONDS = 600
_COMES_TO_REST_SECONDS = 45
"""Longer than what began before the calm may take."""
_STAYS_AT_REST_SECONDS = 75
"""Longer than every round of the operator's own."""


@dataclass
class Outcome:
    """What happened, and what of it should not have."""

    history: list[Write]
    notes: list[tuple[float, str]]
    violations: list[str]
    injected: int
    """Faults that happened."""
    pods_run: int
    operator_writes: int
    """Of those that live at the end, Events apart."""

    def text(self) -> str:
        told = (write for write in self.history if write.key.kind != "leases")
        lines = [(write.at, describe(write)) for write in told] + self.notes
        lines.sort(key=lambda line: line[0])
        return "\n".join(f"{at:9.3f}  {text}" for at, text in lines)


def simulate(plan: Schedule) -> Outcome:
    return virtualtime.run(lambda loop: World(plan, loop).run())


class World:
    """Everything there is in one simulation."""

    def __init__(self, plan: Schedule, loop: virtualtime.VirtualTimeLoop) -> None:
        self._plan = plan
        self._loop = loop
        self._rng = random.Random(plan.seed)
        self.server = ApiServer(loop.time)
        self.server.longest_page = 3
        self.network = Network(self.server, self._rng)
        self.cluster = Cluster(self.server, self._rng, plan.script)
        self.database = Database(_empty_database())
        self._settings = Settings(
            database_url="sqlite://",
            **{
                "hints_per_second": 1,
                "workers": 4,
                "child_ttl_seconds_after_success": 60,
                "child_ttl_seconds_otherwise": 60,
                **plan.settings,
            },
        )
        self._operators: dict[str, tuple[Operator, asyncio.Task[None]]] = {}
        self._restart_after: dict[str, float] = {}
        self._calm = False
        self._armed: list[Happening] = []
        self._notes: list[tuple[float, str]] = []
        self.faults: list[str] = []
        self.server.listeners.append(self._trigger)

    async def run(self) -> Outcome:
        log = _Log(self)
        logging.getLogger("bgjobs").addHandler(log)
        try:
            return await self._run()
        finally:
            logging.getLogger("bgjobs").removeHandler(log)

    async def _run(self) -> Outcome:
        plan = self._plan
        self.configure(ALLOWLIST, ALLOWED)
        self.set_runtime(plan.runtime)
        self.network.weather = plan.weather
        operators = [
            self._loop.create_task(self._keep_running(f"operator-{number}"))
            for number in range(1, plan.operators + 1)
        ]
        for submission in plan.submissions:
            self._loop.call_at(submission.at, self._submit, submission)
        for happening in plan.happenings:
            if happening.when.write:
                self._armed.append(happening)
            else:
                self._loop.call_at(happening.when.seconds, self._do, happening)
        await asyncio.sleep(plan.calm_from)
        self._calm_down()
        at_rest = await self._rest()
        for task in operators:
            task.cancel()
        violations = [*self.faults, *model.violations(self.server.history, plan, at_rest)]
        violations += self._mirror_differs()
        return Outcome(
            self.server.history,
            self._notes,
            violations,
            self.network.injected.total(),
            self.cluster.pods_run,
            sum(operator.client.writes for operator, _ in self._operators.values()),
        )

    # What happens; schedules name these methods

    def cancel(self, name: str) -> None:
        self.change(name, {"cancelled": True})

    def start(self, name: str) -> None:
        self._raise(name, "startRequests")

    def retry(self, name: str) -> None:
        self._raise(name, "retryRequests", cancelled=False)

    def change(self, name: str, spec: Object) -> None:
        self._ask("user", "PATCH", paths.background_job(NAMESPACE, name), {"spec": spec})

    def delete(self, name: str) -> None:
        self._ask("user", "DELETE", paths.background_job(NAMESPACE, name))

    def delete_child(self, name: str) -> None:
        """A stranger deletes the child Job that is under way."""
        for key, job in self.server.of_kind("jobs"):
            if owner_uid(job) and job_name(job) == name and not job["status"].get("conditions"):
                self._count("child Job deleted")
                self._ask("stranger", "DELETE", paths.job(key.namespace, key.name))

    def plant(self, name: str) -> None:
        """A stranger makes a Job of the name that the next attempt's would have."""
        job = self.server.objects.get(Key("backgroundjobs", NAMESPACE, name))
        if job is None:
            return
        uid, status = job["metadata"]["uid"], job["status"]
        run, attempt = status.get("run", 1), model.next_attempt(status)
        foreign = child_job_name(name, uid, run, attempt)
        given = {labels.UID: uid, labels.RUN: str(run), labels.ATTEMPT: str(attempt)}
        body = {"metadata": {"name": foreign, "labels": given}, "spec": {}}
        self._count("foreign Job")
        self._ask("stranger", "POST", paths.jobs(NAMESPACE), body)

    def evict(self, name: str) -> None:
        for key, pod in self.server.of_kind("pods"):
            if pod["status"]["phase"] == "Running" and job_name(pod) == name:
                self._count("eviction")
                self.cluster.evict(key)

    def crash(self, restart_after: float) -> None:
        """Kills one of the operators."""
        if self._operators:
            name = self._rng.choice(sorted(self._operators))
            self._restart_after[name] = restart_after
            self._kill(name)

    def break_watches(self, compact: bool = False) -> None:
        if compact:
            self.server.compacted = self.server.version
        self.network.break_watches()

    def set_database(self, up: bool) -> None:
        self._count("database down")
        self.database.down = not up

    def set_quota(self, exceeded: bool) -> None:
        self._count("quota exceeded")
        self.server.quota_exceeded = exceeded

    def set_runtime(self, settings: str) -> None:
        self.configure(RUNTIMES, {"default": f"image: shop:1\n{settings}"})

    def configure(self, name: str, data: dict[str, str] | None) -> None:
        """Writes one of the operator's ConfigMaps; None deletes it."""
        path = f"{paths.config_maps(_OPERATOR_NAMESPACE)}/{name}"
        if data is None:
            self._ask("engineer", "DELETE", path)
        elif Key("configmaps", _OPERATOR_NAMESPACE, name) in self.server.objects:
            self._ask("engineer", "PATCH", path, [_set_data(data)])
        else:
            body = {"metadata": {"name": name}, "data": data}
            self._ask("engineer", "POST", paths.config_maps(_OPERATOR_NAMESPACE), body)

    # How it is brought about

    def _submit(self, submission: Submission) -> None:
        body = {"metadata": {"name": submission.name}, "spec": submission.spec}
        path = paths.background_job(NAMESPACE, submission.name).rpartition("/")[0]
        self._ask("user", "POST", path, body)

    def _do(self, happening: Happening) -> None:
        if self._calm:
            return
        self.note(f"{happening.what} {happening.arguments}")
        getattr(self, happening.what)(*happening.arguments)

    def _trigger(self, write: Write) -> None:
        """Lets happen what waits for this write."""
        milestone = _milestone(write)
        for happening in tuple(self._armed):
            if (happening.when.job, happening.when.write) == milestone:
                self._armed.remove(happening)
                self._loop.call_later(happening.when.seconds, self._do, happening)

    def _raise(self, name: str, counter: str, **spec: Any) -> None:
        job = self.server.objects.get(Key("backgroundjobs", NAMESPACE, name))
        if job is not None:
            self.change(name, {counter: job["spec"].get(counter, 0) + 1, **spec})

    def _ask(self, who: str, method: str, path: str, body: Any = None) -> None:
        try:
            self.server.handle(who, *Request(method, path, {}, body))
        except ApiError as error:
            self.note(f"{who} is refused: {error}")

    def _count(self, what: str) -> None:
        self.network.injected[what] += 1

    def note(self, text: str) -> None:
        self._notes.append((self._loop.time(), text))

    # The operators

    async def _keep_running(self, name: str) -> None:
        """As a Deployment does."""
        crash_at = self._plan.crash_at
        while True:
            skew = timedelta(seconds=self._plan.skew_seconds)
            operator = Operator(name, self.network, self.database, self._settings, skew)
            operator.client.crash = lambda: self._kill(name)
            operator.client.crash_at, crash_at = crash_at, None
            task = self._loop.create_task(operator.run())
            self._operators[name] = (operator, task)
            self.note(f"{name} starts")
            try:
                await task
            except asyncio.CancelledError:
                if not operator.client.dead:
                    raise
            except Exception as error:
                self.note(f"{name} ends: {error!r}")
                _, faults = ExceptionGroup("", [error]).split((*REQUEST_ERRORS, LeaseLostError))
                self.faults += [f"{name} ends of {faults!r}"] if faults else []
            await asyncio.sleep(self._restart_after.pop(name, 0.0) + self._rng.uniform(0.5, 2))

    def _kill(self, name: str) -> None:
        if name in self._operators:
            operator, task = self._operators.pop(name)
            self._count("crash")
            self.note(f"{name} is killed")
            operator.client.dead = True
            task.cancel()

    # The end

    def _calm_down(self) -> None:
        """Ends every fault. What users and engineers want stays as it is."""
        self.note("calm")
        self._calm = True
        self.network.weather = CALM
        self.database.down = self.server.quota_exceeded = False
        self.configure(ALLOWLIST, ALLOWED)
        self.set_runtime(self._plan.runtime)
        self.cluster.nodes_return()
        for key, job in self.server.of_kind("jobs"):
            if owner_uid(job) is None:
                self._ask("stranger", "DELETE", paths.job(key.namespace, key.name))
        self.network.break_watches()

    async def _rest(self) -> int | None:
        """Waits until everything has come to rest. From which version on it should be at rest."""
        deadline = self._loop.time() + _REST_WITHIN_SECONDS
        while not self._is_settled():
            if self._loop.time() > deadline:
                return None
            await asyncio.sleep(1)
        await asyncio.sleep(_COMES_TO_REST_SECONDS)
        version = self.server.version
        await asyncio.sleep(_STAYS_AT_REST_SECONDS)
        return version

    def _is_settled(self) -> bool:
        jobs = [job for _, job in self.server.of_kind("backgroundjobs")]
        return all(
            job["status"]["phase"] in model.FINISHED or job["spec"].get("suspend") for job in jobs
        )

    def _mirror_differs(self) -> list[str]:
        """Whether the mirror shows something else than there is."""
        with self.database.engine.connect() as connection:
            rows = {row.uid: row for row in connection.execute(sa.select(JOBS))}
        problems = []
        for key, job in self.server.of_kind("backgroundjobs"):
            metadata, status = job["metadata"], job["status"]
            row = rows.pop(metadata["uid"], None)
            if row is None:
                problems.append(f"{key.name} is not in the mirror")
                continue
            shown = (row.resource_version.lstrip("0"), row.phase, row.deleted_at)
            if shown != (metadata["resourceVersion"], status["phase"], None):
                problems.append(f"{key.name} is another one in the mirror: {shown}")
        problems += [
            f"{row.name} is gone, but not in the mirror"
            for row in rows.values()
            if row.deleted_at is None
        ]
        return problems


class _Log(logging.Handler):
    """What the operator logs; an exception that it did not expect is a fault of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        self._world.note(record.getMessage())
        if record.exc_info:
            self._world.faults.append(f"{record.getMessage()}: {record.exc_info[1]!r}")


def describe(write: Write) -> str:
    key, last = write.key, write.last
    status = last.get("status", {})
    shown = [f"{write.version} {write.who} {write.verb} {key.kind}/{key.name}"]
    if key.kind == "backgroundjobs":
        counts = f"run {status.get('run', 1)}, {status.get('attemptsTotal', 0)} attempts"
        shown.append(f"{status['phase']}/{status['reason']} ({counts}): {status['message']}")
        if write.verb in ("create", "update"):
            shown.append(str(last["spec"]))
    elif key.kind == "pods":
        shown.append(status["phase"])
    elif key.kind == "events":
        shown.append(f"{last['reason']}: {last['message']}")
    elif key.kind == "configmaps":
        shown.append(str(last["data"]))
    else:
        shown += [condition["type"] for condition in status.get("conditions", [])]
    if "deletionTimestamp" in last["metadata"]:
        shown.append("being deleted")
    return " ".join(shown)


@functools.cache
def _database() -> sa.Engine:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    METADATA.create_all(engine)
    return engine


def _empty_database() -> sa.Engine:
    engine = _database()
    with engine.begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(sa.delete(table))
    return engine


def _set_data(data: dict[str, str]) -> Object:
    return {"op": "add", "path": "/data", "value": data}


def _milestone(write: Write) -> tuple[str, str]:
    """The name of the job that got further by this write, and how far."""
    (kind, _, name), before, last = write.key, write.before, write.last
    if kind == "jobs" and before is None and owner_uid(last):
        return job_name(last), "started"
    if kind == "pods" and before and before["status"]["phase"] != last["status"]["phase"]:
        return job_name(last), "running" if last["status"]["phase"] == "Running" else "ended"
    if kind == "backgroundjobs" and before is None:
        return name, "submitted"
    if kind == "backgroundjobs" and before:
        old, new = before["status"], last["status"]
        if new["phase"] in model.FINISHED and old["phase"] not in model.FINISHED:
            return name, "finished"
        return name, "recorded" if old.get("attemptsTotal") != new.get("attemptsTotal") else ""
    return "", ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.count) if given.seed is None else [given.seed]
    history = "" if given.seed is None else simulate(schedule.draw(given.seed)).text()
    failures = 0
    for seed in seeds:
        outcome = simulate(schedule.draw(seed))
        if outcome.violations:
            failures += 1
            history = history or outcome.text()
            print(f"make simulate SEED={seed}", *outcome.violations, sep="\n  ")
    print(history, f"{failures} of {len(seeds)} schedules failed", sep="\n")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
