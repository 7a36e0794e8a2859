"""The termination message: one whole JSON object of at most 4,096 bytes (CONTRACT.md)."""

import json
import math
import resource
import sys
import traceback
from collections.abc import Iterator
from types import TracebackType

from bgjobs_runner import PermanentFailure

MAX_RESULT_BYTES = 3 * 1024

# Bytes of JSON, quotes included. With the keys and numbers around them they stay below 4,096.
_NAME_BYTES = 256
_MESSAGE_BYTES = 1024
_TRACEBACK_BYTES = 2000

# The longest JSON of one character: \u0000.
_LONGEST_ESCAPE_BYTES = 6
_ELLIPSIS = "…"


class ResultNotJson(PermanentFailure):
    """The method's work is done but its result cannot be kept; running it again would not help."""


def encode(value: object) -> bytes:
    """Compact UTF-8 JSON. Raises what json raises, and UnicodeEncodeError on lone surrogates."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def recordable(result: object) -> object:
    """The result as it is recorded: an equal JSON value, or its size if it is too large.

    Raises ResultNotJson.
    """
    try:
        encoded = encode(result)
    except (TypeError, ValueError, RecursionError) as error:
        raise ResultNotJson(
            f"the method returned something that JSON cannot carry: {error}."
            " Return plain dicts, lists, strings, numbers, booleans or None"
        ) from None
    if len(encoded) > MAX_RESULT_BYTES:
        return {"truncated": True, "bytes": len(encoded)}
    value: object = json.loads(encoded)
    return value


def resources() -> dict[str, float]:
    own = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    # Linux counts kibibytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    seconds = own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
    return {
        "peakMemoryBytes": max(own.ru_maxrss, children.ru_maxrss) * unit,
        "cpuSeconds": round(seconds, 3),
    }


def describe(error: BaseException, package: str) -> dict[str, object]:
    """What is told about a failure; package is the top-level package of the job's class."""
    trace = trace_of_job(error)
    return {
        "type": _cut(_type(error), _NAME_BYTES),
        "message": _cut(_text(error), _MESSAGE_BYTES),
        "traceback": _cut(_lines(trace), _TRACEBACK_BYTES, keep_end=True),
        "frame": _own_frame(trace, package),
    }


def _type(error: BaseException) -> str:
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    return f"{module}{kind.__qualname__}"


def _text(error: BaseException) -> str:
    """Its message. Whatever the job's own __str__ does, there is one."""
    try:
        if isinstance(error, SystemExit):
            return (
                f"the job called sys.exit({error.code!r}): return from the method when it is"
                " done, raise an exception when it failed"
            )
        return str(error)
    except BaseException as second:
        return f"<its str() failed with {type(second).__qualname__}>"


def trace_of_job(error: BaseException) -> TracebackType | None:
    """The error's traceback without the runner's frames above the job's."""
    trace = error.__traceback__
    while trace and _module(trace).partition(".")[0] in {"bgjobs_runner", "asyncio", "importlib"}:
        trace = trace.tb_next
    return trace


def _lines(trace: TracebackType | None) -> str:
    try:
        return "".join(traceback.format_tb(trace))
    except Exception:
        # It looks for the source in files, whose names generated code can make impossible.
        return ""


def _own_frame(trace: TracebackType | None, package: str) -> dict[str, object] | None:
    own = [step for step in _steps(trace) if _module(step).partition(".")[0] == package]
    if not own:
        return None
    return {
        "module": _cut(_module(own[-1]), _NAME_BYTES),
        "function": _cut(own[-1].tb_frame.f_code.co_qualname, _NAME_BYTES),
        "line": own[-1].tb_lineno,
    }


def _steps(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace:
        yield trace
        trace = trace.tb_next


def _module(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__", ""))


def _cut(text: str, limit: int, *, keep_end: bool = False) -> str:
    """The text within so many bytes of JSON, an ellipsis where something is missing."""
    kept = _encodable(text[-limit:] if keep_end else text[:limit])
    if len(text) <= limit and len(encode(kept)) <= limit:
        return kept
    room = limit - len(_ELLIPSIS.encode())
    while (excess := len(encode(kept)) - room) > 0:
        surplus = math.ceil(excess / _LONGEST_ESCAPE_BYTES)
        kept = kept[surplus:] if keep_end else kept[:-surplus]
    return _ELLIPSIS + kept if keep_end else kept + _ELLIPSIS


def _encodable(text: str) -> str:
    """Without lone surrogates, which UTF-8 cannot carry."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
