"""Settings, read once from the environment."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

import msgspec

from bgjobs.domain.configuration import NAMESPACE

_PREFIX = "BGJOBS_"


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


class FromEnvironment(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=_variable
):
    """Each field is set by the environment variable BGJOBS_<FIELD IN CAPITALS>."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError, naming the variable, where one is unknown, missing or malformed."""
        given = {name: value for name, value in environment.items() if name.startswith(_PREFIX)}
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"the settings are wrong: {error}") from error


class Settings(FromEnvironment, frozen=True, kw_only=True):
    """The operator's."""

    namespace: str = NAMESPACE
    """Where the operator's ConfigMaps and its Lease lie."""
    pod_name: str = ""
    """The name under which it leads, which no other process has at the same time.

    Where there is none, it is the host's name and a random suffix.
    """
    database_url: str
    """SQLAlchemy URL of the mirror."""
    max_concurrent: Annotated[int, msgspec.Meta(ge=0)] = 50
    """Jobs that run at once; 0 for no limit."""
    start_window: Annotated[int, msgspec.Meta(ge=0)] | None = None
    """Child Jobs that exist at once whose pod does not run yet; 0 for no limit.

    Unless it is set, it follows how long starts take.
    """
    ageing_seconds: Annotated[int, msgspec.Meta(ge=0)] = 300
    """How long a job waits before one start in four is kept for such jobs."""
    hints_per_second: Annotated[float, msgspec.Meta(gt=0)] = 10
    """How many waiting jobs' reasons are written a second; a twentieth while many jobs start."""
    ttl_seconds_after_success: Annotated[int, msgspec.Meta(ge=0)] = 3600
    """How long a Succeeded BackgroundJob stays that says nothing of its own."""
    ttl_seconds_otherwise: Annotated[int, msgspec.Meta(ge=0)] = 7 * 24 * 3600
    """The same for Failed, Cancelled and Rejected ones."""
    max_finished: Annotated[int, msgspec.Meta(ge=0)] = 100_000
    """Finished BackgroundJobs that stay at most, whatever their time; 0 for no limit."""
    child_ttl_seconds_after_success: Annotated[int, msgspec.Meta(ge=60)] = 300
    """How long the child Job of a recorded attempt stays, and with it its pod's log."""
    child_ttl_seconds_otherwise: Annotated[int, msgspec.Meta(ge=60)] = 3600
    """The same where the attempt did not succeed."""
    sweep_seconds: Annotated[int, msgspec.Meta(ge=1)] = 300
    """How often every BackgroundJob is read, for the mirror and to delete what has expired."""
    log_tails_of_all: bool = False
    """Whether the end of every attempt's log is mirrored, not only of those without success."""
    history_days: Annotated[int, msgspec.Meta(ge=0)] = 90
    """How long the mirror keeps what is gone from the cluster; 0 for ever."""
    workers: Annotated[int, msgspec.Meta(ge=1)] = 32
    """Reconciliations that may wait for the API server at once."""
    http_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    """Where /metrics, /healthz and /readyz answer."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
