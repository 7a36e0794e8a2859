"""What the operator sees of one BackgroundJob and of what it started for it."""

import enum
from datetime import datetime

import msgspec

from bgjobs.domain.ranking import Blocked
from bgjobs.domain.resource import BackgroundJob, Reason


class ChildJob(msgspec.Struct, frozen=True, kw_only=True):
    """A child Job, reduced to what decisions need."""

    name: str
    uid: str
    resource_version: str
    run: int
    attempt: int
    created: datetime
    failed_message: str | None = None
    succeeded: bool = False
    ended: datetime | None = None
    deleted_at: datetime | None = None
    """When its deletion was accepted."""
    gone: bool = False

    @property
    def deleting(self) -> bool:
        return self.deleted_at is not None


class PodPhase(enum.StrEnum):
    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Why a pod has not started: the kubelet's or the scheduler's reason and message."""

    reason: str
    message: str


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """A child Job's pod, reduced to what decisions need."""

    name: str
    uid: str
    resource_version: str
    owner_uid: str | None
    owner_name: str | None = None
    is_orphan: bool = False
    """Whether its Job was deleted without it."""
    run: int
    attempt: int
    created: datetime
    phase: PodPhase
    reason: str | None = None
    node_name: str | None = None
    started: datetime | None = None
    finished: datetime | None = None
    exit_code: int | None = None
    terminated_reason: str | None = None
    termination_message: str = ""
    disruption: str | None = None
    waiting: Waiting | None = None
    has_sandbox: bool = False
    """Whether its container could be created: what it mounts is there."""
    memory_limit: str | None = None
    lost: bool = False
    """The node controller no longer hears from its node."""
    deadline: datetime | None = None
    """When its node ends it, whether it has started or not."""
    to_be_gone_at: datetime | None = None
    """When a pod that is being deleted has had its grace period."""
    told_to_end: bool = False
    """Whether it was deleted before it ended: what it ended with is then its answer to that."""
    gone: bool = False

    @property
    def overran(self) -> bool:
        """Whether it was ended by its deadline."""
        return self.reason == "DeadlineExceeded"

    @property
    def ended(self) -> bool:
        return self.phase in (PodPhase.SUCCEEDED, PodPhase.FAILED)


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """The API server's answer to the last attempt to create the child Job."""

    reason: Reason
    message: str
    retry_at: datetime
    tries: int


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """One BackgroundJob with the child Job and the pod of its current attempt.

    `failure` is what an Event says of why there is no pod, or why its volumes are not mounted;
    `log_tail` the end of the pod's log, where it was followed.
    """

    job: BackgroundJob
    child: ChildJob | None = None
    pod: Pod | None = None
    failure: str | None = None
    log_tail: str | None = None
    refusal: Refusal | None = None
    blocked: Blocked | None = None
