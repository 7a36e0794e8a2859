"""The schema of a BackgroundJob's status: whatever it takes, and whether it takes a value."""

import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import yaml
from hypothesis import strategies as st
from tests.server import ROOT

_CRD = yaml.safe_load((ROOT / "crds/backgroundjobs.bgjobs.dev.yaml").read_text())
[_VERSION] = _CRD["spec"]["versions"]
STATUS = _VERSION["schema"]["openAPIV3Schema"]["properties"]["status"]

_BITS = {"int32": 31, "int64": 63}
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=3,
)


def values(schema: Any) -> st.SearchStrategy[Any]:
    """Raises KeyError for a schema that takes what this does not know."""
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("x-kubernetes-preserve-unknown-fields"):
        return _JSON
    match schema["type"]:
        case "object":
            fields = {name: values(field) for name, field in schema["properties"].items()}
            required = {name: fields.pop(name) for name in schema.get("required", ())}
            return st.fixed_dictionaries(required, optional=fields)
        case "array":
            keys = schema.get("x-kubernetes-list-map-keys")
            key = (lambda item: tuple(item[k] for k in keys)) if keys else None
            return st.lists(values(schema["items"]), max_size=schema["maxItems"], unique_by=key)
        case "string" if "pattern" in schema:
            texts = st.from_regex(schema["pattern"], fullmatch=True)
            return texts.filter(lambda text: not [*violations(schema, text)])
        case "string":
            return st.text(min_size=schema.get("minLength", 0), max_size=schema["maxLength"])
        case "integer":
            low, high = _bounds(schema)
            small = max(low, 0)
            return st.sampled_from([small, small + 1, high]) | st.integers(low, high)
        case "number":
            return st.floats(schema["minimum"], schema["maximum"])
    assert schema["type"] == "boolean"
    return st.booleans()


def violations(schema: Any, value: Any, path: str = "status") -> Iterator[str]:
    """What the API server would say against the value: the paths of what it does not take."""
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path}: {value!r}"
    match schema.get("type"):
        case "object":
            yield from (f"{path}: no {name}" for name in {*schema.get("required", ())} - {*value})
            for name, field in value.items():
                if name in schema["properties"]:
                    yield from violations(schema["properties"][name], field, f"{path}.{name}")
                else:
                    yield f"{path}.{name}: unknown"
        case "array":
            if len(value) > schema["maxItems"]:
                yield f"{path}: {len(value)} items"
            for number, item in enumerate(value):
                yield from violations(schema["items"], item, f"{path}[{number}]")
        case "string":
            if len(value) > schema.get("maxLength", len(value)) or not re.search(
                schema.get("pattern", ""), value
            ):
                yield f"{path}: {value!r}"
            elif schema.get("format") == "date-time":
                try:
                    datetime.fromisoformat(value)
                except ValueError:
                    yield f"{path}: {value!r}"
        case "integer":
            low, high = _bounds(schema)
            if not low <= value <= high:
                yield f"{path}: {value}"
        case "number":
            if not schema["minimum"] <= value <= schema["maximum"]:
                yield f"{path}: {value}"


def _bounds(schema: Any) -> tuple[int, int]:
    limit: int = 2 ** _BITS[schema["format"]]
    return schema.get("minimum", -limit), schema.get("maximum", limit - 1)
