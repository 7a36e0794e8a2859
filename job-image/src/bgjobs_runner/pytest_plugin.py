"""The pytest fixture `bgjob`: runs a job in a test as a pod would."""

import json
import os
import signal

import pytest

from bgjobs_runner import Context
from bgjobs_runner.laptop import laptop_context
from bgjobs_runner.loading import require_opt_in
from bgjobs_runner.running import call, sigterm_cancels


class JobRunner:
    def __init__(self) -> None:
        self._runs = False

    def context(self, attempt: int = 1) -> Context:
        """For calling a method directly."""
        return laptop_context("test", attempt)

    def run(
        self,
        cls: type,
        parameters: dict[str, object] | None = None,
        *,
        method: str = "handle",
        attempt: int = 1,
    ) -> object:
        """The result as it would be recorded, through JSON both ways.

        Raises what the method raises, Refused if the class or method may not run, BadParameters,
        and PermanentFailure if JSON cannot carry the result.
        """
        require_opt_in(cls, method)
        before = signal.getsignal(signal.SIGTERM)
        self._runs = True
        try:
            with sigterm_cancels():
                encoded = json.dumps(parameters or {}).encode()
                return call(cls, method, encoded, self.context(attempt))
        finally:
            self._runs = False
            signal.signal(signal.SIGTERM, before)

    def cancel(self) -> None:
        """Cancel the job that runs now; call it from something that the job calls, or a thread."""
        if not self._runs:
            raise RuntimeError("no job runs: call cancel() from within one")
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def bgjob() -> JobRunner:
    return JobRunner()
