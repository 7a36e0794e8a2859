"""The BackgroundJob resource as typed data.

The API server validates what users write (crds/); these types only read it.
"""

import enum
import re
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec

GROUP = "bgjobs.dev"
VERSION = "v1alpha1"
KIND = "BackgroundJob"
PLURAL = "backgroundjobs"

MAX_PARAMETERS_BYTES = 64 * 1024
MAX_ATTEMPTS_KEPT = 10
MAX_MESSAGE_CHARACTERS = 1024
"""Of the messages of the status and its conditions; the API server refuses longer ones."""
MAX_COUNT = 2**31 - 1
MAX_RUN = 1_000_001
MAX_ATTEMPT = 1_000
MAX_SECONDS = 1e11
"""What the API server takes in a status at the most. No job comes near; by hand, any may be there,
and one more is as many."""
MAX_LOG_TAIL_CHARACTERS = 1024
"""Of the end of an attempt's log in the status."""
MAX_ERROR_NAME_CHARACTERS = 256
"""Of an exception's type and of its frame's module and function."""
MAX_QUOTED_CHARACTERS = 512
"""Of a message that becomes a part of another one."""

_DURATION = re.compile(r"([0-9]+)([smh])")
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600}


class Priority(enum.IntEnum):
    HIGH = 1
    MEDIUM = 2
    LOW = 3

    @property
    def word(self) -> str:
        """High, Medium or Low, as people write it."""
        return self.name.capitalize()


class Adjustment(enum.StrEnum):
    ENABLED = "Enabled"
    DISABLED = "Disabled"


class Phase(enum.StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    RETRYING = "Retrying"
    CANCELLING = "Cancelling"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"
    REJECTED = "Rejected"


TERMINAL_PHASES = frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED, Phase.REJECTED})


class Reason(enum.StrEnum):
    """Why a job is in its phase. Part of the API: finite, never renamed."""

    QUEUED = "Queued"
    DELAYED = "Delayed"
    BACKING_OFF = "BackingOff"
    SUSPENDED = "Suspended"
    PAUSED = "Paused"
    CONFIGURATION_INVALID = "ConfigurationInvalid"
    QUOTA_EXCEEDED = "QuotaExceeded"
    STARTING = "Starting"
    UNSCHEDULABLE = "Unschedulable"
    IMAGE_PULL_BACK_OFF = "ImagePullBackOff"
    CONTAINER_CONFIG_ERROR = "ContainerConfigError"
    ADOPTION_CONFLICT = "AdoptionConflict"
    RUNNING = "Running"
    NODE_UNREACHABLE = "NodeUnreachable"
    CANCELLING = "Cancelling"
    SUCCEEDED = "Succeeded"
    CANCELLED = "Cancelled"
    ERROR = "Error"
    PERMANENT_FAILURE = "PermanentFailure"
    BAD_PARAMETERS = "BadParameters"
    NOT_IN_IMAGE = "NotInImage"
    OOM_KILLED = "OOMKilled"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    DISRUPTED = "Disrupted"
    JOB_DELETED = "JobDeleted"
    NOT_ALLOWED = "NotAllowed"
    NAMESPACE_NOT_ALLOWED = "NamespaceNotAllowed"
    PARAMETERS_TOO_LARGE = "ParametersTooLarge"


class AttemptOutcome(enum.StrEnum):
    """How one attempt ended. Failed and JobDeleted cost a retry.

    Disrupted, Deferred and Suspended do so only beyond a limit.
    """

    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    DISRUPTED = "Disrupted"
    SUSPENDED = "Suspended"
    DEFERRED = "Deferred"
    CANCELLED = "Cancelled"
    JOB_DELETED = "JobDeleted"


class _Data(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True, kw_only=True):
    """Immutable, named as the JSON is, absent where it says nothing."""


class Backoff(_Data, frozen=True):
    """Wait `seconds * factor ** n` after the n-th failure (from 0), at most `max_seconds`."""

    seconds: int = 5
    factor: float = 2
    max_seconds: int = 300


class Spec(_Data, frozen=True):
    class_: str = msgspec.field(name="class")
    method: str = "handle"
    parameters: dict[str, Any] = msgspec.field(default_factory=dict)
    priority: Priority = Priority.MEDIUM
    delay_seconds: int = msgspec.field(name="delay", default=0)
    start_at: datetime | None = None
    retries: int = 3
    backoff: Backoff = Backoff()
    adjustment: Adjustment = Adjustment.ENABLED
    active_deadline_seconds: int | None = None
    pending_deadline_seconds: int = 600
    ttl_seconds_after_finished: int | None = None
    suspend: bool = False
    cancelled: bool = False
    cancel_reason: str | None = None
    start_requests: int = 0
    retry_requests: int = 0


class Who(msgspec.Struct, frozen=True, rename=lambda field: f"{GROUP}/{field.replace('_', '-')}"):
    """The users whom the admission policy stamped into the annotations."""

    created_by: str | None = None
    cancelled_by: str | None = None
    started_by: str | None = None
    retried_by: str | None = None


class Manager(_Data, frozen=True):
    """Whoever last set some fields, and when; the operator's own are of the subresource status.

    Times are as the API server writes them: UTC, to the second. Anybody may have made them up,
    even of the year 0, which no datetime has; as texts they compare all the same.
    """

    time: str = ""
    subresource: str = ""


