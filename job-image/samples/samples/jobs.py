"""Small jobs for documentation, tests and trying things out."""

import os
import time

from bgjobs_runner import Context, RetryLater, job


@job
class Echo:
    """Returns its parameters."""

    def handle(self, **parameters: object) -> dict[str, object]:
        return parameters


@job
class Sleep:
    """Cleans up, so to speak, also when it is told to end."""

    def handle(self, seconds: float) -> None:
        print("asleep", flush=True)
        try:
            time.sleep(seconds)
        finally:
            print("awake")


@job
class Nap:
    """As Sleep, but the local cluster runs one at a time."""

    def handle(self, seconds: float) -> None:
        time.sleep(seconds)


@job
class Fail:
    """The first `times` attempts of a run fail, the next one succeeds."""

    def handle(self, times: int, context: Context) -> dict[str, int]:
        print(f"attempt {context.attempt}")
        if context.attempt <= times:
            raise RuntimeError(f"attempt {context.attempt} of {times} that fail")
        return {"succeededAtAttempt": context.attempt}


@job
class Exit:
    """Ends the process at once, past the runner."""

    def handle(self, code: int) -> None:
        os._exit(code)


@job
class Output:
    """Prints and returns so many bytes."""

    def handle(self, bytes: int) -> str:
        text = "x" * bytes
        print(text)
        return text


@job
class Crash:
    """Reads through a null pointer."""

    def handle(self) -> None:
        # Imported here: it would lengthen the start of every other sample.
        import ctypes

        ctypes.string_at(0)


@job
class Memory:
    """Takes and touches so much memory."""

    def handle(self, mebibytes: int) -> int:
        return len(bytearray(mebibytes << 20)) >> 20


@job
class Later:
    """The first `times` attempts ask to run again after some seconds, the next one succeeds."""

    def handle(self, seconds: float, times: int, context: Context) -> dict[str, int]:
        if context.attempt <= times:
            raise RetryLater(seconds, f"attempt {context.attempt} of {times} that wait")
        return {"succeededAtAttempt": context.attempt}
