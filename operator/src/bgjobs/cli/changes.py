"""What people ask of a job, as JSON patches that change no other job and none that has moved on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from bgjobs.cli.remedies import bgjob
from bgjobs.domain.resource import TERMINAL_PHASES, Phase, Reason

UNFINISHED = frozenset(Phase) - TERMINAL_PHASES

Object = dict[str, Any]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask of a job that is in one of these phases."""

    verb: str
    done: str
    phases: frozenset[Phase]
    failed: frozenset[Phase] = frozenset()
    """Those of a job that has failed."""
    counter: str | None = None
    """The counter of requests that is raised by one."""
    values: Mapping[str, Any] = msgspec.field(default_factory=dict)
    is_refused_elsewhere: bool = True
    """Whether the API server refuses it in other phases, which says more than we could."""


CANCEL = Change(
    verb="cancel",
    done="cancel requested",
    phases=UNFINISHED,
    failed=frozenset({Phase.RETRYING}),
    values={"cancelled": True},
)
START = Change(
    verb="start",
    done="start requested",
    phases=frozenset({Phase.PENDING, Phase.RETRYING}),
    counter="startRequests",
)
RETRY = Change(
    verb="retry",
    done="retry requested",
    phases=TERMINAL_PHASES - {Phase.SUCCEEDED},
    failed=frozenset({Phase.FAILED}),
    counter="retryRequests",
    values={"cancelled": False},
)
SUSPEND = Change(
    verb="suspend",
    done="suspended",
    phases=UNFINISHED,
    values={"suspend": True},
    is_refused_elsewhere=False,
)
RESUME = Change(
    verb="resume",
    done="resumed",
    phases=UNFINISHED,
    values={"suspend": False},
    is_refused_elsewhere=False,
)


def because(change: Change, reason: str | None) -> Change:
    """The cancel with its reason."""
    if reason is None:
        return change
    return msgspec.structs.replace(change, values={**change.values, "cancelReason": reason})


def is_done(change: Change, job: Object) -> bool:
    """Whether the job is already as the change wants it."""
    return change.counter is None and all(
        job["spec"].get(field) == value for field, value in change.values.items()
    )


def operations(change: Change, job: Object, *, in_phase: bool = False) -> list[Object]:
    """A JSON patch (RFC 6902) that fails where the job is another one by now, or was changed alike.

    With `in_phase` it also fails where the job has left its phase.
    """
    spec, values = job["spec"], dict(change.values)
    if change.counter:
        values[change.counter] = spec[change.counter] + 1
    seen = {f"/spec/{field}": spec[field] for field in values if field in spec}
    seen["/metadata/uid"] = job["metadata"]["uid"]
    if in_phase:
        seen["/status/phase"] = job["status"]["phase"]
    tests = [{"op": "test", "path": path, "value": value} for path, value in seen.items()]
    changes = [{"op": "add", "path": f"/spec/{name}", "value": v} for name, v in values.items()]
    return tests + changes


def moved_on(change: Change, seen: Object, now: Object | None) -> str | None:
    """Why the change no longer makes sense for a job that was seen earlier; None where it does."""
    if now is None or now["metadata"]["uid"] != seen["metadata"]["uid"]:
        return "is gone" if now is None else "was replaced by another job of that name"
    fields = [*change.values, *filter(None, [change.counter])]
    if any(now["spec"].get(field) != seen["spec"].get(field) for field in fields):
        return f"was changed by somebody else: {change.done} already"
    if now["status"]["phase"] not in change.phases:
        return f"is {now['status']['phase']} by now"
    return None


def what_holds(change: Change, job: Object, flags: Sequence[str]) -> str | None:
    """Why a job does not start though it was asked to, and what to do about it."""
    name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
    if change.counter != START.counter:
        return None
    if job["spec"].get("suspend"):
        return "it is suspended, and starts only once it goes on: " + bgjob(
            "resume", name, namespace, flags
        )
    if job["status"]["reason"] == Reason.PAUSED:
        return (
            "its class is paused, and it starts only once platform engineers unpause that: "
            + bgjob("explain", name, namespace, flags)
        )
    return None


def what_to_do(change: Change, jobs: Sequence[Object], where: str) -> str:
    """What is about to be asked of how many jobs."""
    phases = Counter(job["status"]["phase"] for job in jobs)
    counts = ", ".join(f"{count} {phase}" for phase, count in sorted(phases.items()))
    what = "BackgroundJob" if len(jobs) == 1 else "BackgroundJobs"
    return f"{change.verb} {len(jobs)} {what} in {where} ({counts})"
