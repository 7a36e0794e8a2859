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
from tests.faults.apiserver import FINISHED, ApiServer, Key, Object, Request, Write, owner_uid
from tests.faults.cluster import Cluster, job_name
from tests.faults.network import CALM, Network
from tests.faults.process import Database, Operator
from tests.faults.schedule import ALLOWED, CLASSES, Happening, Schedule

from bgjobs.controller.election import LeaseLostError
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.names import child_job_name
from bgjobs.kube import labels, paths
from bgjobs.kube.api import REQUEST_ERRORS, ApiError
from bgjobs.mirror.schema import JOBS, METADATA
from bgjobs.settings import Settings

_NAMESPACE = "shop"
_OPERATOR_NAMESPACE = "bgjobs-system"
_JOBS = paths.background_job(_NAMESPACE, "").removesuffix("/")
_REST_WITHIN_SECONDS = 600
_COMES_TO_REST_SECONDS = 45
"""Longer than what began before the calm may take."""
_STAYS_AT_REST_SECONDS = 75
"""Longer than every round of the operator's own."""
_SETTINGS = {
    "database_url": "sqlite://",
    "hints_per_second": 1,
    "workers": 4,
    "child_ttl_seconds_after_success": 60,
    "child_ttl_seconds_otherwise": 60,
}


