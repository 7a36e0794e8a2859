"""A simulated API server: in memory, in one order, what controllers depend on.

test_against_real_server.py asks it and a real one the same.
"""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec

from bgjobs.kube.api import ApiError

Object = dict[str, Any]

EPOCH = datetime(2030, 1, 31, 12, tzinfo=UTC)
FINISHED = ("Succeeded", "Failed", "Cancelled", "Rejected")
_FIRST_VERSION = 1000
_PATH = re.compile(
    r"/apis?/(.+?)(?:/namespaces/(?P<namespace>[^/]+))?"
    r"/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<part>status|log))?"
)
_NEW_STATUS = {
    "jobs": {},
    "backgroundjobs": {"phase": "Pending", "reason": "Queued", "message": "Waiting"},
}


class Key(NamedTuple):
    kind: str
    namespace: str
    name: str


class Request(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str]
    body: Any


class Write(NamedTuple):
    """One change of one object, from `before` to `after`; None where it is not there."""

    version: int
    at: float
    who: str
    verb: str
    key: Key
    before: Object | None
    after: Object | None

    @property
    def last(self) -> Object:
        """The object after the change, or as it was when it went."""
        last = self.after or self.before
        assert last is not None
        return last


class Selection(NamedTuple):
    """What a list or a watch is about."""

    kind: str
    namespace: str
    labels: str
    fields: str

    def has(self, object_: Object | None) -> bool:
        if object_ is None:
            return False
        metadata = object_["metadata"]
        labels = metadata.get("labels", {})
        return (
            self.namespace in ("", metadata["namespace"])
            and all(_fits(labels.get(key), *term) for key, *term in _terms(self.labels))
            and all(_fits(_field(object_, path), *term) for path, *term in _terms(self.fields))
        )

    def event(self, write: Write) -> Object | None:
        """What a watch tells of a write.

        What leaves the selection is told as deleted, as it was, but of the newer version.
        """
        if write.key.kind != self.kind:
            return None
        was, is_ = self.has(write.before), self.has(write.after)
        if is_:
            return {"type": "MODIFIED" if was else "ADDED", "object": write.after}
        if not was or write.before is None:
            return None
        metadata = write.before["metadata"] | {"resourceVersion": str(write.version)}
        return {"type": "DELETED", "object": write.before | {"metadata": metadata}}


