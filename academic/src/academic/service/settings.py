"""The service's settings, read once from the environment."""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec

_PREFIX = "ACADEMIC_"


def _variable(field: str) -> str:
    return _PREFIX + field.upper()


class Settings(msgspec.Struct, frozen=True, kw_only=True, rename=_variable):
    """Each field is set by the environment variable ACADEMIC_<FIELD IN CAPITALS>."""

    database_url: str
    """SQLAlchemy URL of the service's own database."""
    namespace: str = "academic"
    """Where its BackgroundJobs are."""
    dashboard_url: str = ""
    """Of the dashboard of bgjobs, to which admins are sent."""
    http_host: str = "0.0.0.0"
    http_port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 8080
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Settings":
        """Raises ValueError, naming the variable, where one is missing or malformed."""
        try:
            return msgspec.convert(dict(environment), cls, strict=False)
        except msgspec.ValidationError as error:
            raise ValueError(f"the settings are wrong: {error}") from error
