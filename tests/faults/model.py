"""What must be true of whatever happened: computed from the history alone, by own arithmetic.

The model follows the API server's writes one by one. It knows the truth about pods and Jobs, which
the operator sees late or never, and holds what the operator writes against it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.faults.apiserver import Object, Write
from tests.faults.network import CALM, LONGEST_LAG_SECONDS, SLOW_SECONDS
from tests.faults.schedule import CLASSES, Schedule

FINISHED = ("Succeeded", "Failed", "Cancelled", "Rejected")
_FREE_DISRUPTIONS, _FREE_DEFERRALS = 5, 50
_DEFERRED = 75
_END_RETRYING = {*range(64, 79)} - {_DEFERRED}
_CHILD_STAYS_SECONDS = 60
_SKEW_SECONDS = 3
_WAY_SECONDS = 0.1
_RESTARTS_WITHIN_SECONDS = 20.0
_UNHEARD_SECONDS = 30 + 2 * SLOW_SECONDS
"""A watch that said nothing for 30 s is not believed any more."""


@dataclass
class Child:
    """The truth about one child Job."""

    name: str
    run: int
    attempt: int
    created: Write
    deleted: Write | None = None
    ended: Write | None = None
    gone: Write | None = None
    ran: Write | None = None
    pods: dict[str, Object] = field(default_factory=dict)
    """Those that exist, as they are."""
    pod_ended: Write | None = None
    recorded: Write | None = None

    @property
    def live(self) -> bool:
        return not (self.ended or self.gone or self.pod_ended)

    @property
    def running_pods(self) -> list[Object]:
        return [pod for pod in self.pods.values() if _phase(pod) in ("Pending", "Running")]

    def deleted_before(self, write: Write) -> bool:
        return self.deleted is not None and self.deleted.version < write.version


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

    def child(self, run: int, attempt: int) -> Child | None:
        found = [c for c in self.children if (c.run, c.attempt) == (run, attempt)]
        return found[-1] if found else None


def violations(history: list[Write], plan: Schedule, at_rest: int | None) -> list[str]:
    model = Model(plan)
    for write in history:
        for problem in model.follow(write):
            model.problems.append(f"{write.at:.3f} (version {write.version}): {problem}")
    return [*model.problems, *model.at_the_end(history, at_rest)]


class Model:
    def __init__(self, plan: Schedule) -> None:
        self.problems: list[str] = []
        self._plan = plan
        self._jobs: dict[str, Job] = {}
        self._children: dict[str, tuple[Job, Child]] = {}
        self._configuration: list[Write] = []
        self._way_seconds = 2 * SLOW_SECONDS if plan.weather.slow else _WAY_SECONDS
        """How long a request and its answer take: what happens meanwhile nobody can know."""
        weather = plan.weather
        crashes = plan.crash_at or any(each.what == "crash" for each in plan.happenings)
        self._reacts_within = _RESTARTS_WITHIN_SECONDS if crashes else 2.0
        """How long the operator may take to hear of a change."""
        self._view_lasts = 3.0
        """How old a view may be on which it starts something."""
        if weather.lagging or weather.silent or weather.lost:
            self._reacts_within = 90.0
            self._view_lasts = _UNHEARD_SECONDS + (LONGEST_LAG_SECONDS if weather.lagging else 0)
        elif weather != CALM:
            self._reacts_within = self._view_lasts = 12.0

    def follow(self, write: Write) -> Iterator[str]:
        uid = write.last["metadata"]["uid"]
        by_operator = write.who.startswith("operator")
        match write.key.kind:
            case "configmaps":
                self._configuration.append(write)
            case "backgroundjobs":
                job = self._jobs.setdefault(uid, Job(write.key.name))
                if write.verb == "status" and by_operator:
                    yield from self._status(job, write)
                if write.verb in ("delete", "remove") and by_operator:
                    yield from _expired(job)
                job.versions.append(write)
            case "jobs" if write.before is None and by_operator:
                yield from self._started(write)
            case "jobs" if uid not in self._children:
                if by_operator:
                    yield f"{write.key.name} is {write.verb}d, which is somebody else's"
            case "jobs":
                job, child = self._children[uid]
                if write.verb in ("delete", "remove") and by_operator:
                    yield from self._stopped(job, child, write)
                _follow_job(child, write)
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
            if job.now is None:
                continue
            for child in job.children:
                if not child.recorded and not _vanished(child):
                    yield f"{child.name} is not recorded"
            if job.now["status"].get("jobRef"):
                yield f"{job.name} still refers to a child Job"
            if not job.children and _phase(job.now) == "Succeeded":
                yield f"{job.name} succeeded without a child Job"

    # What the operator does, held against the truth

    def _started(self, write: Write) -> Iterator[str]:
        labels = write.last["metadata"]["labels"]
        run, attempt = int(labels["bgjobs.dev/run"]), int(labels["bgjobs.dev/attempt"])
        job = self._jobs[labels["bgjobs.dev/uid"]]
        child = Child(write.key.name, run, attempt, write)
        if others := [c.name for c in job.children if c.live]:
            yield f"{child.name} starts while {others} is under way"
        if (before := job.child(run, attempt)) and job.now and not _vanished(before):
            yield f"{child.name} starts a second time"
        job.children.append(child)
        self._children[write.last["metadata"]["uid"]] = (job, child)
        if job.now is None:
            return
        status = job.now["status"]
        if status["phase"] in FINISHED:
            yield f"{child.name} starts though {job.name} is {status['phase']}"
        if (run, attempt) != (status.get("run", 1), next_attempt(status)):
            yield f"{child.name} starts, which is not the next attempt"
        for field_ in ("cancelled", "suspend"):
            specs = self._specs_between(job, write.at - self._view_lasts, write.at)
            if all(each.get(field_) for each in specs):
                yield f"{child.name} starts though {job.name} has {field_}"
        if not self._recently_allowed(job.now["spec"]["class"], write):
            yield f"{child.name} starts though its class is not allowed"
        yield from self._over_limit(write)

    def _over_limit(self, write: Write) -> Iterator[str]:
        live = [c.name for j in self._jobs.values() for c in j.children if c.live and j.now]
        limits = [self._plan.settings.get("max_concurrent", 50)]
        limits.append(max(self._runtime_limits(write), default=0, key=lambda n: n or 1000))
        for limit in limits:
            if 0 < limit < len(live):
                yield f"{len(live)} are under way at once instead of {limit}: {live}"

    def _stopped(self, job: Job, child: Child, write: Write) -> Iterator[str]:
        """A child Job is deleted."""
        if child.recorded:
            if write.at - child.recorded.at < _CHILD_STAYS_SECONDS - _SKEW_SECONDS:
                yield f"{child.name} is deleted so soon that an old view could start it again"
            return
        assert job.now is not None
        spec, status = job.now["spec"], job.now["status"]
        if child.ended:
            yield f"{child.name} is deleted after its end, which is not recorded"
        wanted = spec.get("cancelled") or spec.get("suspend") or status["reason"] == "Suspended"
        if not wanted and not self._is_overdue(child, spec, write):
            yield f"{child.name} is deleted before its outcome is recorded"

    def _is_overdue(self, child: Child, spec: Object, write: Write) -> bool:
        """Whether its pod did not start within the pending deadline."""
        limit = spec.get("pendingDeadlineSeconds", 600) - _SKEW_SECONDS
        unseen = child.ran is None or write.at - child.ran.at < self._way_seconds
        return unseen and write.at - child.created.at >= limit

    def _status(self, job: Job, write: Write) -> Iterator[str]:
        """The operator says something about a BackgroundJob."""
        assert write.before is not None
        old, new = write.before["status"], write.last["status"]
        spec = write.last["spec"]
        if new.get("effectiveRetries", 0) != _effective_retries(spec) and new != old:
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
        match new.get("attemptsTotal", 0) - old.get("attemptsTotal", 0):
            case 0:
                if new.get("attempts") != old.get("attempts"):
                    yield f"the attempts of {job.name} change"
                yield from self._moved(job, write)
            case 1:
                yield from self._recorded(job, write)
            case difference:
                yield f"{job.name} records {difference} attempts at once"

    def _moved(self, job: Job, write: Write) -> Iterator[str]:
        """A status that records no attempt."""
        assert write.before is not None
        old, new, spec = write.before["status"], write.last["status"], write.last["spec"]
        used = new.get("retriesUsed", 0)
        if used != old.get("retriesUsed", 0):
            yield f"{job.name} uses a retry without an attempt"
        if new["phase"] == old["phase"]:
            return
        present = [c.name for c in job.children if c.live or c.running_pods]
        if new["phase"] in FINISHED and present:
            yield f"{job.name} is {new['phase']} while {present} is there"
        match new["phase"]:
            case "Succeeded":
                yield f"{job.name} succeeds without an attempt"
            case "Failed" if used <= _effective_retries(spec):
                yield f"{job.name} fails without an attempt"
            case "Cancelled" if not spec.get("cancelled"):
                yield f"{job.name} is cancelled, which nobody asked for"
            case "Rejected" if not self._recently_forbidden(spec["class"], write):
                yield f"{job.name} is rejected though its class is allowed"

    def _recorded(self, job: Job, write: Write) -> Iterator[str]:
        """A status that records the end of an attempt."""
        assert write.before is not None
        old, new, spec = write.before["status"], write.last["status"], write.last["spec"]
        attempt, number = new["attempts"][-1], next_attempt(old)
        if new["attempts"][:-1] != [*old.get("attempts", []), attempt][-10:-1]:
            yield f"earlier attempts of {job.name} change"
        if (attempt["run"], attempt["attempt"]) != (new["run"], number):
            yield f"{job.name} records attempt {attempt['attempt']} instead of {number}"
        child = job.child(attempt["run"], attempt["attempt"])
        if child is None or child.name != attempt["jobName"]:
            yield f"{job.name} records {attempt['jobName']}, which never was"
            return
        child.recorded = write
        outcome = attempt["outcome"]
        job.outcomes.append(outcome)
        possible = _possible_outcomes(child, spec, old, self._way_seconds)
        if outcome not in possible:
            yield f"{child.name} is recorded as {outcome} instead of {possible}"
        for field_ in ("cancelled", "suspend"):
            end = child.pod_ended or child.ended or write
            specs = self._specs_between(job, end.at - self._reacts_within, end.at)
            if child.deleted is None and all(each.get(field_) for each in specs):
                yield f"{child.name} comes to its end though {job.name} has {field_}"
        stopped = outcome in ("Cancelled", "Suspended", "JobDeleted")
        if stopped and (child.running_pods or not child.gone):
            yield f"{child.name} is recorded as {outcome} while it or its pod is still there"
        used = old.get("retriesUsed", 0)
        phase = self._phase_after(job, attempt, used, spec)
        if new["phase"] not in phase:
            yield f"{job.name} is {new['phase']} instead of {phase} after {job.outcomes}"
        used += _costs(job.outcomes) and new["phase"] != "Failed"
        if new.get("retriesUsed", 0) != used:
            yield f"{job.name} has used {new.get('retriesUsed', 0)} retries instead of {used}"

    def _phase_after(self, job: Job, attempt: Object, used: int, spec: Object) -> tuple[str, ...]:
        match attempt["outcome"]:
            case "Succeeded" | "Cancelled" as outcome:
                return (outcome,)
            case "Suspended":
                return ("Pending", "Retrying")
        final = attempt.get("exitCode") in _END_RETRYING
        if _costs(job.outcomes) and (final or used >= _effective_retries(spec)):
            return ("Failed",)
        return ("Retrying",)

    # What was in force when

    def _specs_between(self, job: Job, since: float, until: float) -> list[Object]:
        """Every spec that the job had in that time."""
        specs: list[Object] = []
        for version in job.versions:
            if version.after is not None and version.at <= until:
                specs = [*(specs if version.at > since else []), version.after["spec"]]
        return specs

    def _recent_configuration(self, name: str, write: Write) -> list[Object]:
        """The contents of a ConfigMap that may be in force: of the good ones the latest few."""
        since = write.at - self._reacts_within
        good: list[Object] = []
        for version in self._configuration:
            data = version.after["data"] if version.after else None
            if version.key.name == name and data and not any(" " in key for key in data):
                good = [*(good if version.at > since else []), data]
        return good

    def _recently_allowed(self, class_: str, write: Write) -> bool:
        return any(class_ in data for data in self._recent_configuration("bgjobs-allowlist", write))

    def _recently_forbidden(self, class_: str, write: Write) -> bool:
        data = self._recent_configuration("bgjobs-allowlist", write)
        return class_ not in CLASSES or any(class_ not in each for each in data)

    def _runtime_limits(self, write: Write) -> list[int]:
        limits = []
        for data in self._recent_configuration("bgjobs-runtimes", write):
            _, found, limit = data["default"].partition("maxConcurrent: ")
            limits.append(int(limit) if found else 0)
        return limits


def _follow_job(child: Child, write: Write) -> None:
    if write.after is None:
        child.gone = write
    if write.verb in ("delete", "remove"):
        child.deleted = child.deleted or write
    if write.last["status"].get("conditions"):
        child.ended = child.ended or write


def _follow_pod(child: Child, write: Write) -> None:
    pod = write.last
    if _phase(pod) == "Running":
        child.ran = child.ran or write
    if _phase(pod) in ("Succeeded", "Failed"):
        child.pod_ended = child.pod_ended or write
    if write.after is None:
        child.pods.pop(pod["metadata"]["uid"], None)
    else:
        child.pods[pod["metadata"]["uid"]] = pod


def _possible_outcomes(child: Child, spec: Object, status: Object, way: float) -> set[str]:
    """How an attempt may be recorded, from what its pod did and who deleted its Job.

    Nobody can know what happens while a request and its answer are under way.
    """
    pod, deleted = child.pod_ended, child.deleted
    end = {_end_of(pod.last)} if pod else {"Failed"} if child.ended else set()
    if deleted is None or (pod and pod.at < deleted.at - way):
        return end
    stopped = "JobDeleted"
    if spec.get("cancelled"):
        stopped = "Cancelled"
    elif spec.get("suspend") or status["reason"] == "Suspended":
        stopped = "Suspended"
    elif status.get("jobRef", {}).get("givenUp"):
        stopped = "Failed"
    by_stranger = not deleted.who.startswith("operator")
    # The API server and the kubelet tell times in whole seconds.
    in_time = pod and int(pod.at) <= int(deleted.at)
    succeeded = end & {"Succeeded"}
    if by_stranger or (succeeded and (in_time or stopped in ("Suspended", "Failed"))):
        return {*end, stopped, *(["JobDeleted"] if by_stranger else [])}
    return {stopped, *(end if pod and pod.at < deleted.at else [])}


def _end_of(pod: Object) -> str:
    status = pod["status"]
    if status["phase"] == "Succeeded":
        return "Succeeded"
    if status.get("conditions"):
        return "Disrupted"
    state = status.get("containerStatuses", [{"state": {}}])[0]["state"]
    deferred = state.get("terminated", {}).get("exitCode") == _DEFERRED
    return "Deferred" if deferred else "Failed"


def _costs(outcomes: list[str]) -> bool:
    """Whether the last of a run's outcomes costs a retry."""
    match outcomes[-1]:
        case "Disrupted":
            return outcomes.count("Disrupted") > _FREE_DISRUPTIONS
        case "Deferred":
            return outcomes.count("Deferred") > _FREE_DEFERRALS
    return outcomes[-1] in ("Failed", "JobDeleted")


def _effective_retries(spec: Object) -> int:
    extra = {1: 1, "High": 1, 3: -1, "Low": -1}.get(spec.get("priority", 2), 0)
    retries: int = spec.get("retries", 3)
    return retries if spec.get("adjustment") == "Disabled" else max(0, retries + extra)


def next_attempt(status: Object) -> int:
    attempts = status.get("attempts", [])
    same_run = attempts and attempts[-1]["run"] == status.get("run", 1)
    return attempts[-1]["attempt"] + 1 if same_run else 1


def _phase(object_: Object | None) -> str:
    return str(object_["status"]["phase"]) if object_ else ""


def _expired(job: Job) -> Iterator[str]:
    assert job.now is not None
    if _phase(job.now) not in FINISHED:
        yield f"{job.name} is deleted while it is {_phase(job.now)}"
    if any(child.live for child in job.children):
        yield f"{job.name} is deleted while an attempt is under way"


def _vanished(child: Child) -> bool:
    """Whether a stranger deleted it before anybody could say in a status that it was there."""
    return bool(child.gone and child.deleted and not child.recorded)
