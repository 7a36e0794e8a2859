"""What must be true of whatever happened: computed from the history alone, by own arithmetic.

The model follows the API server's writes one by one. It knows the truth about pods and Jobs, which
the operator sees late or never, and holds what the operator writes against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.apiserver import FINISHED, Object, Write
from tests.faults.network import LONGEST_LAG_SECONDS, SLOW_SECONDS
from tests.faults.schedule import CLASSES, Schedule

_FREE = {"Disrupted": 5, "Deferred": 50}
"""How many attempts of a run may end so before it costs a retry."""
_END_RETRYING = ("NotInImage", "BadParameters", "PermanentFailure")
_CHILD_STAYS_SECONDS = 60
_SKEW_SECONDS = 3
_STEPS_OF_A_STOP = 5
"""Requests from the status that tells of it to the deletion."""
_UNHEARD_SECONDS = 30
"""A watch that said nothing for so long is not believed any more."""


@dataclass
class Child:
    """The truth about one child Job."""

    name: str
    number: tuple[int, int]
    """Run and attempt."""
    created: Write
    deleted: Write | None = None
    """The first DELETE that was accepted."""
    ended: Write | None = None
    gone: Write | None = None
    ran: Write | None = None
    pod_ended: Write | None = None
    pods: dict[str, Object] = field(default_factory=dict)
    """Those that exist, as they are."""
    suspended: Write | None = None
    """The latest status that told it to end for a suspend."""
    recorded: Write | None = None

    @property
    def live(self) -> bool:
        return not (self.ended or self.gone or self.pod_ended)

    @property
    def present(self) -> bool:
        running = any(_phase(pod) in ("Pending", "Running") for pod in self.pods.values())
        return self.live or running

    @property
    def vanished(self) -> bool:
        """Whether it was deleted before anybody could say in a status that it was there."""
        return bool(self.gone and self.deleted and not self.recorded)


@dataclass
class Job:
    """One BackgroundJob and what was recorded of it."""

    name: str
    children: list[Child] = field(default_factory=list)
    versions: list[Write] = field(default_factory=list)
    outcomes: list[str] = field(default_factory=list)
    """Of its current run."""

    @property
    def now(self) -> Object | None:
        return self.versions[-1].after

    def child(self, number: tuple[int, int]) -> Child | None:
        return next((c for c in reversed(self.children) if c.number == number), None)

    def had(self, wish: str, since: float, until: float) -> bool:
        """Whether its spec had `cancelled`, or `suspend`, for all of that time."""
        specs: list[Object] = []
        for version in self.versions:
            if version.after is not None and version.at <= until:
                specs = [*(specs if version.at > since else []), version.after["spec"]]
        return all(spec.get(wish) for spec in specs)


def violations(history: list[Write], plan: Schedule, at_rest: int | None) -> list[str]:
    """`at_rest` is the version from which on nothing should be written; None if never."""
    model = Model(plan)
    problems = []
    for write in history:
        where = f"{write.at:.3f} (version {write.version})"
        problems += [f"{where}: {problem}" for problem in model.follow(write)]
    return [*problems, *model.at_the_end(history, at_rest)]


class Model:
    def __init__(self, plan: Schedule) -> None:
        self._plan = plan
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, tuple[Job, Child]] = {}
        self._configuration: list[Write] = []
        self._leads_since: dict[str, Write] = {}
        """The process that leads, and its first renewal of the Lease."""
        weather = plan.weather
        restarts = plan.fate_at or any(happening.what == "crash" for happening in plan.happenings)
        hard = weather.lagging or weather.silent or weather.lost or weather.unanswered
        busy = weather.slow or weather.refused
        self._way = 2 * SLOW_SECONDS if weather.slow else 0.1
        """How long a request and its answer take: what happens meanwhile nobody can know."""
        self._reacts_within = 90.0 if hard else 30.0 if busy else 20.0 if restarts else 2.0
        self._view_lasts = _UNHEARD_SECONDS + 2 * SLOW_SECONDS if hard or busy else 3.0
        self._view_lasts += LONGEST_LAG_SECONDS if weather.lagging else 0

    def follow(self, write: Write) -> Iterator[str]:
        uid, key = write.last["metadata"]["uid"], write.key
        by_operator = write.who.startswith("operator")
        goes = write.verb in ("delete", "remove")
        match key.kind:
            case "leases":
                self._leads_since = {write.who: self._leads_since.get(write.who, write)}
            case "configmaps":
                self._configuration.append(write)
            case "backgroundjobs":
                job = self._jobs.setdefault(uid, Job(key.name))
                if by_operator:
                    yield from self._status(job, write) if not goes else _expired(job)
                job.versions.append(write)
                status = write.last["status"]
                if by_operator and status["reason"] == "Suspended" and "jobRef" in status:
                    self._children[status["jobRef"]["uid"]][1].suspended = write
            case "jobs" if write.before is None and by_operator:
                yield from self._started(write)
            case "jobs" if uid in self._children:
                job, child = self._children[uid]
                if goes and by_operator and job.now:
                    yield from self._stopped(child, job.now, write)
                child.deleted = child.deleted or (write if goes else None)
                child.gone = None if write.after else write
                if write.last["status"].get("conditions"):
                    child.ended = child.ended or write
            case "jobs" if by_operator:
                yield f"{write.verb} of {key.name}, which is somebody else's"
            case "pods":
                owner = write.last["metadata"]["ownerReferences"][0]["uid"]
                _follow_pod(self._children[owner][1], write)

    def at_the_end(self, history: list[Write], at_rest: int | None) -> Iterator[str]:
        if at_rest is None:
            yield f"no rest: {[f'{j.name} {_phase(j.now)}' for j in self._jobs.values() if j.now]}"
            at_rest = history[-1].version
        for write in history:
            late = write.version > at_rest and write.verb not in ("delete", "remove")
            if late and write.key.kind in ("backgroundjobs", "jobs"):
                yield f"no rest: {write.verb} of {write.key.name} at {write.at:.0f} s"
        for job in self._jobs.values():
            for child in job.children:
                end = child.deleted if job.now else job.versions[-1]
                if child.live or (child.pods and end and end.version < at_rest):
                    yield f"{child.name} and its pods are still there"
                if job.now and not (child.recorded or child.vanished):
                    yield f"{child.name} is not recorded"
            if job.now and job.now["status"].get("jobRef"):
                yield f"{job.name} still refers to a child Job"

    # What the operator does, held against the truth

    def _started(self, write: Write) -> Iterator[str]:
        labels = write.last["metadata"]["labels"]
        number = int(labels["bgjobs.dev/run"]), int(labels["bgjobs.dev/attempt"])
        job = self._jobs[labels["bgjobs.dev/uid"]]
        child, before = Child(write.key.name, number, write), job.child(number)
        if others := [c.name for c in job.children if c.present]:
            yield f"{child.name} starts while {others} is under way"
        job.children.append(child)
        self._children[write.last["metadata"]["uid"]] = (job, child)
        if job.now is None:
            late = [c for c in job.children if c.created.version > job.versions[-1].version]
            if write.who in [c.created.who for c in late[:-1]]:
                yield f"{child.name} starts, and {late[0].name} did, though {job.name} is deleted"
            return
        status = job.now["status"]
        if before and not before.vanished:
            yield f"{child.name} starts a second time"
        if status["phase"] in FINISHED:
            yield f"{child.name} starts though {job.name} is {status['phase']}"
        if number != (status.get("run", 1), next_attempt(status)):
            yield f"{child.name} starts, which is not the next attempt"
        for wish in ("cancelled", "suspend"):
            if job.had(wish, write.at - self._view_lasts, write.at):
                yield f"{child.name} starts though {job.name} has {wish}"
        allowlists = self._in_force("bgjobs-allowlist", write)
        if all(job.now["spec"]["class"] not in allowlist for allowlist in allowlists):
            yield f"{child.name} starts though its class is not allowed"
        yield from self._over_limit(write)

    def _over_limit(self, write: Write) -> Iterator[str]:
        """What an earlier leader has sent may arrive when the next one has counted."""
        since = self._leads_since.get(write.who)
        live = [
            (child.name, job.now["spec"]["class"])
            for job in self._jobs.values()
            for child in job.children
            if child.live and job.now and since
            if child.created.who == write.who or child.created.version < since.version
        ]
        started = write.last["metadata"]["annotations"]["bgjobs.dev/class"]
        in_force = self._in_force("bgjobs-runtimes", write)
        of_runtime = [_beyond_its_runtime(runtimes, started, live) for runtimes in in_force]
        if all(of_runtime):
            yield of_runtime[-1]
        yield from _beyond(self._plan.settings.get("max_concurrent", 50), [n for n, _ in live])

    def _stopped(self, child: Child, job: Object, write: Write) -> Iterator[str]:
        """A child Job is deleted."""
        if child.recorded:
            if write.at - child.recorded.at < _CHILD_STAYS_SECONDS - _SKEW_SECONDS:
                yield f"{child.name} is deleted so soon that an old view could start it again"
            return
        if child.ended:
            yield f"{child.name} is deleted after its end, which is not recorded"
        spec = job["spec"]
        told = child.suspended and write.at - child.suspended.at < _STEPS_OF_A_STOP * self._way
        wanted = spec.get("cancelled") or spec.get("suspend") or told
        limit = spec.get("pendingDeadlineSeconds", 600) - _SKEW_SECONDS
        late = write.at - child.created.at >= limit
        unseen = child.ran is None or not child.pods or write.at - child.ran.at < self._way
        if not wanted and not (late and unseen):
            yield f"{child.name} is deleted before its outcome is recorded"

    def _status(self, job: Job, write: Write) -> Iterator[str]:
        """The operator says something about a BackgroundJob."""
        assert write.before is not None
        old, new, spec = write.before["status"], write.last["status"], write.last["spec"]
        if new.get("effectiveRetries", 0) != _effective_retries(spec):
            yield f"{job.name} has {new.get('effectiveRetries')} effective retries"
        if new["run"] != old.get("run", 1):
            job.outcomes = []
            if new["run"] != old.get("run", 1) + 1 or old["phase"] not in FINISHED:
                yield f"{job.name} goes from run {old.get('run', 1)} to {new['run']}"
            if spec.get("retryRequests", 0) <= old.get("observedRetryRequests", 0):
                yield f"{job.name} runs again, which nobody asked for"
            if new.get("retriesUsed", 0):
                yield f"{job.name} begins a run with retries used"
            return
        if old["phase"] in FINISHED and new["phase"] != old["phase"]:
            yield f"{job.name} goes from {old['phase']} to {new['phase']}"
        attempts, attempts_before = new.get("attempts", []), old.get("attempts", [])
        more = new.get("attemptsTotal", 0) - old.get("attemptsTotal", 0)
        if attempts != (attempts_before + attempts[-1:] if more else attempts_before)[-10:]:
            yield f"the attempts of {job.name} change"
        if more == 1:
            yield from self._recorded(job, write, old, new, spec)
        elif more:
            yield f"{job.name} records {more} attempts at once"
        elif new.get("retriesUsed", 0) != old.get("retriesUsed", 0):
            yield f"{job.name} uses a retry without an attempt"
        elif new["phase"] != old["phase"]:
            yield from self._moved(job, write, new, spec)

    def _moved(self, job: Job, write: Write, new: Object, spec: Object) -> Iterator[str]:
        """A status of another phase that records no attempt."""
        phase = new["phase"]
        if phase in FINISHED and (present := [c.name for c in job.children if c.present]):
            yield f"{job.name} is {phase} while {present} is there"
        justified = {
            "Succeeded": False,
            "Failed": new.get("retriesUsed", 0) > _effective_retries(spec),
            "Cancelled": spec.get("cancelled"),
            "Rejected": spec["class"] not in CLASSES
            or any(spec["class"] not in data for data in self._in_force("bgjobs-allowlist", write)),
        }
        if not justified.get(phase, True):
            yield f"{job.name} is {phase} without a reason"

    def _recorded(
        self, job: Job, write: Write, old: Object, new: Object, spec: Object
    ) -> Iterator[str]:
        """A status that records the end of an attempt."""
        attempt = new["attempts"][-1]
        number, outcome = (attempt["run"], attempt["attempt"]), attempt["outcome"]
        if number != (new["run"], next_attempt(old)):
            yield f"{job.name} records attempt {number} instead of {next_attempt(old)}"
        child = job.child(number)
        if child is None or child.name != attempt["jobName"]:
            yield f"{job.name} records {attempt['jobName']}, which never was"
            return
        child.recorded = write
        job.outcomes.append(outcome)
        possible = _possible_outcomes(child, spec, old, self._way)
        if outcome not in possible:
            yield f"{child.name} is recorded as {outcome} instead of {sorted(possible)}"
        end = (child.pod_ended or child.ended or write).at
        for wish in ("cancelled", "suspend"):
            if child.deleted is None and job.had(wish, end - self._reacts_within, end):
                yield f"{child.name} comes to its end though {job.name} has {wish}"
        stopped = outcome in ("Cancelled", "Suspended", "JobDeleted")
        if stopped and (child.present or not child.gone):
            yield f"{child.name} is recorded as {outcome} while it or its pod is still there"
        used = old.get("retriesUsed", 0)
        costs = outcome in ("Failed", "JobDeleted") or (
            job.outcomes.count(outcome) > _FREE.get(outcome, len(job.outcomes))
        )
        spent = attempt["reason"] in _END_RETRYING or used >= _effective_retries(spec)
        phase = outcome if outcome in FINISHED[:1] + FINISHED[2:] else "Retrying"
        phase = "Failed" if costs and spent else phase
        if new["phase"] != phase:
            yield f"{job.name} is {new['phase']} instead of {phase} after {job.outcomes}"
        if new.get("retriesUsed", 0) != used + (costs and not spent):
            yield f"{job.name} has used {new.get('retriesUsed', 0)} retries after {job.outcomes}"

    def _in_force(self, name: str, write: Write) -> list[Object]:
        """The contents of a ConfigMap that may be in force: of the good ones the latest few."""
        good: list[Object] = []
        for version in self._configuration:
            data = version.after["data"] if version.after else {}
            if version.key.name == name and data and not any(" " in key for key in data):
                recent = version.at > write.at - self._reacts_within
                good = [*(good if recent else []), data]
        return good


def _expired(job: Job) -> Iterator[str]:
    assert job.now
    if _phase(job.now) not in FINISHED or any(child.live for child in job.children):
        yield f"{job.name} is deleted while it is {_phase(job.now)} or an attempt is under way"
    if job.now["spec"].get("retryRequests", 0) > job.now["status"].get("observedRetryRequests", 0):
        yield f"{job.name} is deleted though it is to run again"


def _follow_pod(child: Child, write: Write) -> None:
    pod = write.last
    if _phase(pod) == "Running":
        child.ran = child.ran or write
    elif _phase(pod) != "Pending":
        child.pod_ended = child.pod_ended or write
    child.pods[pod["metadata"]["uid"]] = pod
    if write.after is None:
        del child.pods[pod["metadata"]["uid"]]


def _possible_outcomes(child: Child, spec: Object, status: Object, way: float) -> set[str]:
    """How an attempt may be recorded, from what its pod did and who deleted its Job."""
    pod, deleted = child.pod_ended, child.deleted
    end = {_outcome(pod.last)} if pod else {"Failed"} if child.ended else set()
    if deleted is None or (pod and pod.at < deleted.at - way):
        return end
    stopped = "JobDeleted"
    if spec.get("cancelled"):
        stopped = "Cancelled"
    elif status.get("jobRef", {}).get("givenUp"):
        stopped = "Failed"
    elif spec.get("suspend") or child.suspended:
        stopped = "Suspended"
    if not deleted.who.startswith("operator"):
        return {*end, stopped, "JobDeleted"}
    # The API server and the kubelet tell times in whole seconds.
    in_time = pod and int(pod.at) <= int(deleted.at)
    if "Succeeded" in end and (in_time or stopped != "Cancelled"):
        return {"Succeeded", stopped}
    return {stopped, *(end if pod and pod.at < deleted.at else ())}


def _outcome(pod: Object) -> str:
    status = pod["status"]
    if status["phase"] == "Succeeded":
        return "Succeeded"
    if status.get("conditions"):
        return "Disrupted"
    state = status.get("containerStatuses", [{"state": {}}])[0]["state"]
    return "Deferred" if state.get("terminated", {}).get("exitCode") == 75 else "Failed"


def _effective_retries(spec: Object) -> int:
    extra = {1: 1, "High": 1, 3: -1, "Low": -1}.get(spec.get("priority", 2), 0)
    retries: int = spec.get("retries", 3)
    return retries if spec.get("adjustment") == "Disabled" else max(0, retries + extra)


def next_attempt(status: Object) -> int:
    """The number, in its run, of the attempt that is under way or comes next."""
    run, attempts = status.get("run", 1), status.get("attempts", [])
    return max((each["attempt"] for each in attempts if each["run"] == run), default=0) + 1


def _key(runtimes: Object, class_: str) -> str:
    return class_ if class_ in runtimes else "default"


def _beyond_its_runtime(runtimes: Object, class_: str, live: list[tuple[str, str]]) -> str:
    """`live` are names with their classes."""
    key = _key(runtimes, class_)
    limit = int(runtimes[key].partition("maxConcurrent: ")[2] or 0)
    return "".join(_beyond(limit, [name for name, other in live if _key(runtimes, other) == key]))


def _beyond(limit: int, live: list[str]) -> Iterator[str]:
    if 0 < limit < len(live):
        yield f"{len(live)} are under way at once instead of {limit}: {live}"


def _phase(object_: Object | None) -> str:
    return str(object_["status"]["phase"]) if object_ else ""
