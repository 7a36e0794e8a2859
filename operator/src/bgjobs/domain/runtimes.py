"""How the pods of a class run: image, resources, secrets, limits.

Platform engineers own this (ConfigMap bgjobs-runtimes); submitters choose none of it.
"""

import json
import re
from collections.abc import Container, Iterator, Mapping
from typing import Annotated, Any

import msgspec

from bgjobs.domain.errors import ConfigurationError
from bgjobs.domain.resource import MAX_QUOTED_CHARACTERS, Spec, cut

DEFAULT = "default"

_MAX_CHARACTERS = 16 * 1024
"""PyYAML has no limit of its own: some ten thousand brackets in each other crash the process."""
_ALIAS = re.compile(r"(?<![^\s\[{,:])\*[\w-]")
_MAX_ALIASES = 8
"""Aliases of aliases multiply: a few dozen of them turn a short text into gigabytes."""

_MAX_SECONDS = 2**31 - 1
_ACTIVE_DEADLINE_SECONDS = 3600


class Runtime(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True
):
    """The settings of one key. Those it leaves out come from shorter keys, last from `default`.

    Two are a key's own: its limit counts its own jobs, and `paused` is told with its key.
    """

    image: Annotated[str, msgspec.Meta(min_length=1)] | None = None
    image_pull_policy: str | None = None
    image_pull_secrets: list[dict[str, str]] | None = None
    resources: dict[str, dict[str, str | int | float]] | None = None
    env: list[dict[str, Any]] | None = None
    env_from: list[dict[str, Any]] | None = None
    volumes: list[dict[str, Any]] | None = None
    volume_mounts: list[dict[str, Any]] | None = None
    service_account_name: str | None = None
    node_selector: dict[str, str] | None = None
    tolerations: list[dict[str, Any]] | None = None
    labels: dict[str, str] | None = None
    termination_grace_period_seconds: Annotated[int, msgspec.Meta(ge=0, le=_MAX_SECONDS)] | None = (
        None
    )
    active_deadline_seconds: Annotated[int, msgspec.Meta(ge=1, le=_MAX_SECONDS)] | None = None
    max_concurrent: Annotated[int, msgspec.Meta(ge=0)] | None = None
    paused: str | None = None
    namespaces: list[str] | None = None


class ResolvedRuntime(msgspec.Struct, frozen=True, kw_only=True):
    """A key's settings, complete, and the key whose limit of concurrent jobs counts its jobs.

    That is another one where a key only pauses: what it holds stays counted where it was.
    """

    key: str
    settings: Runtime


Runtimes = Mapping[str, ResolvedRuntime]


def parse_runtimes(data: Mapping[str, str]) -> Runtimes:
    """Reads the data of ConfigMap bgjobs-runtimes: default, a class or a dotted prefix -> YAML.

    Raises ConfigurationError, naming the key.
    """
    own = {key: _parse_runtime(key, text) for key, text in data.items()}
    if DEFAULT not in own:
        raise ConfigurationError("the key default is missing: every class falls back to it")
    runtimes = {key: _resolve(own, key) for key in own}
    for key, runtime in runtimes.items():
        _check(key, runtime.settings)
    return runtimes


def runtime_for(runtimes: Runtimes, class_: str) -> ResolvedRuntime:
    """The runtime of a class: its own key, else its longest dotted prefix, else default."""
    return runtimes[_keys(runtimes, class_)[0]]


def active_deadline_seconds(spec: Spec, runtime: Runtime) -> int:
    """How long one attempt may run: by the job, else by its runtime, else an hour."""
    own = spec.active_deadline_seconds or runtime.active_deadline_seconds
    return own or _ACTIVE_DEADLINE_SECONDS


def paused_by(runtimes: Runtimes, class_: str) -> str | None:
    """The key whose `paused` holds a class, or None where nothing does."""
    for key in _keys(runtimes, class_):
        if (reason := runtimes[key].settings.paused) is not None:
            return key if reason else None
    return None


def namespace_refusal(runtime: ResolvedRuntime, namespace: str) -> str | None:
    """Why jobs in this namespace may not use this runtime, or None where they may."""
    allowed = runtime.settings.namespaces
    if allowed is None or namespace in allowed:
        return None
    return (
        f"Runtime {runtime.key} may be used in the namespaces {', '.join(allowed)} only, not in "
        f"{namespace}: create the job there, or ask a platform engineer to add {namespace} to "
        "the runtime in ConfigMap bgjobs-runtimes, then retry this job."
    )


