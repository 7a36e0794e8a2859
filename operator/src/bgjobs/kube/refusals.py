"""What the API server says when it refuses, without how it came to find it."""

import json
import re
from typing import Any

_NOISE = re.compile(
    r"""^(?:Invalid\ value:\ (?:"(?:[^"\\]|\\.)*"|[^\s:]*):\ |Forbidden:\ )"""
    r"""|^ValidatingAdmissionPolicy\ '\S+'\ with\ binding\ '\S+'\ denied\ request:\ """,
    re.VERBOSE,
)
_UNCHECKED = "some validation rules were not checked"

Object = dict[str, Any]


def status_object(body: str | bytes | None) -> Object | None:
    """The Status in the body of a refusal; None where something else answered."""
    try:
        found = json.loads(body or "")
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and found.get("kind") == "Status" else None


def causes(status: Object | None) -> list[str]:
    """What is wrong with which field; nothing where it is a matter of rights."""
    found = []
    for cause in _causes(status):
        field, text = cause.get("field", ""), " ".join(str(cause.get("message", "")).split())
        if text and _UNCHECKED not in text:
            said = _NOISE.sub("", text)
            is_named = not field.startswith(("spec", "metadata")) or said.startswith(field)
            found.append(said if is_named else f"{field}: {said}")
    return list(dict.fromkeys(found))


def is_of_ending_namespace(status: Object | None) -> bool:
    """Whether nothing can be created since the namespace is being deleted."""
    return any(cause.get("reason") == "NamespaceTerminating" for cause in _causes(status))


def _causes(status: Object | None) -> list[Object]:
    details = (status or {}).get("details") or {}
    return details.get("causes") or []
