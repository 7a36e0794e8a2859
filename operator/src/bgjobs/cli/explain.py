"""Why a BackgroundJob is where it is, and what changes that: from what was read, and nothing else.

It decides by the operator's own policies, so it also says what the status does
not tell yet.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import msgspec

from bgjobs.cli.remedies import Commands, Holds, Remedy, remedies
from bgjobs.domain import priority
from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decide import decide
from bgjobs.domain.observation import ChildJob, Observation, Pod
from bgjobs.domain.policies.changes import attempts_allowed, clock
from bgjobs.domain.policies.obstacles import CANNOT_START, given_up_at
from bgjobs.domain.queue_report import LEASE, QueueReport
from bgjobs.domain.ranking import (
    AGED_START_EVERY,
    Blocked,
    Candidate,
    Limit,
    predicted_starts,
)
from bgjobs.domain.resource import Attempt, BackgroundJob, Phase, Reason, Status
from bgjobs.domain.runtimes import (
    DEFAULT,
    Runtime,
    active_deadline_seconds,
    paused_by,
    runtime_for,
)

_AHEAD_NAMED = 5
_REFUSED = (Reason.QUOTA_EXCEEDED, Reason.ADOPTION_CONFLICT, Reason.CONFIGURATION_INVALID)
_REFUSAL_IS_CURRENT_FOR = timedelta(seconds=15)
"""How long a refusal counts after the time of the next try: its outcome may not be written yet."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The lease of the operator's leader; without a time where there is none."""

    renewed: datetime | None = None
    duration: timedelta = timedelta()
    holder: str = ""
    report: QueueReport | None = None

    def is_held(self, now: datetime) -> bool:
        return bool(self.holder and self.renewed and now < self.renewed + self.duration)


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What could be read. Of what the reader may not read, `unreadable` says so in plain words."""

    job: BackgroundJob
    now: datetime
    operator_namespace: str
    flags: tuple[str, ...] = ()
    child: ChildJob | None = None
    pod: Pod | None = None
    lease: Lease | None = None
    configuration: Configuration
    others: tuple[BackgroundJob, ...] = ()
    """The unfinished BackgroundJobs of the namespaces that the reader may read."""
    begun: frozenset[str] = frozenset()
    """The uids of those that have a child Job, which their status may not tell yet."""
    sees_all: bool = True
    unreadable: tuple[str, ...] = ()

    @property
    def under_way(self) -> bool:
        return self.child is not None or self.job.status.job_ref is not None


class Next(msgspec.Struct, frozen=True, kw_only=True):
    time: datetime
    what: str


class Ahead(msgspec.Struct, frozen=True, kw_only=True):
    job: str
    why: str


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a limit is used; a limit of 0 is none."""

    of: Limit
    used: int
    limit: int

    @property
    def is_full(self) -> bool:
        return 0 < self.limit <= self.used


class Queue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Where a job stands among those that could start, as far as the reader may see them."""

    place: int
    """1 starts next. Of its own runtime's jobs alone where those before it fill its runtime."""
    waiting: int
    ahead: tuple[Ahead, ...]
    """The first few."""
    ahead_by_reason: dict[str, int]
    long_waiting_from: datetime | None
    """From then on the job takes part in the fourth starts."""
    starts_until_fourth: int
    limits: tuple[Use, ...]

    @property
    def blocked(self) -> Blocked | None:
        """The limit that the job waits for, as the admission queue finds it."""
        full = (use for use in self.limits if use.is_full)
        return next((Blocked(by=use.of, limit=use.limit) for use in full), None)


