"""What the pages show of a job, from its rows. Pure."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import msgspec
import yaml

from bgjobs.cli.remedies import Commands, Holds, Remedy, remedies
from bgjobs.dashboard import words
from bgjobs.dashboard.states import STATES, State, note, state_of
from bgjobs.domain.phase import phase_of
from bgjobs.domain.resource import (
    GROUP,
    KIND,
    VERSION,
    BackgroundJob,
    Metadata,
    Phase,
    Priority,
    Reason,
    Spec,
    Status,
)
from bgjobs.mirror.schema import DELETED

MASKED = "••••••"
_SECRET = re.compile(
    r"(?i)passw(or)?d|passphrase|pwd|secret|token|credential|(api|access|private)[_-]?key|authoriz"
)
_ACTS = ("startRequests", "retryRequests", "cancelled", "cancelReason", "suspend", "startAt")
_MAX_NAME = 253
_STALE_AFTER = timedelta(seconds=30)
_JSON_CHARACTERS = 120
_MAX_LEVELS = 64
"""The operator keeps no deeper result: one that is was written by hand."""
_TOO_DEEP = "nested too deep to be shown"
_ERROR_LINE = re.compile(
    r"(?:[\w.]*(?:Error|Exception|Exit|Interrupt)\b|.*\b(?:ERROR|CRITICAL|FATAL)\b)"
)
_WARNING_LINE = re.compile(r".*\bWARN(?:ING)?\b")

Row = Mapping[str, Any]


class When(NamedTuple):
    """A time and how far it is away, which the page goes on counting. `{}` is where it goes."""

    text: str
    at: datetime | None = None
    since: str = ""
    """The word before the time itself."""
    ahead: str = ""
    """What it says instead while the time is still to come."""


class Line(NamedTuple):
    """A job in a list."""

    row: Row
    state: State
    note: str
    priority: str
    attempts: str
    asides: tuple[str, ...]
    when: When
    why: str
    result: str


def line(row: Row) -> Line:
    state = state_of(row["phase"], row["reason"])
    result = row.get("result") if row["phase"] == Phase.SUCCEEDED else None
    asides = [f"run {row['run']}"] if row["run"] > 1 else []
    if row["disruptions"]:
        asides.append(words.plural(row["disruptions"], "disruption"))
    return Line(
        row=row,
        state=state,
        note=note(row["phase"], row["reason"]),
        priority=Priority(row["priority"]).word,
        attempts=_attempts(row, state),
        asides=tuple(asides),
        when=_when(row, state),
        why=_when_it_was_deleted(row) if state.name == DELETED else row["message"],
        result="" if result is None else short_json(result),
    )


def short_json(text: str) -> str:
    """As much of it as a list has room for, without what sounds secret."""
    return cut(json.dumps(mask(read_json(text)), ensure_ascii=False), _JSON_CHARACTERS)


def _attempts(row: Row, state: State) -> str:
    current = row["attempts_of_run"] + (state.name in ("Starting", "Running", "Cancelling"))
    if row["effective_retries"] is None:
        return str(current)
    # Disruptions and deferrals cost no retry, so there may be more attempts than are allowed.
    return f"{current} of {max(current, row['effective_retries'] + 1)}"


def _when(row: Row, state: State) -> When:
    since = row["could_start_at"] or row["created_at"]
    match state.name:
        case "Scheduled":
            return When("due {} ago", row["next_attempt_at"] or since, "at", "in {}")
        case "Queued":
            return When("waiting {}", since, "since")
        case "Held":
            return When("held {}", max(row["created_at"], since), "since", "held, due in {}")
        case "Starting":
            return When("waiting {}", since, "since")
        case "Running" | "Cancelling":
            # When a later attempt began is not known until it has ended.
            if began := began_at(row):
                return When("running {}", began, "since")
            return When("waited and ran {}", since, "since")
        case "Deleted":
            return When("deleted {} ago", row["deleted_at"], "at")
    ended = row["completed_at"]
    if row["run_seconds"] is None:
        return When("never ran", None, "at" if ended else "")
    return When(f"ran {words.duration(row['run_seconds'])}", None, "ended" if ended else "")


def began_at(row: Row) -> datetime | None:
    """When the attempt under way began to run, if that is known: of a run's first one."""
    started: datetime | None = row["started_at"]
    return started if row["attempts_of_run"] == 0 else None


