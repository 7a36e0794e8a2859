"""How an attempt ended: from its pod where there is one, else from its child Job.

The exit codes and the termination message are the runner's contract
(job-image/CONTRACT.md).
"""

import re
import signal
from typing import Annotated, Any

import msgspec

from bgjobs.domain.observation import ChildJob, Pod, PodPhase
from bgjobs.domain.quantity import whole_bytes
from bgjobs.domain.resource import (
    MAX_ERROR_NAME_CHARACTERS,
    MAX_QUOTED_CHARACTERS,
    AttemptError,
    AttemptOutcome,
    Reason,
    Resources,
    cut,
)

_EXIT_DEFERRED = 75
_EXIT_REASONS = {64: Reason.NOT_IN_IMAGE, 65: Reason.BAD_PARAMETERS}
_EXITS_THAT_END_RETRYING = frozenset(range(64, 79)) - {_EXIT_DEFERRED}
_EXIT_CODE_IN_CONDITION = re.compile(r"exit code (\d+)")
_MAX_DEFERRAL_SECONDS = 365 * 24 * 3600
_MAX_RESULT_DEPTH = 64


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How an attempt ended and what it left."""

    outcome: AttemptOutcome
    reason: Reason
    message: str
    exit_code: int | None = None
    result: Any = None
    resources: Resources | None = None
    error: AttemptError | None = None
    retry_after_seconds: float | None = None
    final: bool = False
    """Whether it makes no sense to try again."""


class _Frame(msgspec.Struct, frozen=True):
    module: str
    function: str
    line: Annotated[int, msgspec.Meta(ge=0, lt=2**31)]


def ending(child: ChildJob, pod: Pod | None) -> Ending | None:
    """How the attempt ended, or None while it has not."""
    if pod is not None and pod.ended:
        return _pod_ending(pod)
    if child.failed_message is not None:
        return _condition_ending(child.failed_message)
    if child.succeeded:
        return Ending(
            outcome=AttemptOutcome.SUCCEEDED,
            reason=Reason.SUCCEEDED,
            message="succeeded; its pod was gone before its result could be read",
        )
    return None


def _pod_ending(pod: Pod) -> Ending:
    said = _read_termination_message(pod.termination_message)
    resources = _resources(said.get("resources"), pod.memory_limit)
    if pod.phase is PodPhase.SUCCEEDED:
        return Ending(
            outcome=AttemptOutcome.SUCCEEDED,
            reason=Reason.SUCCEEDED,
            message="succeeded",
            exit_code=0,
            result=_result(said.get("result"), len(pod.termination_message.encode())),
            resources=resources,
        )
    if pod.disruption is not None:
        return _disrupted(pod.disruption)
    if pod.overran:
        return Ending(
            outcome=AttemptOutcome.FAILED,
            reason=Reason.DEADLINE_EXCEEDED,
            message="ran into its deadline (activeDeadlineSeconds)",
            exit_code=pod.exit_code,
            resources=resources,
        )
    if pod.terminated_reason == "OOMKilled":
        return Ending(
            outcome=AttemptOutcome.FAILED,
            reason=Reason.OOM_KILLED,
            message=_out_of_memory(pod.memory_limit),
            exit_code=pod.exit_code,
            resources=resources,
        )
    text = _error_text(said) or pod.reason or pod.terminated_reason or ""
    end = _exit_ending(pod.exit_code, text, said.get("retryAfterSeconds"), resources)
    return msgspec.structs.replace(end, error=_error(said.get("error")))


def _condition_ending(condition: str) -> Ending:
    """From the message that the Job controller put into the Failed condition."""
    if "DisruptionTarget" in condition:
        return _disrupted(condition)
    match = _EXIT_CODE_IN_CONDITION.search(condition)
    return _exit_ending(int(match[1]) if match else None, "" if match else condition, None, None)


def _out_of_memory(limit: str | None) -> str:
    text = "was killed for using more memory than its limit" + (f" of {limit}" if limit else "")
    return f"{text} (resources.limits.memory of its runtime)"


def _disrupted(why: str) -> Ending:
    return Ending(
        outcome=AttemptOutcome.DISRUPTED,
        reason=Reason.DISRUPTED,
        message=_cut(f"was disrupted: {why}"),
    )


def _exit_ending(
    exit_code: int | None, error: str, retry_after: Any, resources: Resources | None
) -> Ending:
    if exit_code == _EXIT_DEFERRED:
        return Ending(
            outcome=AttemptOutcome.DEFERRED,
            reason=Reason.BACKING_OFF,
            message=_cut(f"asked to be run again later. {error}".rstrip(". ")),
            exit_code=exit_code,
            resources=resources,
            retry_after_seconds=_deferral_seconds(retry_after),
        )
    final = exit_code in _EXITS_THAT_END_RETRYING
    where = _exit_code_in_words(exit_code)
    return Ending(
        outcome=AttemptOutcome.FAILED,
        reason=_EXIT_REASONS.get(exit_code or 0)
        or (Reason.PERMANENT_FAILURE if final else Reason.ERROR),
        message=_cut(f"failed with {where}: {error}" if error else f"failed with {where}"),
        exit_code=exit_code,
        resources=resources,
        final=final,
    )


def _exit_code_in_words(code: int | None) -> str:
    """Shells and container runtimes report the end by signal n as exit code 128 + n."""
    if code is None:
        return "no exit code"
    try:
        return f"exit code {code} ({signal.Signals(code - 128).name})"
    except ValueError:
        return f"exit code {code}"


def _read_termination_message(text: str) -> dict[str, Any]:
    """The runner's JSON; empty where the program ended without it."""
    try:
        said = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _error_text(said: dict[str, Any]) -> str:
    error = said.get("error")
    if not isinstance(error, dict):
        return ""
    texts = (error.get("type"), error.get("message"))
    return ": ".join(text for text in texts if text and isinstance(text, str))


