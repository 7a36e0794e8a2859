"""What the operator wrote, by the API server's own audit log (tests/audit-policy.yaml)."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from tests.server import Server, wait_until

_METHODS = {"create": "POST", "patch": "PATCH", "update": "PUT"}


class Write(NamedTuple):
    what: str
    name: str
    """The object's; that of the object that an Event is about."""
    status: int
    at: datetime


def wait_written(server: Server, namespace: str, last: str, name: str = "") -> list[Write]:
    """All writes in order, once this one was answered (to the object of this name)."""

    def is_there() -> bool:
        every = writes(server, namespace)
        return any(w.what == last and w.status < 300 and name in ("", w.name) for w in every)

    wait_until(is_there, lambda: f"no {last} in {namespace} but {writes(server, namespace)}", 20)
    return writes(server, namespace)


def writes(server: Server, namespace: str) -> list[Write]:
    """All that were answered so far, in order."""
    log = (server.control_plane.logs / "audit.log").read_text()
    # The last line may not be there as a whole yet.
    lines = log[: log.rfind("\n") + 1].splitlines()
    entries = [json.loads(line) for line in lines if f'"namespace":"{namespace}"' in line]
    return sorted(map(_write, entries), key=lambda write: write.at)


def _write(entry: Any) -> Write:
    about, body = entry["objectRef"], entry.get("requestObject")
    verb, subresource = entry["verb"], about.get("subresource", "")
    return Write(
        what(_METHODS.get(verb, verb.upper()), about["resource"], subresource, body),
        body["involvedObject"]["name"] if about["resource"] == "events" else about.get("name", ""),
        entry["responseStatus"]["code"],
        datetime.fromisoformat(entry["requestReceivedTimestamp"]),
    )


def what(method: str, resource: str, subresource: str, body: Any) -> str:
    """Such as POST jobs, PATCH status Retrying BackingOff, POST events Cancelled."""
    if resource == "events":
        return f"{method} events {body['reason']}"
    if subresource == "status":
        return what_status(body[1]["value"])
    return f"{method} {resource}/{subresource}".rstrip("/")


def what_status(status: Any) -> str:
    """How that status was written."""
    return " ".join(["PATCH status", *dict.fromkeys((status["phase"], status["reason"]))])
