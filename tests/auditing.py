"""What the operator wrote, by the API server's own audit log (tests/audit-policy.yaml)."""

import json
from datetime import datetime
from typing import Any, NamedTuple

from tests.server import Server

_VERBS = {"create": "POST", "patch": "PATCH", "update": "PUT"}


class Write(NamedTuple):
    what: str
    """Such as POST jobs, PATCH status Retrying BackingOff, POST events Cancelled."""
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
    words = [_VERBS.get(entry["verb"], entry["verb"].upper())]
    name = about.get("name", "")
    if about["resource"] == "events":
        words += ["events", body["reason"]]
        name = body["involvedObject"]["name"]
    elif about.get("subresource") == "status":
        written = body[1]["value"]
        words += ["status", *dict.fromkeys((written["phase"], written["reason"]))]
    else:
        words.append("/".join(filter(None, [about["resource"], about.get("subresource")])))
    at = datetime.fromisoformat(entry["requestReceivedTimestamp"])
    return Write(" ".join(words), name, entry["responseStatus"]["code"], at)
