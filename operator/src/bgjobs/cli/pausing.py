"""Pauses a class in the text of ConfigMap bgjobs-runtimes, leaving the rest as people wrote it."""

import json
from collections.abc import Mapping
from typing import Any

import yaml

from bgjobs.cli.errors import CommandError
from bgjobs.domain.runtimes import DEFAULT

_PAUSED = "paused"


def paused(text: str, reason: str) -> str:
    """A runtime's YAML with `paused` set. Raises CommandError where the text is no YAML mapping."""
    _settings(text)
    line = f"{_PAUSED}: {json.dumps(reason, ensure_ascii=False)}\n"
    return _checked(text, _set(text, line), reason)


def unpaused(text: str) -> str | None:
    """A runtime's YAML without `paused`; None where nothing else was in it."""
    rest = _settings(text)
    rest.pop(_PAUSED, None)
    return _checked(text, _set(text, ""), None) if rest else None


def pause_of(text: str) -> str | None:
    """The reason for which a runtime is paused, by its own text."""
    reason = _settings(text).get(_PAUSED)
    return str(reason) if reason else None


def not_paused(data: Mapping[str, str], class_: str) -> str:
    """Why there is nothing to unpause: a class may be paused by a shorter key."""
    prefixes = sorted((key for key in data if class_.startswith(f"{key}.")), key=len, reverse=True)
    for key in (*prefixes, DEFAULT):
        if pause_of(data.get(key, "")) is not None:
            return f"{class_} is paused by the key {key}: unpause that."
    return f"{class_} is not paused."


def _set(text: str, line: str) -> str:
    """The text with its top-level entry `paused`, if it has one, replaced by this line."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    entries = root.value if isinstance(root, yaml.MappingNode) and not root.flow_style else ()
    for key, value in entries:
        if key.value == _PAUSED:
            begin, end = key.start_mark.index, value.end_mark.index
            if text[end - 1] != "\n":
                end = text.find("\n", end) + 1 or len(text)
            return text[:begin] + line + text[end:]
    if not line:
        return text
    head = text if not text or text.endswith("\n") else f"{text}\n"
    return f"{head}{line}"


def _checked(text: str, edited: str, reason: str | None) -> str:
    """The edited text if it says what it should, else the settings written anew."""
    want = _settings(text)
    want.pop(_PAUSED, None)
    if reason is not None:
        want[_PAUSED] = reason
    try:
        if _settings(edited) == want:
            return edited
    except CommandError:
        pass
    return yaml.safe_dump(want, sort_keys=False, allow_unicode=True)


def _settings(text: str) -> dict[str, Any]:
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        why = " ".join(str(error).split())
        raise CommandError(f"The runtime is no valid YAML, so it is left alone: {why}") from error
    if not isinstance(found, dict | None):
        raise CommandError("The runtime is no mapping of settings, so it is left alone.")
    return found or {}