def _parse_runtime(key: str, text: str) -> Runtime:
    value = _read(key, text)
    try:
        runtime = msgspec.convert(value, Runtime)
    except msgspec.ValidationError as error:
        hint = ""
        if "`$.paused`" in str(error):
            hint = (
                ': write why, in quotes (paused: "the warehouse is being moved"), or leave it out'
            )
        elif re.search("Expected `str.*, got `", str(error)):
            hint = ": put it in quotes"
        raise ConfigurationError(
            f"key {key!r}: {cut(str(error), MAX_QUOTED_CHARACTERS)}{hint}"
        ) from error
    if others := [name for name in _names_in(value) if not isinstance(name, str)]:
        name = cut(repr(others[0]), MAX_QUOTED_CHARACTERS)
        raise ConfigurationError(
            f"key {key!r} has a name that is no text, {name}: put it in quotes (YAML takes on, "
            "off, yes, no and null for something else)"
        )
    return runtime


def _names_in(value: Any) -> Iterator[Any]:
    """Those of all mappings, however deep."""
    rest = [value]
    while rest:
        match rest.pop():
            case dict() as mapping:
                yield from mapping
                rest.extend(mapping.values())
            case list() as items:
                rest.extend(items)


def _read(key: str, text: str) -> Any:
    """What the YAML says, if JSON can: it has no dates, bytes, sets or numbers that are none."""
    if len(text) > _MAX_CHARACTERS:
        raise ConfigurationError(
            f"key {key!r} has {len(text)} characters, at most {_MAX_CHARACTERS} are read: keep "
            "large values in a ConfigMap of the job's namespace and name it in envFrom or volumes"
        )
    if len(_ALIAS.findall(text)) > _MAX_ALIASES:
        raise ConfigurationError(
            f"key {key!r} has more than {_MAX_ALIASES} YAML aliases (*name): write out what they "
            "stand for"
        )
    try:
        value = msgspec.yaml.decode(text)
    except Exception as error:  # a tag before what does not fit it raises anything
        why = cut(f"{type(error).__name__}: {error}", MAX_QUOTED_CHARACTERS)
        raise ConfigurationError(f"key {key!r} is no valid YAML: {why}") from error
    try:
        json.dumps(value, allow_nan=False)
    except (RecursionError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"key {key!r} has a value that JSON has not; text goes in quotes: {error}"
        ) from error
    return {} if value is None else value


def _keys(among: Container[str], class_: str) -> list[str]:
    """The keys that fit a class or a prefix, the longest first, default last."""
    parts = class_.split(".")
    prefixes = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    fitting = [prefix for prefix in prefixes if prefix in among and prefix != DEFAULT]
    return [*fitting, DEFAULT]


def _resolve(own: Mapping[str, Runtime], key: str) -> ResolvedRuntime:
    """A key with what it leaves out taken from the next shorter key that has it."""
    keys = _keys(own, key)
    counting = next(each for each in keys if each == DEFAULT or not _only_pauses(own[each]))
    settings = {"max_concurrent": own[counting].max_concurrent}
    for field in set(Runtime.__struct_fields__) - {"max_concurrent", "paused"}:
        values = (getattr(own[each], field) for each in keys)
        settings[field] = next((value for value in values if value is not None), None)
    return ResolvedRuntime(key=counting, settings=msgspec.structs.replace(own[key], **settings))


def _only_pauses(runtime: Runtime) -> bool:
    return runtime.paused is not None and runtime == Runtime(paused=runtime.paused)


def _check(key: str, runtime: Runtime) -> None:
    if runtime.image is None:
        raise ConfigurationError(f"key {key!r}: image is missing here and in default")
    names = [str(entry.get("name", "")) for entry in runtime.env or []]
    if reserved := [name for name in names if name.startswith("BGJOB_")]:
        raise ConfigurationError(
            f"key {key!r}: env sets {reserved[0]}; names that start with BGJOB_ are the operator's"
        )
    if _uses_namespace_secrets(runtime) and runtime.namespaces is None:
        raise ConfigurationError(
            f"key {key!r}: it uses a Secret or a service account of the job's namespace, "
            "so it must list the namespaces that may use it: namespaces: [shop]"
        )


def _uses_namespace_secrets(runtime: Runtime) -> bool:
    """Whether something in it resolves, in the job's own namespace, to more than plain data."""
    return bool(
        runtime.env_from
        or runtime.service_account_name
        or any("valueFrom" in entry for entry in runtime.env or [])
        or any(not volume.keys() <= {"name", "emptyDir"} for volume in runtime.volumes or [])
    )