def _when_it_was_deleted(row: Row) -> str:
    last = next(state for state in STATES.values() if row["reason"] in state.reasons)
    return f"It was deleted before it ended; it was last seen {last.name.lower()}."


def cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else text[: characters - 1] + "…"


# The mirror.


class Freshness(NamedTuple):
    """How current the pages are. `problem` is a sentence where they are not."""

    as_of: datetime | None
    behind: float
    problem: str | None


def freshness(meta: Row | None, now: datetime) -> Freshness:
    if meta is None or meta["as_of"] is None:
        return Freshness(
            None,
            0,
            "Nothing has been mirrored yet: the operator has not written to this database. See "
            "kubectl get pods -n bgjobs-system.",
        )
    as_of, written_at = meta["as_of"], meta["written_at"] or meta["as_of"]
    behind = max(0.0, (now - as_of).total_seconds())
    problem = None
    if now - written_at > _STALE_AFTER:
        problem = (
            "The operator has given no sign of life for "
            f"{words.duration((now - written_at).total_seconds())}: see kubectl get pods -n "
            "bgjobs-system. Jobs that run go on; what becomes of them is shown once it is back."
        )
    elif now - as_of > _STALE_AFTER:
        problem = (
            f"The mirror is behind{_still_to_write(meta['pending'])}. Jobs are not held up by it."
        )
    return Freshness(as_of, behind, problem)


def _still_to_write(pending: int) -> str:
    """What waits in the operator; more may be missing until it has compared all."""
    return f", with at least {words.plural(pending, 'job')} still to write" if pending else ""


# One job.


def mask(value: Any, levels: int = _MAX_LEVELS) -> Any:
    """Parameters, or a result, without the values whose key sounds secret."""
    if levels == 0 and isinstance(value, dict | list):
        return _TOO_DEEP
    if isinstance(value, dict):
        return {
            key: MASKED if _SECRET.search(key) and each is not None else mask(each, levels - 1)
            for key, each in value.items()
        }
    return [mask(each, levels - 1) for each in value] if isinstance(value, list) else value