class Metadata(_Data, frozen=True):
    name: str
    namespace: str
    uid: str
    resource_version: str
    creation_timestamp: datetime
    generation: int = 1
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] = msgspec.field(default_factory=dict)
    annotations: Who = Who()
    managed_fields: tuple[Manager, ...] = ()

    def changed_at(self, now: datetime) -> datetime:
        """When somebody last changed something other than the status, as managedFields tell.

        Whoever may write the object may forge it, but neither before the creation nor after now.
        """
        times = (manager.time for manager in self.managed_fields if not manager.subresource)
        created = f"{self.creation_timestamp.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        return min(datetime.fromisoformat(max([created, *times])), now)

    @property
    def version(self) -> int:
        """The resourceVersion as a number: they can be compared since Kubernetes 1.35."""
        return int(self.resource_version)


class Condition(_Data, frozen=True):
    type: str
    status: str
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int


class Resources(_Data, frozen=True):
    """What one attempt used, as its process accounts for itself."""

    peak_memory_bytes: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)] | None = None
    cpu_seconds: Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)] | None = None
    memory_limit_bytes: int | None = None
    """Of its container, beyond which it would have been killed."""


class AttemptError(_Data, frozen=True):
    """The exception that ended an attempt, and the top frame of the job's own code."""

    type: str
    module: str | None = None
    function: str | None = None
    line: int | None = None


class Attempt(_Data, frozen=True):
    """One finished attempt; `attempt` counts from 1 in each run."""

    run: int
    attempt: int
    job_name: str
    finish: datetime
    outcome: AttemptOutcome
    reason: Reason
    message: str = ""
    node_name: str | None = None
    due_time: datetime | None = None
    """When it could have started."""
    start: datetime | None = None
    exit_code: int | None = None
    resources: Resources | None = None
    error: AttemptError | None = None
    log_tail: str | None = None
    ended_as: Phase | None = None
    """The phase in which it ended its run, told once another run is asked for."""


class JobRef(_Data, frozen=True):
    """The child Job of the attempt that is under way."""

    name: str
    uid: str
    run: int
    attempt: int
    stop_time: datetime | None = None
    """When it was told to end."""
    given_up: bool = False
    """Whether it is deleted because its pod did not start in time."""


class Status(_Data, frozen=True):
    """What the operator says about a BackgroundJob."""

    phase: Phase = Phase.PENDING
    reason: Reason = Reason.QUEUED
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    observed_generation: int | None = None
    observed_start_requests: int = 0
    observed_retry_requests: int = 0
    effective_retries: int | None = None
    effective_delay_seconds: int | None = None
    next_attempt_time: datetime | None = None
    start_time: datetime | None = None
    completion_time: datetime | None = None
    run_seconds: float | None = None
    run: int = 1
    attempts_total: int = 0
    retries_used: int = 0
    disruptions: int = 0
    deferrals: int = 0
    suspensions: int = 0
    attempts: tuple[Attempt, ...] = ()
    result: Any = None
    job_ref: JobRef | None = None

    @property
    def finished(self) -> bool:
        return self.phase in TERMINAL_PHASES

    @property
    def next_attempt(self) -> int:
        """The number, from 1 in this run, of the attempt that is under way or comes next."""
        last = self.attempts[-1] if self.attempts else None
        return min(last.attempt + 1, MAX_ATTEMPT) if last and last.run == self.run else 1


class BackgroundJob(_Data, frozen=True):
    metadata: Metadata
    spec: Spec
    status: Status = Status()

    @property
    def key(self) -> str:
        """namespace/name, as people write it."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def is_to_run_again(self) -> bool:
        """Whether another run was asked for that has not begun."""
        retries_are_new = self.spec.retry_requests > self.status.observed_retry_requests
        return self.status.finished and retries_are_new and not self.spec.cancelled

    @property
    def is_done(self) -> bool:
        """Whether it has finished, and no other run was asked for."""
        return self.status.finished and not self.is_to_run_again


def delay_seconds(value: int | str) -> int:
    """Seconds of a delay as users write it: 90, "90s", "15m" or "2h".

    Raises ValueError where it is neither.
    """
    if isinstance(value, int):
        return value
    if match := _DURATION.fullmatch(value):
        return int(match[1]) * _UNIT_SECONDS[match[2]]
    raise ValueError(f"{value!r} is no delay: write whole seconds or a duration like 90s, 15m, 2h")


def cut(text: str, characters: int = MAX_MESSAGE_CHARACTERS) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


def _priority(name: str) -> int:
    try:
        return Priority[name.upper()].value
    except KeyError:
        raise ValueError(f"{name!r} is no priority: write High, Medium or Low") from None


def parse(raw: dict[str, Any]) -> BackgroundJob:
    """Reads a BackgroundJob as the API server returns it.

    Raises ValueError where it breaks the schema, which the API server prevents
    unless an older schema let it in.
    """
    spec = dict(raw["spec"])
    if isinstance(spec.get("priority"), str):
        spec["priority"] = _priority(spec["priority"])
    spec["delay"] = delay_seconds(spec.get("delay", 0))
    return msgspec.convert({**raw, "spec": spec}, BackgroundJob)


def render_status(status: Status) -> dict[str, Any]:
    """The status as JSON values, times in RFC 3339."""
    rendered: dict[str, Any] = msgspec.to_builtins(status)
    return {
        "phase": str(status.phase),
        "reason": str(status.reason),
        "run": status.run,
        **rendered,
    }