class ApiServer:
    """Every version of every object, and the only way to change one.

    What it hands out is never changed afterwards, and must not be by anybody.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self.seconds = seconds
        self.objects: dict[Key, Object] = {}
        self.history: list[Write] = []
        self.listeners: list[Callable[[Write], None]] = []
        self.compacted = _FIRST_VERSION
        """Watches and lists cannot go on from versions before this one."""
        self.longest_page = 500
        self.quota_exceeded = False
        self._pages: dict[str, tuple[int, list[Object]]] = {}

    @property
    def version(self) -> int:
        return _FIRST_VERSION + len(self.history)

    def now(self) -> datetime:
        return EPOCH + timedelta(seconds=self.seconds())

    def time(self) -> str:
        return f"{self.now():%Y-%m-%dT%H:%M:%SZ}"

    def of_kind(self, kind: str) -> list[tuple[Key, Object]]:
        return [(key, found) for key, found in self.objects.items() if key.kind == kind]

    def since(self, version: int) -> Sequence[Write]:
        return self.history[version - _FIRST_VERSION :]

    def handle(self, who: str, request: Request) -> Object:
        """Answers one request. Raises ApiError."""
        key, part = _parse_path(request.path)
        match request.method:
            case "GET" if key.name:
                return self._get(key)
            case "GET":
                return self._list(selection(request.path, request.params), request.params)
            case "POST":
                return self._create(who, key, request.body)
            case "PATCH":
                return self._patch(who, key, part, request.body)
        return self.delete(who, key, request.body or {})

    def update(
        self, who: str, key: Key, change: Callable[[Object], None], verb: str = "update"
    ) -> Object:
        """Changes an object; one that is being deleted goes when nothing holds it any more."""
        before = self.objects[key]
        after = _copy(before)
        change(after)
        if after == before:
            return before
        metadata = after["metadata"]
        if after.get("spec") != before.get("spec"):
            metadata["generation"] += 1
        held = metadata.get("finalizers") or metadata.get("deletionGracePeriodSeconds")
        if "deletionTimestamp" in metadata and not held:
            return self._write(who, "remove", key, before, None)
        return self._write(who, verb, key, before, after)

    def delete(self, who: str, key: Key, options: Object) -> Object:
        """Deletes at once, or marks what something holds: finalizers, dependents, the kubelet."""
        found = self._get(key)
        for field, wanted in options.get("preconditions", {}).items():
            if found["metadata"][field] != wanted:
                raise ApiError(409, "Conflict", f"Precondition failed: {field}: {wanted}")
        grace = options.get("gracePeriodSeconds", 30 if key.kind == "pods" else 0)

        def mark(object_: Object) -> None:
            metadata = object_["metadata"]
            if "deletionTimestamp" not in metadata:
                metadata |= {"deletionTimestamp": self.time(), "deletionGracePeriodSeconds": grace}
                metadata["generation"] += key.kind != "pods"
            metadata["deletionGracePeriodSeconds"] = min(
                grace, metadata["deletionGracePeriodSeconds"]
            )
            finalizers = metadata.setdefault("finalizers", [])
            if options.get("propagationPolicy") == "Foreground":
                finalizers += {"foregroundDeletion"}.difference(finalizers)

        return self.update(who, key, mark, "delete")

    def _get(self, key: Key) -> Object:
        if key not in self.objects:
            raise ApiError(404, "NotFound", f'{key.kind} "{key.name}" not found')
        return self.objects[key]

    def _list(self, of: Selection, params: Mapping[str, str]) -> Object:
        if token := params.get("continue"):
            version, items = self._pages[token]
            if version < self.compacted:
                raise ApiError(410, "Expired", "The provided continue parameter is too old")
        else:
            version = self.version
            items = [each for _, each in sorted(self.of_kind(of.kind)) if of.has(each)]
        limit = min(self.longest_page, int(params.get("limit", 500)))
        metadata: Object = {"resourceVersion": str(version)}
        if items[limit:]:
            metadata["continue"] = f"{version}-{len(self._pages)}"
            self._pages[metadata["continue"]] = (version, items[limit:])
        return {"items": items[:limit], "metadata": metadata}

    def _create(self, who: str, key: Key, body: Object) -> Object:
        created = _copy(body)
        metadata = created["metadata"]
        name = metadata.setdefault("name", f"{metadata.get('generateName', '')}{self.version + 1}")
        key = key._replace(name=name)
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f'{key.kind} "{name}" already exists')
        if key.kind == "jobs" and self.quota_exceeded:
            raise ApiError(403, "Forbidden", f'jobs "{name}" is forbidden: exceeded quota: jobs')
        metadata |= {
            "namespace": key.namespace,
            "uid": f"00000000-0000-4000-8000-{self.version + 1:012}",
            "creationTimestamp": self.time(),
            "generation": 1,
        }
        if key.kind in _NEW_STATUS:
            created["status"] = _NEW_STATUS[key.kind]
        return self._write(who, "create", key, None, created)

    def _patch(self, who: str, key: Key, part: str | None, patch: Any) -> Object:
        before = self._get(key)

        def change(object_: Object) -> None:
            if isinstance(patch, list):
                for operation in patch:
                    _apply(object_, operation)
            else:
                _merge(object_, patch)
            if object_["metadata"]["resourceVersion"] != before["metadata"]["resourceVersion"]:
                raise ApiError(409, "Conflict", f'{key.kind} "{key.name}" has been modified')
            if key.kind in _NEW_STATUS:
                other = "spec" if part == "status" else "status"
                object_[other] = before[other]
            if key.kind == "backgroundjobs" and (refusal := _refusal(before, object_)):
                raise ApiError(422, "Invalid", refusal)

        return self.update(who, key, change, part or "update")

    def _write(
        self, who: str, verb: str, key: Key, before: Object | None, after: Object | None
    ) -> Object:
        version = self.version + 1
        if after is None:
            del self.objects[key]
        else:
            after["metadata"]["resourceVersion"] = str(version)
            self.objects[key] = after
        write = Write(version, self.seconds(), who, verb, key, before, after)
        self.history.append(write)
        for listener in self.listeners:
            listener(write)
        return write.last


def selection(path: str, params: Mapping[str, str]) -> Selection:
    key, _ = _parse_path(path)
    labels, fields = params.get("labelSelector", ""), params.get("fieldSelector", "")
    return Selection(key.kind, key.namespace, labels, fields)


def owner_uid(object_: Object) -> str | None:
    owners = object_["metadata"].get("ownerReferences", [])
    return next((owner["uid"] for owner in owners), None)


@functools.cache
def _parse_path(path: str) -> tuple[Key, str | None]:
    match = _PATH.fullmatch(path)
    assert match, path
    key = Key(match["kind"], match["namespace"] or "", match["name"] or "")
    return key, match["part"]


def _copy(object_: Object) -> Object:
    copy: Object = msgspec.json.decode(msgspec.json.encode(object_))
    return copy


def _apply(object_: Object, operation: Object) -> None:
    """One operation, `add` or `replace`, of a JSON patch."""
    *parents, last = operation["path"].removeprefix("/").split("/")
    functools.reduce(lambda inner, key: inner[key], parents, object_)[last] = operation["value"]


def _merge(object_: Object, patch: Object) -> None:
    for key, value in patch.items():
        if isinstance(value, dict) and isinstance(object_.get(key), dict):
            _merge(object_[key], value)
        else:
            object_[key] = value


@functools.cache
def _terms(selector: str) -> list[tuple[str, str, str]]:
    """Each term's key, operator and value; the operator is empty where it asks for a key alone."""
    found = (re.fullmatch("(.+?)(?:(!?=)(.*))?", term) for term in selector.split(",") if term)
    return [(term[1], term[2] or "", term[3] or "") for term in found if term]