class Attempts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    run: int
    in_this_run: int
    allowed_in_this_run: int | None
    """None for a job that has finished."""
    retries: str
    in_all: int
    latest: tuple[Attempt, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    namespace: str
    name: str
    class_: str = msgspec.field(name="class")
    method: str
    priority: str
    phase: Phase
    reason: Reason
    cause: str
    notes: tuple[str, ...]
    next: Next | None
    queue: Queue | None
    attempts: Attempts
    remedies: tuple[Remedy, ...]
    unreadable: tuple[str, ...]


def explain(facts: Facts) -> Explanation:
    job = facts.job
    status, candidate = _decided(facts)
    queue = _queue(facts, candidate) if candidate else None
    cause, notes = status.message, list[str]()
    if queue is not None:
        cause = _why_queued(facts, queue)
        notes.extend(_fourth_starts(facts, queue))
    if is_new := status.finished != job.status.finished:
        cause = f"The operator is about to write: {cause}"
        status = msgspec.structs.replace(status, phase=job.status.phase, reason=job.status.reason)
    is_down = None if status.finished else _operator_is_down(facts)
    if job.metadata.deletion_timestamp is not None:
        cause = "It is being deleted: its attempt is stopped, and nothing starts any more."
    elif is_down is not None:
        # What the schema says of a job that no operator has seen is no news.
        is_default = job.status.observed_generation is None and cause == job.status.message
        if queue is None and not is_default:
            notes.append(f"Apart from that: {cause}")
        cause = f"{is_down} {_without_operator(facts)}"
    return Explanation(
        namespace=job.metadata.namespace,
        name=job.metadata.name,
        class_=job.spec.class_,
        method=job.spec.method,
        priority=job.spec.priority.word,
        phase=status.phase,
        reason=status.reason,
        cause=cause,
        notes=(*notes, *_configuration_notes(facts, status)),
        next=_next(facts, status, queue),
        queue=queue,
        attempts=_attempts(job),
        remedies=()
        if is_new and is_down is None
        else _remedies(facts, status, queue, operator_is_down=is_down is not None),
        unreadable=facts.unreadable if not status.finished else (),
    )


def _decided(facts: Facts) -> tuple[Status, Candidate | None]:
    """The status that the operator has for the job, and its place holder in the queue, if any.

    Where the configuration cannot be read, what the operator wrote last is all there is.
    """
    job = facts.job
    if facts.child is None and (job.status.job_ref is not None or _is_refused(job, facts.now)):
        return job.status, None
    observation = Observation(job=job, child=facts.child, pod=facts.pod)
    decision = decide(observation, facts.configuration, facts.now)
    if decision.status.reason is Reason.CONFIGURATION_INVALID and _knows_more(facts):
        return job.status, None
    if decision.status.reason is Reason.STARTING and job.status.reason in CANNOT_START:
        # The operator has seen more than the pod: why the Job gets none.
        return job.status, None
    return decision.status, decision.start.candidate if decision.start else None


def _is_refused(job: BackgroundJob, now: datetime) -> bool:
    """Whether the API server refused the child Job, by what the operator wrote."""
    tried_again = job.status.next_attempt_time
    if tried_again is None or job.spec.suspend or job.spec.cancelled:
        return False
    if job.status.reason in _REFUSED:
        return now < tried_again + _REFUSAL_IS_CURRENT_FOR
    return job.status.reason is Reason.QUEUED and now < tried_again


def _knows_more(facts: Facts) -> bool:
    """Whether the operator may have a configuration that could not be read here."""
    is_waiting = facts.job.status.reason is Reason.CONFIGURATION_INVALID
    return not (is_waiting and facts.configuration.problems)


# The queue.


def _queue(facts: Facts, me: Candidate) -> Queue:
    candidates = {me.uid: me}
    jobs = {facts.job.metadata.uid: facts.job}
    running: Counter[str] = Counter()
    for job in facts.others:
        if job.metadata.uid == me.uid:
            continue
        jobs[job.metadata.uid] = job
        if job.status.job_ref is not None or job.metadata.uid in facts.begun:
            running[_runtime_key(facts, job)] += 1
        elif (candidate := _candidate(facts, job)) is not None:
            candidates[job.metadata.uid] = candidate
    report = _report(facts)
    ageing = timedelta(seconds=report.ageing_seconds) if report else timedelta.max
    since_aged = report.starts_since_aged if report else 0
    places = {
        c.group: c.group_limit - running[c.group] for c in candidates.values() if c.group_limit
    }
    order = list(predicted_starts(candidates.values(), facts.now, ageing, since_aged, places))
    if me not in order:
        own = [each for each in candidates.values() if each.group == me.group]
        order = list(predicted_starts(own, facts.now, ageing, since_aged, {}))
    place = order.index(me)
    ahead = [Ahead(job=jobs[other.uid].key, why=_why_ahead(other, me)) for other in order[:place]]
    return Queue(
        place=place + 1,
        waiting=len(candidates),
        ahead=tuple(ahead[:_AHEAD_NAMED]),
        ahead_by_reason=dict(Counter(each.why for each in ahead)),
        long_waiting_from=me.could_start_since + ageing if report else None,
        starts_until_fourth=max(1, AGED_START_EVERY - since_aged),
        limits=tuple(_limits(report, me, running[me.group])),
    )


def _candidate(facts: Facts, job: BackgroundJob) -> Candidate | None:
    if _is_refused(job, facts.now):
        return None
    start = decide(Observation(job=job), facts.configuration, facts.now).start
    return start.candidate if start else None


def _runtime_key(facts: Facts, job: BackgroundJob) -> str:
    runtimes = facts.configuration.runtimes
    return runtime_for(runtimes, job.spec.class_).key if runtimes else DEFAULT


def _report(facts: Facts) -> QueueReport | None:
    return facts.lease.report if facts.lease and facts.lease.is_held(facts.now) else None


def _limits(report: QueueReport | None, me: Candidate, of_runtime: int) -> Iterator[Use]:
    """In the order in which the admission queue looks at them."""
    yield Use(of=Limit.RUNTIME, used=of_runtime, limit=me.group_limit)
    if report is not None:
        yield Use(of=Limit.OPERATOR, used=report.running, limit=report.max_concurrent)
        yield Use(of=Limit.START_WINDOW, used=report.starting, limit=report.start_window)


def _why_ahead(other: Candidate, me: Candidate) -> str:
    if other.rank > me.rank:
        return "fourth start"
    if other.by_hand and not me.by_hand:
        return "started by hand"
    if other.priority < me.priority:
        return f"{other.priority.word} priority"
    return "waits longer"


def _why_queued(facts: Facts, queue: Queue) -> str:
    """In the operator's own words, with who is ahead."""
    seen = Observation(job=facts.job, blocked=queue.blocked)
    message = decide(seen, facts.configuration, facts.now).status.message
    if queue.blocked is None and (unknown := _what_may_block(facts, queue)):
        message = unknown
    key = _runtime_key(facts, facts.job)
    return f"{message} {_who_is_ahead(queue, key)}"


def _what_may_block(facts: Facts, queue: Queue) -> str | None:
    if _report(facts) is None:
        return "It waits until the operator has a place for it; how many jobs run is not known."
    limit = next(use.limit for use in queue.limits if use.of is Limit.RUNTIME)
    if limit and not facts.sees_all:
        return (
            "It is about to start, unless jobs that you may not see take the places of its "
            f"runtime, {limit} (maxConcurrent)."
        )
    return None


def _who_is_ahead(queue: Queue, key: str) -> str:
    of_runtime = queue.blocked is not None and queue.blocked.by is Limit.RUNTIME
    whose = f" of runtime {key}" if of_runtime else ""
    count = queue.place - 1
    if count == 0:
        return f"It is the next{whose} to start."
    reasons = ", ".join(f"{n} {_plainly(why)}" for why, n in queue.ahead_by_reason.items())
    are = "job is" if count == 1 else "jobs are"
    return f"{count} {are} ahead{whose}: {reasons}."


def _plainly(why: str) -> str:
    match why:
        case "waits longer":
            return "of the same rank that waited before it"
        case "fourth start":
            return "by a fourth start"
        case "started by hand":
            return "started by hand"
    return f"of {why}"


def _fourth_starts(facts: Facts, queue: Queue) -> Iterator[str]:
    if queue.long_waiting_from is not None and queue.place > 1:
        count = queue.starts_until_fourth
        when = "the next start is one of them" if count == 1 else f"{count} starts from now"
        since = "since" if queue.long_waiting_from < facts.now else "from"
        yield (
            "Every fourth start goes to the job that has waited longest, whatever its priority "
            f"({when}); this job has a claim to them {since} {clock(queue.long_waiting_from)}."
        )
    report = _report(facts)
    if not facts.sees_all and report is not None and report.waiting > queue.waiting:
        yield (
            f"The operator has {report.waiting} waiting jobs; you may see {queue.waiting} of them, "
            "so others may be ahead."
        )


# What surrounds the job.


def _operator_is_down(facts: Facts) -> str | None:
    lease, namespace = facts.lease, facts.operator_namespace
    if lease is None or lease.is_held(facts.now):
        return None
    if lease.renewed is None:
        return f"The operator is not running: there is no Lease {LEASE} in namespace {namespace}."
    return f"The operator is not running (its lease was last renewed at {clock(lease.renewed)})."


def _without_operator(facts: Facts) -> str:
    if facts.under_way:
        return "The attempt goes on; what became of it is recorded once the operator runs again."
    return "Nothing starts and nothing is recorded until it runs again."


def _configuration_notes(facts: Facts, status: Status) -> Iterator[str]:
    if status.finished or status.reason is Reason.CONFIGURATION_INVALID:
        return
    for name, problem in facts.configuration.problems.items():
        yield (
            f"ConfigMap {name} cannot be used as it is ({problem}): the last good one, which only "
            "the operator knows, is in force."
        )


def _next(facts: Facts, status: Status, queue: Queue | None) -> Next | None:
    if status.finished:
        return None
    if facts.under_way:
        return _next_of_attempt(facts, status)
    due, attempt = status.next_attempt_time, f"attempt {status.next_attempt}"
    if due is not None and status.reason in _REFUSED:
        return _at(due, f"{attempt} is tried again")
    if due is not None and due > facts.now:
        return _at(due, f"{attempt} may start")
    if queue is not None and queue.place > 1:
        aged = queue.long_waiting_from
        return _at(
            aged if aged and aged > facts.now else None, "it has a claim to every fourth start"
        )
    return None


def _next_of_attempt(facts: Facts, status: Status) -> Next | None:
    if status.phase is Phase.CANCELLING or status.reason is Reason.SUSPENDED:
        killed = facts.pod.to_be_gone_at if facts.pod else None
        return _at(killed, "its pod is killed if it has not ended")
    if status.phase is Phase.RUNNING:
        deadline = facts.pod.deadline if facts.pod else None
        return _at(deadline, "the attempt is stopped (activeDeadlineSeconds)")
    limit = given_up_at(facts.job.spec, facts.child, facts.pod) if facts.child else None
    return Next(time=limit[0], what=f"the attempt is given up ({limit[1]})") if limit else None


def _at(time: datetime | None, what: str) -> Next | None:
    return Next(time=time, what=what) if time else None


def _attempts(job: BackgroundJob) -> Attempts:
    status = job.status
    return Attempts(
        run=status.run,
        in_this_run=status.next_attempt - 1,
        allowed_in_this_run=None if status.finished else attempts_allowed(job.spec, status),
        retries=priority.explain_retries(job.spec),
        in_all=status.attempts_total,
        latest=status.attempts,
    )


def _remedies(
    facts: Facts, status: Status, queue: Queue | None, *, operator_is_down: bool
) -> tuple[Remedy, ...]:
    commands = Commands(
        job=facts.job, flags=facts.flags, operator_namespace=facts.operator_namespace
    )
    if operator_is_down:
        deployment = "deployment/bgjobs-operator"
        return (
            commands.operators("see whether its pod is there", "get", "pods"),
            commands.operators("see why it ended", "logs", deployment, "--previous"),
        )
    full = {use.of: use.limit for use in queue.limits if use.is_full} if queue else {}
    spec, runtimes = facts.job.spec, facts.configuration.runtimes
    runtime = runtime_for(runtimes, spec.class_).settings if runtimes else Runtime()
    holds = Holds(
        paused_by=paused_by(runtimes, spec.class_) if runtimes else None,
        runtime=_runtime_key(facts, facts.job),
        node=facts.pod.node_name if facts.pod else None,
        operator_limit=full.get(Limit.OPERATOR, 0),
        runtime_is_full=Limit.RUNTIME in full,
        deadline_seconds=active_deadline_seconds(spec, runtime),
        problems=facts.configuration.problems,
    )
    return remedies(status, commands, holds)
