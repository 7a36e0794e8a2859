"""What submit sends: a manifest from the words of a command line."""

from collections.abc import Iterable, Mapping
from typing import Any

from bgjobs.cli.errors import UsageError
from bgjobs.domain.names import name_for_key, name_prefix
from bgjobs.domain.resource import GROUP, KIND, VERSION

Object = dict[str, Any]


def manifest(
    class_: str,
    method: str,
    *,
    name: str | None = None,
    key: str | None = None,
    labels: Mapping[str, str],
    **spec: Any,
) -> Object:
    """A BackgroundJob. What of `spec` is None is left to the API server's defaults.

    Raises UsageError for an empty name or key.
    """
    if "" in (name, key):
        raise UsageError(
            f"--{'name' if name == '' else 'key'} is empty: without it, each call makes a new job."
        )
    metadata: Object = {"generateName": name_prefix(class_)}
    if name or key:
        metadata = {"name": name or name_for_key(class_, method, key or "")}
    if labels:
        metadata["labels"] = dict(labels)
    given = {field: value for field, value in spec.items() if value is not None}
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": metadata,
        "spec": {"class": class_, "method": method, **given},
    }


def labels(pairs: Iterable[str]) -> dict[str, str]:
    """Raises UsageError where one is not of the form name=value."""
    found = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise UsageError(f"--label {pair!r} is not of the form name=value.")
        found[name] = value
    return found


def int_or_text(text: str | None) -> int | str | None:
    """A delay or priority, of which the resource takes numbers as numbers."""
    return int(text) if text is not None and text.isascii() and text.isdigit() else text
