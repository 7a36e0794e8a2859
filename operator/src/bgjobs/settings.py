"""The operator's settings, read once from the environment."""

from collections.abc import Mapping
from typing import Self

import msgspec

_PREFIX = "BGJOBS_"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each field is set by the environment variable BGJOBS_<FIELD IN CAPITALS>."""

    namespace: str = "bgjobs-system"
    """Where the operator's ConfigMaps lie."""
    database_url: str
    """SQLAlchemy URL of the mirror."""
    max_concurrent: int = 50
    """Jobs that run at once; 0 for no limit."""
    ageing_seconds: int = 300
    """How long a job waits before one start in four is kept for such jobs."""
    hints_per_second: float = 10
    """How many waiting jobs' reasons are written a second."""
    workers: int = 32
    """Reconciliations that may wait for the API server at once."""
    http_port: int = 8080
    """Where /metrics, /healthz and /readyz answer."""
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Raises ValueError, naming the variable, where one is unknown, missing or malformed."""
        given = {
            name.removeprefix(_PREFIX).lower(): value
            for name, value in environment.items()
            if name.startswith(_PREFIX)
        }
        try:
            return msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"the settings ({_PREFIX}*) are wrong: {error}") from error
