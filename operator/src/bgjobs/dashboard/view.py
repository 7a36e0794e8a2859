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
from bgjobs.dashboard.states import State, note, state_of
from bgjobs.domain.resource import (
    GROUP,
    KIND,
    TERMINAL_PHASES,
    VERSION,
    BackgroundJob,
    Metadata,
    Phase,
    Priority,
    Reason,
    Spec,
    Status,
)

MASKED = "••••••"
_SECRET = re.compile(
    r"(?i)passw(or)?d|passphrase|pwd|secret|token|credential|(api|access|private)[_-]?key|authoriz"
)
_FINISHED = {str(phase) for phase in TERMINAL_PHASES}
_ACTS = ("startRequests", "retryRequests", "cancelled", "cancelReason", "suspend", "startAt")
_MAX_NAME = 253
_STALE_AFTER = timedelta(seconds=30)
_RESULT_CHARACTERS = 120

Row = Mapping[str, Any]


class When(NamedTuple):
    """A time and how far it is away, which the page goes on counting. `{}` is where it goes."""

    text: str
    at: datetime | None = None
    since: str = ""
    """The word before the time itself."""


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
    is_gone = row["deleted_at"] is not None and row["phase"] not in _FINISHED
    result = row.get("result") if row["phase"] == Phase.SUCCEEDED else None
    asides = [f"run {row['run']}"] if row["run"] > 1 else []
    if row["disruptions"]:
        asides.append(words.plural(row["disruptions"], "disruption"))
    return Line(
        row=row,
        state=state,
        note="deleted" if is_gone else note(row["phase"], row["reason"]),
        priority=Priority(row["priority"]).word,
        attempts=_attempts(row, state),
        asides=tuple(asides),
        when=_when(row, state),
        why="It was deleted before it ended." if is_gone else row["message"],
        result="" if result is None else cut(_short(result), _RESULT_CHARACTERS),
    )


def _short(result: str) -> str:
    return json.dumps(mask(read_json(result)), ensure_ascii=False)


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
            return When("{}", row["next_attempt_at"] or since, "at")
        case "Queued":
            return When("waiting {}", since, "since")
        case "Held":
            return When("held {}", max(row["created_at"], since), "since")
        case "Starting":
            return When("starting {}", since, "since")
        case "Running" | "Cancelling":
            first = row["attempts_total"] == 0 and row["started_at"]
            return When("running {}", first or since, "since")
    ended = row["completed_at"]
    if row["run_seconds"] is None:
        return When("never ran", None, "at" if ended else "")
    return When(f"ran {words.duration(row['run_seconds'])}", None, "ended" if ended else "")


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
            f"The mirror is behind, with {words.plural(meta['pending'], 'job')} still to write. "
            "Jobs are not held up by it."
        )
    return Freshness(as_of, behind, problem)


# One job.


def mask(value: Any) -> Any:
    """Parameters, or a result, without the values whose key sounds secret."""
    if isinstance(value, dict):
        return {
            key: MASKED if _SECRET.search(key) and each is not None else mask(each)
            for key, each in value.items()
        }
    return [mask(each) for each in value] if isinstance(value, list) else value


def read_json(text: str | None) -> Any:
    """What a column of JSON holds; its text where that is none."""
    try:
        return None if text is None else json.loads(text)
    except ValueError:
        return text


def pretty(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def resource(row: Row) -> BackgroundJob:
    """As far as the mirror tells."""
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
        status=Status(phase=Phase(row["phase"]), reason=Reason(row["reason"]), run=row["run"]),
    )


def commands(job: BackgroundJob, operator_namespace: str, node: str | None) -> list[Remedy]:
    """What changes its state, the likeliest first, then what is always possible."""
    writer = Commands(job=job, flags=(), operator_namespace=operator_namespace)
    deadline = job.spec.active_deadline_seconds or 3600
    found = list(remedies(job.status, writer, Holds(deadline_seconds=deadline, node=node)))
    if not job.status.finished:
        found += [writer.cancel(), writer.logs("-f")]
    elif job.status.phase is not Phase.SUCCEEDED:
        found.append(writer.logs())
    explain = writer.kubectl("bgjob", "explain", job.metadata.name)
    if not job.status.finished:
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


class Stretch(NamedTuple):
    """A time of an attempt in one state."""

    style: str
    begin: datetime
    end: datetime
    words: str


def stretches(
    attempts: Sequence[Row], row: Row, asked_at: datetime | None, now: datetime
) -> list[list[Stretch]]:
    """Of each attempt of one run, the oldest first, and of the one under way.

    `asked_at` is when the run was asked for: a job's first one when it was created.
    """
    found = []
    first = attempts[0]["could_start_at"] if attempts else row["could_start_at"]
    before = asked_at or first or row["created_at"]
    for attempt in attempts:
        begin = attempt["could_start_at"] or before
        started = attempt["started_at"]
        ended = attempt["finished_at"]
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
    state = state_of(row["phase"], row["reason"])
    if state.group != "Finished" and row["deleted_at"] is None:
        begin = max(before, row["could_start_at"] or before)
        parts = [Stretch("scheduled", before, begin, "delay or backoff")]
        if state.name != "Scheduled":
            parts.append(Stretch(state.style, begin, max(begin, now), state.name.lower()))
        found.append([part for part in parts if part.end > part.begin])
    return found
