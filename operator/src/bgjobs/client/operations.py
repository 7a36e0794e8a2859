"""What is asked of the API server, request by request, and what its answers mean.

Each operation is a generator: it yields a request and is sent the answer, or thrown an
UnreachableError where there is none. So the client for threads, the one for asyncio and inline mode
differ only in who answers.
"""

import json
import math
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bgjobs.client.errors import (
    NameTakenError,
    NoSuchJobError,
    NotFinishedError,
    RefusedError,
    UnreachableError,
)
from bgjobs.client.state import State, state_of
from bgjobs.client.submission import Submission
from bgjobs.kube import refusals

_TRIES = 3
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0
_SHORTEST_TIMEOUT_SECONDS = 1.0
_CHANGE_TRIES = 8
"""One fails when the operator has written something of the job, which it does a few times."""
_AWAY_FOR_SECONDS = 60.0
_WATCH_SECONDS = 45.0
_BUSY = frozenset({429, 503, 504})
_EXPIRED = 410
_FINAL = frozenset({400, 409, 413, 422})

Object = dict[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Target:
    """The one job that is meant."""

    name: str
    namespace: str | None = None
    """None: that of the client."""
    uid: str | None = None
    """None: of whichever job has that name."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """About the BackgroundJobs of a namespace, or the one of a name."""

    method: str
    namespace: str | None
    name: str | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    body: Object | None = None
    after_seconds: float = 0.0
    """To be sent so much later."""
    within_seconds: float | None = None
    """How long to wait for the answer at the most, where that is less than usual."""
    watch_seconds: float | None = None
    """How long a watch may be silent, of which the first line is the answer; None: it is none."""


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    retry_after: str | None = None


Operation = Generator[Request, Answer, Result]


def create(submission: Submission) -> Operation[Object]:
    """The job as it is, created by this or by an earlier call alike.

    Raises NameTakenError where another job has its name.
    """
    body, namespace = submission.manifest, submission.namespace
    for _ in range(_TRIES):
        try:
            return (yield from _asked(Request(method="POST", namespace=namespace, body=body)))
        except RefusedError as refused:
            if refused.status != 409:
                raise
        try:
            there = yield from get(Target(name=submission.name, namespace=namespace))
        except NoSuchJobError:
            continue
        _require_same(there, submission)
        return there
    raise UnreachableError(f"{submission.name} comes and goes: somebody deletes it. Try again.")


def _require_same(there: Object, submission: Submission) -> None:
    wanted, found = submission.manifest["spec"], there["spec"]
    differing = [each for each in ("class", "method", "parameters") if wanted[each] != found[each]]
    if differing:
        raise NameTakenError(
            409,
            f"The BackgroundJob {submission.name} exists already, and its"
            f" {' and '.join(differing)} differ: give this one another key or name.",
            is_final=True,
        )


def get(target: Target) -> Operation[Object]:
    """Raises NoSuchJobError, also where another job than that of the uid has the name by now."""
    request = Request(method="GET", namespace=target.namespace, name=target.name)
    try:
        job = yield from _asked(request)
    except RefusedError as refused:
        if refused.status != 404:
            raise
        raise NoSuchJobError(
            f"There is no BackgroundJob {target.name}: not yet, or no longer ({refused})."
        ) from None
    _require_meant(job, target)
    return job


def _require_meant(job: Object, target: Target) -> None:
    if target.uid not in (None, job["metadata"]["uid"]):
        raise NoSuchJobError(
            f"The BackgroundJob {target.name} is gone, and another one has its name."
        )


def wait(
    target: Target, timeout_seconds: float | None, now: Callable[[], float]
) -> Operation[State]:
    """The state once the job has finished.

    Goes on when a watch breaks, and while the API server is away for a minute. Raises
    NotFinishedError, NoSuchJobError, UnreachableError.
    """
    deadline = math.inf if timeout_seconds is None else now() + timeout_seconds
    answered, pause = now(), 0.0
    job: Object | None = None
    while True:
        try:
            if job is None:
                left = max(deadline - now(), _SHORTEST_TIMEOUT_SECONDS)
                job, version = yield from _listed(target, pause, left)
                target = replace(target, uid=job["metadata"]["uid"])
            answered, pause = now(), _FIRST_PAUSE_SECONDS
            if (state := state_of(job)).is_finished:
                return state
            if (left := deadline - now()) <= 0:
                raise NotFinishedError(f"{target.name} is still {state.phase}: {state.message}")
            job = yield from _change(target, version, min(left, _WATCH_SECONDS))
            if job is not None:
                version = job["metadata"]["resourceVersion"]
        except UnreachableError as error:
            job, pause = None, min(2 * pause + _FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS)
            if now() >= deadline:
                raise NotFinishedError(f"{target.name} cannot be seen just now: {error}") from error
            if now() - answered > _AWAY_FOR_SECONDS:
                raise


def _listed(
    target: Target, after_seconds: float, within_seconds: float
) -> Operation[tuple[Object, str]]:
    """The job, and the version to watch it from.

    That is the list's: the API server may no longer have what came after the job's own.
    """
    request = Request(
        method="GET",
        namespace=target.namespace,
        query=_only(target),
        after_seconds=after_seconds,
        within_seconds=within_seconds,
    )
    found = yield from _asked(request, tries=1)
    if not found["items"]:
        raise NoSuchJobError(f"There is no BackgroundJob {target.name}: not yet, or no longer.")
    (job,) = found["items"]
    _require_meant(job, target)
    return job, found["metadata"]["resourceVersion"]


def _only(target: Target) -> dict[str, str]:
    return {"fieldSelector": f"metadata.name={target.name}"}


def _change(target: Target, version: str, within_seconds: float) -> Operation[Object | None]:
    """The job once it has changed after that version; None where that is to be looked up."""
    answer = yield Request(
        method="GET",
        namespace=target.namespace,
        query={
            **_only(target),
            "watch": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(math.ceil(within_seconds)),
        },
        watch_seconds=within_seconds,
    )
    if answer.status in _BUSY or answer.status == _EXPIRED or not answer.body:
        return None
    if answer.status != 200:
        raise _refusal(answer)
    event = _json(answer)
    changed: Object = event["object"]
    # A job that is deleted when it has finished shows its last state.
    is_state = event["type"] == "MODIFIED" or (
        event["type"] == "DELETED" and state_of(changed).is_finished
    )
    return changed if is_state else None


def cancel(target: Target, reason: str) -> Operation[Object]:
    """Asks the job to stop. Raises RefusedError where it has finished."""

    def changes(spec: Object) -> Object | None:
        wanted = {"cancelled": True, **({"cancelReason": reason} if reason else {})}
        return None if spec.get("cancelled") else wanted

    return (yield from _changed(target, changes))


def start(target: Target) -> Operation[Object]:
    """Raises RefusedError where the job does not wait."""
    return (yield from _requested(target, "startRequests"))


def retry(target: Target) -> Operation[Object]:
    """Raises RefusedError where the job has not finished, or has succeeded."""
    return (yield from _requested(target, "retryRequests", cancelled=False))


def _requested(target: Target, counter: str, **also: object) -> Operation[Object]:
    """Raises the counter of requests by one, once, even if an answer was lost on the way."""
    wanted = None

    def changes(spec: Object) -> Object | None:
        nonlocal wanted
        requests = spec.get(counter, 0)
        wanted = requests + 1 if wanted is None else wanted
        return None if requests >= wanted else {counter: wanted, **also}

    return (yield from _changed(target, changes))


def _changed(target: Target, changes: Callable[[Object], Object | None]) -> Operation[Object]:
    """The job with the changes that are left to make of its spec; None: they are made."""
    for _ in range(_CHANGE_TRIES):
        job = yield from get(target)
        metadata = job["metadata"]
        target = replace(target, uid=metadata["uid"])
        spec = changes(job["spec"])
        if spec is None:
            return job
        seen = {"uid": target.uid, "resourceVersion": metadata["resourceVersion"]}
        request = Request(
            method="PATCH",
            namespace=target.namespace,
            name=target.name,
            body={"metadata": seen, "spec": spec},
        )
        try:
            return (yield from _asked(request))
        except RefusedError as refused:
            if refused.status != 409:
                raise
    raise UnreachableError(f"{target.name} changes faster than it can be changed. Try again.")


def _asked(request: Request, tries: int = _TRIES) -> Operation[Object]:
    """The object in the answer, asked for again while there is none. For what is safe to repeat."""
    pause = _FIRST_PAUSE_SECONDS
    while True:
        try:
            answer = yield request
            if answer.status not in _BUSY:
                break
            pause = max(pause, _retry_after_seconds(answer))
            raise UnreachableError(f"The API server is too busy: {_refusal(answer)}")
        except UnreachableError:
            tries -= 1
            if not tries:
                raise
        request = replace(request, after_seconds=min(pause, _LONGEST_PAUSE_SECONDS))
        pause *= 2
    if answer.status >= 300:
        raise _refusal(answer)
    return _json(answer)


def _retry_after_seconds(answer: Answer) -> float:
    text = answer.retry_after or ""
    return float(text) if text.isascii() and text.isdigit() else 0.0


def _refusal(answer: Answer) -> RefusedError:
    status = refusals.status_object(answer.body)
    causes = refusals.causes(status)
    said = (status or {}).get("message") or answer.body.decode(errors="replace")[:200]
    if answer.status == 404 and status is None:
        said = "this cluster has no BackgroundJobs: install bgjobs first"
    # Rights, quotas and namespaces come without a change of the job; what a policy denies does not.
    is_denied = bool(causes) and not refusals.is_of_ending_namespace(status)
    is_final = answer.status in _FINAL or (answer.status == 403 and is_denied)
    message = "; ".join(causes) or " ".join(str(said).split()) or f"HTTP {answer.status}"
    return RefusedError(answer.status, message, is_final=is_final)


def _json(answer: Answer) -> Object:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise UnreachableError(f"What answers is no API server: {error}") from None
    if not isinstance(found, dict):
        raise UnreachableError("What answers is no API server: its answer is no object")
    return found


def run(operation: Operation[Result], answer: Callable[[Request], Answer]) -> Result:
    """The result of the operation, whose requests are answered so, or raise UnreachableError."""
    try:
        request = next(operation)
        while True:
            try:
                answered = answer(request)
            except UnreachableError as error:
                request = operation.throw(error)
            else:
                request = operation.send(answered)
    except StopIteration as end:
        result: Result = end.value
        return result