def _deferral_seconds(said: Any) -> float | None:
    if not isinstance(said, int | float):
        return None
    return min(max(said, 0), _MAX_DEFERRAL_SECONDS)


def _result(value: Any, size: int) -> Any:
    """The method's return value, if the API server can keep it as it is."""
    return value if _can_be_kept(value, _MAX_RESULT_DEPTH) else {"truncated": True, "bytes": size}


def _can_be_kept(value: Any, levels: int) -> bool:
    match value:
        case bool():
            return True
        case int():
            return -(2**63) <= value < 2**63
        case list():
            return levels > 0 and all(_can_be_kept(each, levels - 1) for each in value)
        case dict():
            return levels > 0 and all(_can_be_kept(each, levels - 1) for each in value.values())
    return True


def _resources(said: Any, memory_limit: str | None) -> Resources | None:
    limit = (whole_bytes(memory_limit) or None) if memory_limit else None
    try:
        used = msgspec.convert(said, Resources)
    except msgspec.ValidationError:
        return None if limit is None else Resources(memory_limit_bytes=limit)
    return msgspec.structs.replace(used, memory_limit_bytes=limit)


def _error(said: Any) -> AttemptError | None:
    """The exception's type and place; what is not as the contract says is left out."""
    if not isinstance(said, dict) or not isinstance(said.get("type"), str) or not said["type"]:
        return None
    type_, frame = cut(said["type"], MAX_ERROR_NAME_CHARACTERS), said.get("frame")
    try:
        place = msgspec.convert(frame, _Frame)
    except msgspec.ValidationError:
        return AttemptError(type=type_)
    return AttemptError(
        type=type_,
        module=cut(place.module, MAX_ERROR_NAME_CHARACTERS),
        function=cut(place.function, MAX_ERROR_NAME_CHARACTERS),
        line=place.line,
    )


def _cut(text: str) -> str:
    return cut(text, MAX_QUOTED_CHARACTERS)
