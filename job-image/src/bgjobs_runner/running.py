"""One attempt of a job, from its names to its exit code and termination message."""

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from types import CoroutineType, FrameType

from bgjobs_runner import (
    BadParameters,
    Cancelled,
    Context,
    PermanentFailure,
    Refused,
    RetryLater,
)
from bgjobs_runner.loading import load
from bgjobs_runner.parameters import bind, parse_parameters
from bgjobs_runner.termination import describe, recordable, resources, trace_of_job

DONE = 0
FAILED = 1
_EXIT_CODES: list[tuple[type[BaseException], int]] = [
    (Refused, 64),
    (BadParameters, 65),
    (PermanentFailure, 66),
    (RetryLater, 75),
    (Cancelled, 128 + signal.SIGTERM),
]

_STOPPED = "stopped by SIGTERM"


@dataclass(frozen=True)
class Attempt:
    class_path: str
    method: str
    parameters: bytes
    context: Context


@dataclass(frozen=True)
class Outcome:
    exit_code: int
    message: dict[str, object]


def perform(attempt: Attempt) -> Outcome:
    """Run the attempt. However it ends, there is an outcome, unless it ends the process.

    A fork in which the method returns or raises has none, and ends as that of any program does.
    """
    process = os.getpid()
    try:
        with sigterm_cancels():
            cls = load(attempt.class_path, attempt.method)
            result = call(cls, attempt.method, attempt.parameters, attempt.context)
    except BaseException as error:
        if os.getpid() != process:
            raise
        return failure(error, package=attempt.class_path.partition(".")[0])
    if os.getpid() != process:
        sys.exit(DONE)
    return Outcome(DONE, {"result": result, "resources": resources()})


def failure(error: BaseException, package: str) -> Outcome:
    """The outcome of an exception; prints its traceback."""
    _print(error)
    code = next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), FAILED)
    message: dict[str, object] = {"error": describe(error, package)}
    if isinstance(error, RetryLater):
        message["retryAfterSeconds"] = error.seconds
    return Outcome(code, {**message, "resources": resources()})


@contextlib.contextmanager
def sigterm_cancels() -> Iterator[None]:
    """SIGTERM raises Cancelled in here, once. From then on it does nothing."""
    signal.signal(signal.SIGTERM, _cancel)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, _ignore)


def call(cls: type, method: str, parameters: bytes, context: Context) -> object:
    """Call the method of a new instance and return its result as it is recorded."""
    function = getattr(cls(), method)
    arguments = bind(function, parse_parameters(parameters), context)
    result = function(**arguments)
    if isinstance(result, CoroutineType):
        result = _run_coroutine(result)
    return recordable(result)


def _run_coroutine(coroutine: Coroutine[object, object, object]) -> object:
    # Few jobs need asyncio, and importing it takes long.
    import asyncio

    # Not asyncio.Runner: it would wait for the threads that the job has left.
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        task = loop.create_task(coroutine)

        def cancel_task(_signal: int, _frame: FrameType | None) -> None:
            signal.signal(signal.SIGTERM, _ignore)
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)

        # An exception raised by a signal handler could end in the event loop instead of the job.
        signal.signal(signal.SIGTERM, cancel_task)
        try:
            return loop.run_until_complete(task)
        except asyncio.CancelledError as error:
            if task.cancelling():
                raise Cancelled(_STOPPED).with_traceback(error.__traceback__) from None
            raise
        finally:
            if left := asyncio.all_tasks(loop):
                for each in left:
                    each.cancel()
                loop.run_until_complete(asyncio.wait(left))
            loop.run_until_complete(loop.shutdown_asyncgens())


def _cancel(_signal: int, _frame: FrameType | None) -> None:
    # Only the first one: a second would interrupt the clean-up.
    signal.signal(signal.SIGTERM, _ignore)
    raise Cancelled(_STOPPED)


def _ignore(_signal: int, _frame: FrameType | None) -> None:
    """Unlike SIG_IGN it is not inherited by the programs that a job starts."""


def _let_sigterm_end_forks() -> None:
    """A handler of ours is for this process; one that the job has set stays in its forks."""
    if getattr(signal.getsignal(signal.SIGTERM), "__module__", None) == __name__:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


# Else multiprocessing could not terminate what it forks, and would wait for it.
os.register_at_fork(after_in_child=_let_sigterm_end_forks)


def _print(error: BaseException) -> None:
    # A job's exception may break even its own printing.
    with contextlib.suppress(Exception):
        traceback.print_exception(type(error), error, trace_of_job(error), file=sys.stderr)
