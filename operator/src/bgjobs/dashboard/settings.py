"""The dashboard's settings."""

from typing import Annotated, Literal

import msgspec

from bgjobs.domain.configuration import NAMESPACE
from bgjobs.settings import FromEnvironment


class Settings(FromEnvironment, frozen=True, kw_only=True):
    """Of the dashboard."""

    database_url: str
    """SQLAlchemy URL of the mirror; its user needs SELECT and nothing else."""
    session_key: Annotated[str, msgspec.Meta(min_length=32)]
    """What the cookies are encrypted with; whoever knows another one has to sign in again."""
    actions: bool = False
    """Whether jobs can be started, cancelled and retried here, by those who may."""
    namespace: str = NAMESPACE
    """Where the operator's ConfigMaps and its Lease lie."""
    http_host: str = "0.0.0.0"
    http_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
