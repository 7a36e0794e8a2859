"""The parameters that submit sends, from a file and from the words of its command line."""

import json
import math
from collections.abc import Iterable
from typing import Any

import yaml

from bgjobs.cli.errors import UsageError

_YAML = "tag:yaml.org,2002:"
"""What the tags of YAML's own types begin with."""

Object = dict[str, Any]


def read_parameters(pairs: Iterable[str], file: bytes | None) -> Object:
    """The parameters of a file, JSON or YAML, with those of `name=value` pairs over them.

    A value is read as JSON if it is JSON, else as text. Raises UsageError, for a file with the
    line and the column where it is wrong, both from 1.
    """
    given = _from_file(file) if file is not None else {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not (equals and name):
            raise UsageError(f"--param {pair!r} is not of the form name=value.")
        given[name] = _value(value)
    return given


def _value(text: str) -> Any:
    try:
        return _json(text)
    except (ValueError, RecursionError):
        return text


def _json(text: str) -> Any:
    """Raises ValueError also for the numbers that Python's reader takes and JSON does not have."""
    return json.loads(text, parse_constant=_no_number, parse_float=_finite)


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number of JSON")


def _finite(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _no_number(text)


class _MalformedError(Exception):
    """What is wrong, and at which character of the file."""

    def __init__(self, index: int, why: str) -> None:
        super().__init__(why)
        self.index = index


def _from_file(content: bytes) -> Object:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = content[: error.start].decode()
        raise _refused(before, _MalformedError(len(before), "it is not UTF-8")) from error
    try:
        found = _from_json_or_yaml(text)
    except _MalformedError as error:
        raise _refused(text, error) from error
    except RecursionError as error:
        raise UsageError("The file of --params-file is nested too deeply.") from error
    if not isinstance(found, dict | None):
        raise UsageError(
            "The file of --params-file must hold one object of JSON values, such as warehouse: 7."
        )
    return found or {}


def _refused(text: str, error: _MalformedError) -> UsageError:
    before = text[: error.index]
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return UsageError(f"--params-file, line {line}, column {column}: {error}.")


def _from_json_or_yaml(text: str) -> Any:
    try:
        return _json(text)
    except json.JSONDecodeError as error:
        as_json = _MalformedError(error.pos, error.msg)
    except ValueError as error:
        raise UsageError(f"The file of --params-file cannot be used: {error}.") from error
    try:
        return _from_yaml(text)
    except _MalformedError as as_yaml:
        if text.lstrip().startswith("{"):
            # Whichever of the two it was meant to be, it went well for longer.
            raise max(as_yaml, as_json, key=lambda error: error.index) from None
        raise


def _from_yaml(text: str) -> Any:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if root is not None:
            _check_is_json(root)
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        why = ", ".join(filter(None, (error.context, error.problem)))
        raise _MalformedError(mark.index if mark else 0, why) from error
    except yaml.reader.ReaderError as error:
        raise _MalformedError(error.position, error.reason) from error


def _check_is_json(node: yaml.Node) -> None:
    """Raises _MalformedError for what JSON cannot carry: the job would get something else."""
    kind = node.tag.removeprefix(_YAML)
    match node:
        case yaml.MappingNode() if kind == "map":
            for key, value in node.value:
                if key.tag not in (f"{_YAML}str", f"{_YAML}merge"):
                    raise _not_json(key, "no text, as a name must be")
                _check_is_json(value)
        case yaml.SequenceNode() if kind == "seq":
            for each in node.value:
                _check_is_json(each)
        case yaml.ScalarNode() if kind in ("int", "float"):
            try:
                _json(node.value)
            except ValueError:
                raise _not_json(node, "no number of JSON") from None
        case yaml.ScalarNode() if kind in ("str", "bool", "null"):
            return
        case _:
            raise _not_json(node, "no value of JSON")


def _not_json(node: yaml.Node, what: str) -> _MalformedError:
    mark = node.start_mark
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        return _MalformedError(mark.index, f"this is {what}")
    return _MalformedError(
        mark.index, f"{node.value} is {what}: put it in quotes to have it as text"
    )