def _fits(value: str | None, operator: str, wanted: str) -> bool:
    if not operator:
        return value is not None
    return (value == wanted) == (operator == "=")


def _field(object_: Object, path: str) -> str | None:
    value: Any = object_
    for part in path.split("."):
        value = value.get(part, {})
    return value or None


def _refusal(before: Object, after: Object) -> str | None:
    """Why a change of a BackgroundJob's spec makes no sense (the CEL rules of crds/)."""
    old, new, status = before["spec"], after["spec"], before["status"]
    phase = status["phase"]
    retries, starts, cancelled = (
        (old.get(field, default), new.get(field, default))
        for field, default in (("retryRequests", 0), ("startRequests", 0), ("cancelled", False))
    )
    retried, started = retries[1] - retries[0], starts[1] - starts[0]
    unheard_retry = retries[0] > status.get("observedRetryRequests", 0)
    if retried not in (0, 1) or started not in (0, 1):
        return "this counts requests and can only be raised by one"
    if retried and (phase not in FINISHED[1:] or cancelled[1]):
        return f"this job is {phase} and can only be retried once it is Failed, or not cancelled"
    if cancelled[0] and not cancelled[1] and not retried:
        return "a cancel cannot be taken back"
    if cancelled[1] and not cancelled[0] and phase in FINISHED and not unheard_retry:
        return f"this job is already {phase}: nothing is left to cancel"
    if started and (phase not in ("Pending", "Retrying") or cancelled[1]):
        return f"this job is {phase} and only a waiting one can be started by hand"
    return None