def read_json(text: str | None) -> Any:
    """What a column of JSON holds; its text where that is none."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text
    except RecursionError:
        return _TOO_DEEP


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def resource(row: Row) -> BackgroundJob:
    """As far as the mirror tells; of one deleted before its end, as it was last seen."""
    reason = Reason(row["reason"])
    spec = read_json(row["spec"]) or {}
    base = {"class": row["class"], "method": row["method"], "priority": row["priority"]}
    try:
        read = msgspec.convert({**base, **spec}, Spec)
    except msgspec.ValidationError:
        read = msgspec.convert(base, Spec)
    return BackgroundJob(
        metadata=Metadata(
            name=row["name"],
            namespace=row["namespace"],
            uid=row["uid"],
            resource_version=row["resource_version"],
            creation_timestamp=row["created_at"],
        ),
        spec=read,
        status=Status(
            phase=phase_of(reason, row["attempts_of_run"] + 1),
            reason=reason,
            run=row["run"],
            attempts_total=row["attempts_total"],
        ),
    )


def commands(job: BackgroundJob, operator_namespace: str, node: str | None) -> list[Remedy]:
    """What changes its state, the likeliest first, then what is always possible."""
    writer = Commands(job=job, flags=(), operator_namespace=operator_namespace)
    deadline = job.spec.active_deadline_seconds or 3600
    found = list(remedies(job.status, writer, Holds(deadline_seconds=deadline, node=node)))
    if not job.status.finished:
        found += [writer.cancel(), writer.logs("-f")]
    elif job.status.phase is not Phase.SUCCEEDED and job.status.attempts_total:
        found.append(writer.logs())
    explain = writer.kubectl("bgjob", "explain", job.metadata.name)
    if not job.status.finished and job.status.phase is not Phase.RUNNING:
        found.append(Remedy(what="ask why it does not run", bgjob=explain))
    unique = {(each.bgjob, each.kubectl): each for each in found}
    return list(unique.values())


def as_new_yaml(row: Row, labels: Mapping[str, str]) -> str:
    """A manifest that submits the same again, under a name of its own, with secrets left out."""
    spec = {key: value for key, value in (read_json(row["spec"]) or {}).items() if key not in _ACTS}
    parameters = read_json(row["parameters"])
    masked = mask(parameters)
    ordered = {"class": row["class"], "method": row["method"], **spec}
    ordered["priority"] = Priority(row["priority"]).word
    if masked:
        ordered["parameters"] = masked
    suffix = "-again"
    metadata: dict[str, Any] = {
        "name": row["name"][: _MAX_NAME - len(suffix)].rstrip("-.") + suffix,
        "namespace": row["namespace"],
    }
    if labels:
        metadata["labels"] = dict(labels)
    text = yaml.safe_dump(
        {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": metadata, "spec": ordered},
        allow_unicode=True,
        sort_keys=False,
        width=4096,
    )
    if masked != parameters:
        text = f"# Fill in what is {MASKED} here, or better let the runtime bring it.\n{text}"
    return text


def log_lines(text: str) -> list[tuple[str, str]]:
    """Each line with what it seems to be: error, warning or nothing."""

    def kind(line: str) -> str:
        if _ERROR_LINE.match(line):
            return "error"
        return "warning" if _WARNING_LINE.match(line) else ""

    return [(kind(line), line) for line in text.splitlines()]


class Stretch(NamedTuple):
    """A time of an attempt in one state."""

    style: str
    begin: datetime
    end: datetime
    words: str


_UNDER_WAY = {
    "Starting": "queued and starting",
    "Running": "waited and ran so far",
    "Cancelling": "waited and ran so far",
}


def stretches(
    attempts: Sequence[Row], row: Row | None, asked_at: datetime | None, now: datetime
) -> list[list[Stretch]]:
    """Of each attempt of one run, the oldest first, and of the one under way, if `row` is given.

    `asked_at` is when the run was asked for: a job's first one when it was created.
    """
    first = attempts[0] if attempts else row
    if first is None:
        return []
    found = []
    before = asked_at or first["could_start_at"] or first["started_at"] or now
    for attempt in attempts:
        started = attempt["started_at"]
        ended = attempt["finished_at"]
        begin = min(attempt["could_start_at"] or before, started or ended)
        parts = [
            Stretch("scheduled", before, begin, "delay or backoff"),
            Stretch("queued", begin, started or ended, "queued and starting"),
        ]
        if started is not None:
            style = {"Succeeded": "succeeded", "Cancelled": "cancelled"}.get(
                attempt["outcome"], "failed"
            )
            parts.append(Stretch(style, started, ended, "ran"))
        found.append([part for part in parts if part.end > part.begin or part.words == "ran"])
        before = ended
    if row is not None:
        state = state_of(row["phase"], row["reason"])
        began = began_at(row) if state.name in ("Running", "Cancelling") else None
        begin = max(before, row["could_start_at"] or before)
        if state.name not in ("Scheduled", "Held"):
            # The delay may have been changed since it started.
            begin = max(before, min(begin, began or now))
        parts = [Stretch("scheduled", before, begin, "delay or backoff")]
        if began:
            parts.append(Stretch("queued", begin, began, "queued and starting"))
            parts.append(Stretch(state.style, began, max(began, now), state.name.lower()))
        elif state.name != "Scheduled":
            does = _UNDER_WAY.get(state.name, state.name.lower())
            parts.append(Stretch(state.style, begin, max(begin, now), does))
        found.append([part for part in parts if part.end > part.begin])
    return found
