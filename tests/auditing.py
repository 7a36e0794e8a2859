"""What the operator wrote, by the API server's own audit log (tests/audit-policy.yaml)."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from tests.server import Server

_METHODS = {"create": "POST", "patch": "PATCH", "update": "PUT"}


class Write(NamedTuple):
    what: str
    name: str
    """The object's; that of the object that an Event is about."""
    status: int
    at: datetime


def writes(server: Server, namespace: str) -> list[Write]:
    """All that were answered so far, in order."""
    log = (server.control_plane.logs / "audit.log").read_text()
    # The last line may not be there as a whole yet.
    entries = (json.loads(line) for line in log[: log.rfind("\n") + 1].splitlines())
    found = [_write(e) for e in entries if e["objectRef"].get("namespace") == namespace]
    return sorted(found, key=lambda write: write.at)


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
        status = body[1]["value"]
        return " ".join([method, "status", *dict.fromkeys((status["phase"], status["reason"]))])
    return f"{method} {resource}/{subresource}".rstrip("/")
