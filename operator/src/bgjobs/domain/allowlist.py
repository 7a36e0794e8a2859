"""Which methods of which classes may run.

The same rule is checked at apply by an admission policy (deploy/base/admission).
"""

import re
from collections.abc import Mapping

from bgjobs.domain.errors import ConfigurationError
from bgjobs.domain.resource import cut

_CLASS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)+")
_METHODS = re.compile(r"[^\s,]+", re.ASCII)
_METHOD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")

_MAX_QUOTED = 64

Allowlist = Mapping[str, frozenset[str]]


def parse_allowlist(data: Mapping[str, str]) -> Allowlist:
    """Reads the data of ConfigMap bgjobs-allowlist: class -> its methods,
    separated by spaces, newlines or commas.

    Raises ConfigurationError.
    """
    allowlist = {}
    for class_, value in data.items():
        methods = frozenset(_METHODS.findall(value))
        if not _CLASS.fullmatch(class_):
            raise ConfigurationError(
                f"key {class_!r} is no dotted Python class such as shop.jobs.SyncStock"
            )
        if wrong := sorted(method for method in methods if not _METHOD.fullmatch(method)):
            raise ConfigurationError(
                f"key {class_!r} lists {cut(wrong[0], _MAX_QUOTED)!r}, which is no public method "
                "name: write names separated by spaces or newlines"
            )
        allowlist[class_] = methods
    return allowlist


def refusal(allowlist: Allowlist, class_: str, method: str) -> str | None:
    """Why this method of this class may not run, or None where it may."""
    if class_ not in allowlist:
        return (
            f"Class {class_} is not in the allowlist: ask a platform engineer to add it "
            "to ConfigMap bgjobs-allowlist, then retry this job."
        )
    if method not in allowlist[class_]:
        return (
            f"Method {method} of class {class_} is not in the allowlist: ask a platform engineer "
            "to add it to ConfigMap bgjobs-allowlist, then retry this job."
        )
    return None
