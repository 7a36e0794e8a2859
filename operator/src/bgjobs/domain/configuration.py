"""What platform engineers configure, as the operator last read it."""

from collections.abc import Mapping

import msgspec

from bgjobs.domain.allowlist import Allowlist
from bgjobs.domain.runtimes import Runtimes

NAMESPACE = "bgjobs-system"
"""Where the operator and its ConfigMaps lie, unless they are installed elsewhere."""
ALLOWLIST = "bgjobs-allowlist"
RUNTIMES = "bgjobs-runtimes"
"""The names of the ConfigMaps."""


class Configuration(msgspec.Struct, frozen=True, kw_only=True):
    """The last good allowlist and runtimes; None where there never was a good one.

    `problems` names what is wrong with the ConfigMaps as they are now, by the
    ConfigMap's name. A problem rejects nothing: the last good data stays in force.
    """

    allowlist: Allowlist | None = None
    runtimes: Runtimes | None = None
    problems: Mapping[str, str] = msgspec.field(default_factory=dict)
