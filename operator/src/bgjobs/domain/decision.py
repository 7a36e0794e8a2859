"""What a policy wants done about one BackgroundJob."""

import enum
from datetime import datetime
from typing import Self

import msgspec

from bgjobs.domain.observation import ChildJob
from bgjobs.domain.ranking import Candidate
from bgjobs.domain.resource import Status
from bgjobs.domain.runtimes import ResolvedRuntime


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """Create this child Job as soon as the admission queue lets it through."""

    job_name: str
    run: int
    attempt: int
    runtime: ResolvedRuntime
    candidate: Candidate


class EventType(enum.StrEnum):
    NORMAL = "Normal"
    WARNING = "Warning"


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A Kubernetes Event, to be posted once the status is written."""

    type: EventType
    reason: str
    message: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """The status to show and at most one action.

    `urgent` says that the status records something that must not be lost or
    shown late; any other status is written only once it has lasted a while.
    """

    status: Status
    urgent: bool = False
    start: Start | None = None
    stop: ChildJob | None = None
    event: Event | None = None
    look_again_at: datetime | None = None

    @classmethod
    def keep(cls, status: Status) -> Self:
        return cls(status=status)
