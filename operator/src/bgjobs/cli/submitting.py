"""What submit sends: a manifest from the words of a command line."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from bgjobs.cli.errors import CommandError, UsageError
from bgjobs.domain.names import name_for_key, name_prefix
from bgjobs.domain.resource import GROUP, KIND, VERSION

Object = dict[str, Any]


def parameters(pairs: Iterable[str], file_text: str | None) -> Object:
    """The parameters of a file, JSON or YAML, with those of `name=value` pairs over them.

    A value is read as JSON if it is JSON, else as text. Raises CommandError.
    """
    given = _from_file(file_text) if file_text is not None else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise UsageError(f"--param {pair!r} is not of the form name=value.")
        given[name] = _value(value)
    return given


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return text


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _from_file(text: str) -> Object:
    try:
        found = yaml.safe_load(text)
        # JSON carries no dates, and no keys but text: the job would get something else.
        same = found is None or json.loads(json.dumps(found, allow_nan=False)) == found
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise CommandError(f"The file of --params-file is no JSON or YAML: {why}") from error
    if not (same and isinstance(found, dict | None)):
        raise CommandError(
            "The file of --params-file must hold one object of JSON values, such as warehouse: 7."
        )
    return found or {}


def manifest(
    class_: str,
    method: str,
    *,
    name: str | None = None,
    key: str | None = None,
    labels: Mapping[str, str],
    **spec: Any,
) -> Object:
    """A BackgroundJob. What of `spec` is None is left to the API server's defaults."""
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
    """Raises CommandError where one is not of the form name=value."""
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
