"""From the words of a call to a BackgroundJob: checked here as far as can be without a cluster."""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from bgjobs.client import signatures
from bgjobs.client.errors import BadParametersError
from bgjobs.domain.names import is_object_name, name_for_key, name_prefix
from bgjobs.domain.resource import GROUP, KIND, MAX_PARAMETERS_BYTES, VERSION, delay_seconds

_LARGEST_INTEGER = 2**63 - 1
_MAX_DEPTH = 16
_RANDOM_BYTES = 6
_PRIORITIES = ("High", "Medium", "Low", 1, 2, 3)

Object = dict[str, Any]


@dataclass(frozen=True)
class Submission:
    """One BackgroundJob to create. It has its name already: to create it twice makes one."""

    name: str
    namespace: str | None
    """None: that of the client which creates it."""
    manifest: Object


def submission(
    job: type | str,
    /,
    *,
    method: str = "handle",
    parameters: Mapping[str, object] | None = None,
    key: str | None = None,
    name: str | None = None,
    namespace: str | None = None,
    labels: Mapping[str, str] | None = None,
    priority: Literal["High", "Medium", "Low", 1, 2, 3] | None = None,
    delay: timedelta | int | str | None = None,
    start_at: datetime | None = None,
    retries: int | None = None,
    backoff: Mapping[str, float] | None = None,
    adjustment: Literal["Enabled", "Disabled"] | None = None,
    active_deadline_seconds: int | None = None,
    pending_deadline_seconds: int | None = None,
    ttl_seconds_after_finished: int | None = None,
    suspend: bool | None = None,
    **named: object,
) -> Submission:
    """A job: a class, or its dotted name, and the parameters of its method.

    Keywords that are none of the options above are parameters: `warehouse=7`. A parameter that is
    called like an option goes into `parameters={"priority": "express"}`. What of the options is
    left out is the API server's default; `kubectl explain bgjob.spec` describes each.

    `key` makes the name from class, method and key, so that the same twice makes one job; `name` is
    a name of one's own. `delay` is a timedelta, whole seconds, or a text: "90s", "15m", "2h".

    Raises BadParametersError, also where the class can be imported here and its method does not
    take these parameters. That imports its module: let no stranger choose the class.
    """
    words = locals()
    options = {option for option, default in _DEFAULTS.items() if words[option] != default}
    class_ = signatures.dotted_name(job)
    given = _parameters(parameters or {}, named)
    signatures.check(job, method, given, options)
    spec = {
        "class": class_,
        "method": method,
        "parameters": given,
        "priority": _priority(priority),
        "delay": _delay(delay),
        "startAt": _time(start_at),
        "retries": retries,
        "backoff": None if backoff is None else dict(backoff),
        "adjustment": adjustment,
        "activeDeadlineSeconds": active_deadline_seconds,
        "pendingDeadlineSeconds": pending_deadline_seconds,
        "ttlSecondsAfterFinished": ttl_seconds_after_finished,
        "suspend": suspend,
    }
    metadata: Object = {"name": _name(class_, method, key, name)}
    if labels:
        metadata["labels"] = dict(labels)
    manifest = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": KIND,
        "metadata": metadata,
        "spec": {field: value for field, value in spec.items() if value is not None},
    }
    where = None if namespace is None else object_name(namespace)
    return Submission(metadata["name"], where, manifest)


_DEFAULTS: Mapping[str, object] = submission.__kwdefaults__ or {}


def _name(class_: str, method: str, key: str | None, name: str | None) -> str:
    if key is not None and name is not None:
        raise BadParametersError("Give a key or a name, not both: a key makes the name.")
    if key == "":
        raise BadParametersError("The key is empty: every job of the method would be the same one.")
    if key is not None:
        return name_for_key(class_, method, _key(key, "key"))
    if name is not None:
        return object_name(name)
    return f"{name_prefix(class_)}{secrets.token_hex(_RANDOM_BYTES)}"


def object_name(text: str) -> str:
    """Raises BadParametersError where no job and no namespace can be called so."""
    if not is_object_name(text):
        raise BadParametersError(
            f"{text!r} is no name in Kubernetes: small letters, digits, - and . are."
        )
    return text


def _parameters(given: Mapping[str, object], named: Mapping[str, object]) -> Object:
    if twice := sorted(given.keys() & named.keys()):
        raise BadParametersError(f"Given by name and in `parameters`: {', '.join(twice)}.")
    found: Object = _json({**given, **named}, "parameters", 0)
    size = len(msgspec.json.encode(found))
    if size > MAX_PARAMETERS_BYTES:
        raise BadParametersError(
            f"The parameters take {size} bytes of JSON, the limit is {MAX_PARAMETERS_BYTES}: store"
            " the data elsewhere and pass where it lies."
        )
    return found


def _json(value: object, where: str, depth: int) -> Any:
    """The value as the method will get it. Raises BadParametersError where JSON would change it."""
    if depth > _MAX_DEPTH:
        raise BadParametersError(f"{where} is nested deeper than {_MAX_DEPTH} levels.")
    match value:
        case None | bool():
            return value
        case str():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise BadParametersError(f"{where} is no valid Unicode: {value!r}") from None
            return str(value)
        case int():
            if abs(value) > _LARGEST_INTEGER:
                raise BadParametersError(
                    f"{where} is a whole number beyond 64 bits, which would lose digits: pass it"
                    " as a text."
                )
            return int(value)
        case float():
            if not math.isfinite(value):
                raise BadParametersError(f"{where} is {value}, which JSON cannot carry.")
            return float(value)
        case list() | tuple():
            return [_json(each, f"{where}[{n}]", depth + 1) for n, each in enumerate(value)]
        case Mapping():
            return {
                _key(k, f"a key of {where}"): _json(v, f"{where}.{k}", depth + 1)
                for k, v in value.items()
            }
    kind = f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    raise BadParametersError(
        f"JSON cannot carry {where}, {kind}: pass what it is made of, and convert it in the method."
    )


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise BadParametersError(f"{where} must be a text, not {key!r}.")
    return str(_json(key, where, 0))


def _priority(priority: str | int | None) -> str | int | None:
    if priority is not None and priority not in _PRIORITIES:
        raise BadParametersError(
            f"priority={priority!r}: it is High, Medium or Low, or 1, 2 or 3. A parameter of that"
            ' name goes into parameters={"priority": ...}.'
        )
    return priority


def _delay(delay: timedelta | int | str | None) -> int | str | None:
    if isinstance(delay, timedelta):
        return math.ceil(delay.total_seconds())
    if delay is not None:
        try:
            delay_seconds(delay)
        except (ValueError, TypeError):
            raise BadParametersError(
                f"delay={delay!r}: it is a timedelta, whole seconds, or a text like 90s, 15m, 2h."
                ' A parameter of that name goes into parameters={"delay": ...}.'
            ) from None
    return delay


def _time(time: datetime | None) -> str | None:
    if time is None:
        return None
    if time.tzinfo is None:
        raise BadParametersError(f"start_at={time} has no time zone: use datetime.now(UTC) + ...")
    return time.isoformat()
