"""Only what platform engineers allow is started; what they have broken waits."""

from datetime import datetime

import msgspec

from bgjobs.domain import allowlist, runtimes
from bgjobs.domain.conditions import with_condition
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES, Configuration
from bgjobs.domain.decision import Decision, Event, EventType
from bgjobs.domain.observation import Observation
from bgjobs.domain.policies.changes import condition, finished, observed, waiting
from bgjobs.domain.resource import MAX_PARAMETERS_BYTES, BackgroundJob, Reason


def configured(seen: Observation, config: Configuration, _: datetime) -> Decision | None:
    """Without an allowlist and runtimes nothing starts, and nothing is rejected."""
    if config.allowlist is not None and config.runtimes is not None:
        return None
    problems = "; ".join(f"ConfigMap {name}: {text}" for name, text in config.problems.items())
    message = f"Waits until a platform engineer mends the operator's configuration: {problems}"
    until = seen.job.status.next_attempt_time
    return Decision(status=waiting(seen.job, Reason.CONFIGURATION_INVALID, message, until))


def allowed(seen: Observation, config: Configuration, now: datetime) -> Decision | None:
    """Checked before every start, retries included, whatever was allowed at apply."""
    assert config.allowlist is not None
    assert config.runtimes is not None
    job, spec = seen.job, seen.job.spec
    if message := allowlist.refusal(config.allowlist, spec.class_, spec.method):
        if problem := config.problems.get(ALLOWLIST):
            return _waits_for_allowlist(job, message, problem)
        return _rejected(job, Reason.NOT_ALLOWED, message, now)
    runtime = runtimes.runtime_for(config.runtimes, spec.class_)
    if message := runtimes.namespace_refusal(runtime, job.metadata.namespace):
        return _rejected(job, Reason.NAMESPACE_NOT_ALLOWED, message, now)
    size = len(msgspec.json.encode(spec.parameters))
    if size > MAX_PARAMETERS_BYTES:
        message = (
            f"The parameters are {size} bytes of JSON, more than {MAX_PARAMETERS_BYTES}: "
            "store them elsewhere and pass a reference in a new job."
        )
        return _rejected(job, Reason.PARAMETERS_TOO_LARGE, message, now)
    if key := runtimes.paused_by(config.runtimes, spec.class_):
        message = (
            f"Runtime {key} is paused until platform engineers take `paused` out of its key in "
            f"ConfigMap {RUNTIMES}: {config.runtimes[key].settings.paused}"
        )
        status = waiting(job, Reason.PAUSED, message, until=job.status.next_attempt_time)
        return Decision(status=status)
    return None


def _waits_for_allowlist(job: BackgroundJob, message: str, problem: str) -> Decision:
    """The allowlist in force is an older one: its newer, broken version may allow the class."""
    message = f"{message} It may be in the newest version, which cannot be read: {problem}"
    until = job.status.next_attempt_time
    return Decision(status=waiting(job, Reason.CONFIGURATION_INVALID, message, until))


def _rejected(job: BackgroundJob, reason: Reason, message: str, now: datetime) -> Decision:
    new = condition(job, "Accepted", False, str(reason), message, now)
    status = finished(job, observed(job), reason, message, now)
    status = msgspec.structs.replace(status, conditions=with_condition(status.conditions, new))
    event = Event(type=EventType.WARNING, reason=str(status.phase), message=message)
    return Decision(status=status, urgent=True, event=event)