@dataclass
class Outcome:
    """What happened, and what of it should not have."""

    history: list[Write]
    notes: list[tuple[float, str]]
    violations: list[str]
    exceptions: list[str]
    """Those of the violations that are exceptions which the operator did not expect itself."""
    injected: int
    """Faults that happened."""
    pods_run: int
    operator_writes: int
    """Of the processes that live at the end, Events apart."""

    def text(self) -> str:
        told = [write for write in self.history if write.key.kind != "leases"]
        lines = [(write.at, _describe(write)) for write in told] + self.notes
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
        self._server = ApiServer(loop.time)
        self._server.longest_page = 3
        self._network = Network(self._server, self._rng)
        self._cluster = Cluster(self._server, self._rng, plan.script)
        self._database = Database(_database())
        self._settings = Settings(**{**_SETTINGS, **plan.settings})
        self._operators: dict[str, tuple[Operator, asyncio.Task[None]]] = {}
        self._processes = 0
        self._calm = False
        self._armed: list[Happening] = []
        self.notes: list[tuple[float, str]] = []
        self.exceptions: list[str] = []
        self._server.listeners.append(self._trigger)

    async def run(self) -> Outcome:
        plan, log, logger = self._plan, _Log(self), logging.getLogger("bgjobs")
        logger.addHandler(log)
        logger.propagate = False
        try:
            self.configure(ALLOWLIST, ALLOWED)
            self.set_runtime(plan.runtime)
            self._network.weather = plan.weather
            operators = [
                self._loop.create_task(self._keep_running(f"operator-{number}"))
                for number in range(1, plan.operators + 1)
            ]
            for happening in plan.happenings:
                if happening.when.milestone:
                    self._armed.append(happening)
                else:
                    self._loop.call_at(happening.when.seconds, self._do, happening)
            await asyncio.sleep(plan.calm_from)
            self._calm_down()
            at_rest = await self._rest()
            for task in operators:
                task.cancel()
        finally:
            logger.removeHandler(log)
            logger.propagate = True
        history = self._server.history
        violations = [*self.exceptions, *model.violations(history, plan, at_rest), *self._mirror()]
        writes = sum(operator.client.writes for operator, _ in self._operators.values())
        injected, pods = self._network.injected.total(), self._cluster.pods_run
        return Outcome(history, self.notes, violations, self.exceptions, injected, pods, writes)

    # What happens; schedules name these methods

    def submit(self, name: str, spec: Object) -> None:
        self._ask("user", "POST", _JOBS, {"metadata": {"name": name}, "spec": spec})

    def change(self, name: str, spec: Object) -> None:
        self._ask("user", "PATCH", f"{_JOBS}/{name}", {"spec": spec})

    def cancel(self, name: str) -> None:
        self.change(name, {"cancelled": True})

    def start(self, name: str) -> None:
        self.change(name, {"startRequests": self._job(name)["spec"].get("startRequests", 0) + 1})

    def retry(self, name: str) -> None:
        requests = self._job(name)["spec"].get("retryRequests", 0) + 1
        self.change(name, {"retryRequests": requests, "cancelled": False})

    def delete(self, name: str) -> None:
        self._ask("user", "DELETE", f"{_JOBS}/{name}")

    def delete_child(self, name: str) -> None:
        """A stranger deletes the child Job that is under way."""
        for key, job in self._server.of_kind("jobs"):
            if owner_uid(job) and job_name(job) == name and not job["status"].get("conditions"):
                self._count("child Job deleted")
                self._ask("stranger", "DELETE", paths.job(key.namespace, key.name))

    def plant(self, name: str) -> None:
        """A stranger makes a Job of the name that the next attempt's would have."""
        job = self._job(name)
        uid, run = job["metadata"]["uid"], job["status"].get("run", 1)
        attempt = model.next_attempt(job["status"])
        given = {labels.UID: uid, labels.RUN: str(run), labels.ATTEMPT: str(attempt)}
        foreign = {"name": child_job_name(name, uid, run, attempt), "labels": given}
        self._count("foreign Job")
        self._ask("stranger", "POST", paths.jobs(_NAMESPACE), {"metadata": foreign, "spec": {}})

    def evict(self, name: str) -> None:
        for key, pod in self._server.of_kind("pods"):
            if pod["status"]["phase"] == "Running" and job_name(pod) == name:
                self._count("eviction")
                self._cluster.evict(key)

    def crash(self) -> None:
        if self._operators:
            self._kill(self._rng.choice(sorted(self._operators)))

    def break_watches(self, compact: bool) -> None:
        """Where what was told last is compacted, a watch must begin with a new list."""
        self._count("broken watches")
        if compact:
            self._server.compacted = self._server.version
        self._network.break_watches()

    def set_database(self, up: bool) -> None:
        self._count("database down")
        self._database.down = not up

    def set_quota(self, exceeded: bool) -> None:
        self._count("quota exceeded")
        self._server.quota_exceeded = exceeded

    def set_runtime(self, settings: str, of_first_class: str = "") -> None:
        """The default runtime's settings, and those of the first class if it has its own."""
        own = {CLASSES[0]: f"image: shop:1\n{of_first_class}"} if of_first_class else {}
        self.configure(RUNTIMES, {"default": f"image: shop:1\n{settings}", **own})

    def configure(self, name: str, data: dict[str, str] | None) -> None:
        """Writes one of the operator's ConfigMaps; None deletes it."""
        maps = paths.config_maps(_OPERATOR_NAMESPACE)
        if data is None:
            self._ask("engineer", "DELETE", f"{maps}/{name}")
        elif Key("configmaps", _OPERATOR_NAMESPACE, name) in self._server.objects:
            patch = [{"op": "add", "path": "/data", "value": data}]
            self._ask("engineer", "PATCH", f"{maps}/{name}", patch)
        else:
            self._ask("engineer", "POST", maps, {"metadata": {"name": name}, "data": data})

    # How it is brought about

    def _trigger(self, write: Write) -> None:
        """Lets happen what waits for this write."""
        milestone = _milestone(write)
        for happening in tuple(self._armed):
            if (happening.when.job, happening.when.milestone) == milestone:
                self._armed.remove(happening)
                self._loop.call_later(happening.when.seconds, self._do, happening)

    def _do(self, happening: Happening) -> None:
        if self._calm:
            return
        self._note(f"{happening.what} {happening.arguments}")
        try:
            getattr(self, happening.what)(*happening.arguments)
        except ApiError as error:
            self._note(f"refused: {error}")

    def _ask(self, who: str, method: str, path: str, body: Any = None) -> Object:
        return self._server.handle(who, Request(method, path, {}, body))

    def _job(self, name: str) -> Object:
        return self._ask("user", "GET", f"{_JOBS}/{name}")

    def _count(self, what: str) -> None:
        self._network.injected[what] += 1

    def _note(self, text: str) -> None:
        self.notes.append((self._loop.time(), text))

    # The operators

    async def _keep_running(self, pod: str) -> None:
        """As a Deployment does."""
        fate_at = self._plan.fate_at
        skew = timedelta(seconds=self._plan.skew_seconds)
        while True:
            self._processes += 1
            process = f"{pod}.{self._processes}"
            operator = Operator(process, pod, self._network, self._database, self._settings, skew)
            operator.client.kill = functools.partial(self._kill, pod)
            operator.client.fate_at, fate_at = fate_at, None
            task = self._loop.create_task(operator.run())
            self._operators[pod] = (operator, task)
            self._note(f"{process} starts")
            try:
                await task
            except asyncio.CancelledError:
                if not operator.client.dead:
                    raise
            except Exception as error:
                self._note(f"{process} ends: {error!r}")
                expected = (*REQUEST_ERRORS, LeaseLostError)
                _, faults = ExceptionGroup("", [error]).split(expected)
                self.exceptions += [f"{process} ends of {faults!r}"] if faults else []
            await asyncio.sleep(self._rng.uniform(0.5, 6))

    def _kill(self, pod: str) -> None:
        if pod in self._operators:
            operator, task = self._operators.pop(pod)
            self._count("crash")
            self._note(f"{pod} is killed")
            operator.client.dead = True
            task.cancel()

    # The end

    def _calm_down(self) -> None:
        """Ends every fault. What users want stays as it is."""
        self._note("calm")
        self._calm = True
        self._network.weather = CALM
        self._database.down = self._server.quota_exceeded = False
        self.configure(ALLOWLIST, ALLOWED)
        self.set_runtime(self._plan.runtime)
        self._cluster.nodes_return()
        for key, job in self._server.of_kind("jobs"):
            if owner_uid(job) is None:
                self._ask("stranger", "DELETE", paths.job(key.namespace, key.name))
        self._network.break_watches()

    async def _rest(self) -> int | None:
        """Waits until all is at rest. From which version on it should be; None if it never is."""
        deadline = self._loop.time() + _REST_WITHIN_SECONDS
        while not self._is_settled():
            if self._loop.time() > deadline:
                return None
            await asyncio.sleep(1)
        await asyncio.sleep(_COMES_TO_REST_SECONDS)
        version = self._server.version
        await asyncio.sleep(_STAYS_AT_REST_SECONDS)
        return version

    def _is_settled(self) -> bool:
        return all(_rests(job) for _, job in self._server.of_kind("backgroundjobs"))

    def _mirror(self) -> list[str]:
        """Where the mirror shows something else than there is."""
        columns = JOBS.c.uid, JOBS.c.resource_version, JOBS.c.phase
        with self._database.engine.connect() as connection:
            live = sa.select(*columns).where(JOBS.c.deleted_at.is_(None))
            shown = {
                uid: (version.lstrip("0"), phase)
                for uid, version, phase in connection.execute(live)
            }
        there = {
            job["metadata"]["uid"]: (job["metadata"]["resourceVersion"], job["status"]["phase"])
            for _, job in self._server.of_kind("backgroundjobs")
        }
        return [] if shown == there else [f"the mirror shows {shown} instead of {there}"]


