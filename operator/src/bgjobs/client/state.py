"""What a BackgroundJob says of itself."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bgjobs.client.errors import JobFailedError, ResultTooLargeError
from bgjobs.domain.resource import TERMINAL_PHASES, Phase

Object = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class State:
    """How far a job is."""

    phase: Phase
    reason: str
    """Why it is in its phase: one of finitely many words, such as Delayed or OOMKilled."""
    message: str
    """The same in plain words, with what ends it where it waits."""
    is_finished: bool
    """Whether it has ended, and no other run was asked for."""
    run: int
    """From 1; each retry by hand begins another one."""
    attempt: int
    """The attempt of this run that is under way or comes next, from 1; once finished, the last."""
    attempts_at_most: int | None
    """How many this run may take, disruptions apart; None while the operator has not said."""
    next_attempt_time: datetime | None
    start_time: datetime | None
    completion_time: datetime | None
    result: Any
    """What the method returned, once it has succeeded."""


def state_of(job: Object) -> State:
    """Reads what it knows, and nothing else: the operator may be newer than this client."""
    spec, status = job["spec"], job["status"]
    phase, run = Phase(status["phase"]), status.get("run", 1)
    runs_again = not spec.get("cancelled", False) and (
        spec.get("retryRequests", 0) > status.get("observedRetryRequests", 0)
    )
    is_finished = phase in TERMINAL_PHASES and not runs_again
    latest = (status.get("attempts") or [{}])[-1]
    ended = latest.get("attempt", 0) if latest.get("run") == run else 0
    retries = status.get("effectiveRetries")
    return State(
        phase=phase,
        reason=status["reason"],
        message=status.get("message", ""),
        is_finished=is_finished,
        run=run,
        attempt=ended if phase in TERMINAL_PHASES else ended + 1,
        attempts_at_most=None if retries is None else retries + 1,
        next_attempt_time=_time(status.get("nextAttemptTime")),
        start_time=_time(status.get("startTime")),
        completion_time=_time(status.get("completionTime")),
        result=status.get("result"),
    )


def result_of(state: State) -> Any:
    """Of a finished job. Raises JobFailedError and ResultTooLargeError."""
    if state.phase is not Phase.SUCCEEDED:
        raise JobFailedError(state.phase, state.reason, state.message)
    match state.result:
        case {"truncated": True, "bytes": int(size)} if len(state.result) == 2:
            raise ResultTooLargeError(
                f"The result took {size} bytes of JSON, and 3,072 are kept: let the job store it"
                " elsewhere and return where it lies."
            )
    return state.result


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