class _Log(logging.Handler):
    """What the operator logs; an exception that it did not expect is a fault of its own."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        self._world.notes.append((asyncio.get_running_loop().time(), text))
        if record.exc_info:
            self._world.exceptions.append(f"{text}: {record.exc_info[1]!r}")


@functools.cache
def _engine() -> sa.Engine:
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    METADATA.create_all(engine)
    return engine


def _database() -> sa.Engine:
    """Empty, and one for all simulations: to make one takes as long as a simulation."""
    with _engine().begin() as connection:
        for table in METADATA.sorted_tables:
            connection.execute(sa.delete(table))
    return _engine()


def _rests(job: Object) -> bool:
    """Whether a BackgroundJob waits for nobody but its users."""
    spec, status = job["spec"], job["status"]
    is_to_run_again = spec.get("retryRequests", 0) > status.get("observedRetryRequests", 0)
    finished = status["phase"] in FINISHED and (spec.get("cancelled") or not is_to_run_again)
    return bool(finished or spec.get("suspend"))


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
        if new["phase"] in FINISHED and old["phase"] not in FINISHED:
            return name, "finished"
        return name, "recorded" if old.get("attemptsTotal") != new.get("attemptsTotal") else ""
    return "", ""


def _describe(write: Write) -> str:
    (kind, _, name), last = write.key, write.last
    status, shown = last.get("status", {}), [f"{write.who} {write.verb} {kind}/{name}"]
    match kind:
        case "backgroundjobs":
            counts = f"run {status.get('run', 1)}, {status.get('attemptsTotal', 0)} attempts"
            shown.append(f"{status['phase']}/{status['reason']} ({counts}): {status['message']}")
            shown += [str(last["spec"])] if write.verb != "status" else []
        case "pods":
            shown.append(status["phase"])
        case "events":
            shown.append(f"{last['reason']}: {last['message']}")
        case "configmaps":
            shown.append(str(last["data"]))
        case "jobs":
            shown += [condition["type"] for condition in status.get("conditions", [])]
    shown += ["being deleted"] if "deletionTimestamp" in last["metadata"] else []
    return f"{write.version} {' '.join(shown)}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.count) if given.seed is None else [given.seed]
    history, failures = "", 0
    for seed in seeds:
        outcome = simulate(schedule.draw(seed))
        if outcome.violations:
            failures += 1
            print(f"make simulate SEED={seed}", *outcome.violations, sep="\n  ")
        if given.seed is not None or (outcome.violations and not history):
            history = outcome.text()
    print(history, f"{failures} of {len(seeds)} schedules failed", sep="\n")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
