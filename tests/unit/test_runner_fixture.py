"""The pytest fixture that the runner brings to job authors."""

import signal
import threading
import time

import pytest

from bgjobs_runner import BadParameters, Cancelled, Context, PermanentFailure, Refused, job
from bgjobs_runner.pytest_plugin import JobRunner


@job
class Jobs:
    def handle(self, numbers: list[int], context: Context) -> dict[str, object]:
        return {"numbers": tuple(numbers), "attempt": context.attempt}

    def fails(self) -> None:
        raise LookupError("nothing there")

    def returns_a_set(self) -> set[int]:
        return {1}

    def sleeps(self) -> None:
        time.sleep(60)  # until the test cancels it


class Plain:
    def handle(self) -> None: ...


def test_the_result_is_what_would_be_recorded(bgjob: JobRunner) -> None:
    assert bgjob.run(Jobs, {"numbers": (1, 2)}, attempt=3) == {"numbers": [1, 2], "attempt": 3}


@pytest.mark.parametrize(
    ("cls", "method", "error"),
    [
        (Jobs, "fails", LookupError),
        (Jobs, "returns_a_set", PermanentFailure),
        (Jobs, "handle", BadParameters),
        (Jobs, "absent", Refused),
        (Plain, "handle", Refused),
    ],
)
def test_what_ends_the_job_is_raised(
    bgjob: JobRunner, cls: type, method: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        bgjob.run(cls, method=method)


def test_cancel_from_another_thread_interrupts_the_job(bgjob: JobRunner) -> None:
    timer = threading.Timer(0.05, bgjob.cancel)
    timer.start()
    with pytest.raises(Cancelled):
        bgjob.run(Jobs, method="sleeps")
    timer.join()


def test_cancel_without_a_job_says_so_instead_of_ending_pytest(bgjob: JobRunner) -> None:
    with pytest.raises(RuntimeError, match="no job runs"):
        bgjob.cancel()


def test_the_tests_own_handling_of_sigterm_is_restored(bgjob: JobRunner) -> None:
    before = signal.getsignal(signal.SIGTERM)
    bgjob.run(Jobs, {"numbers": []})
    assert signal.getsignal(signal.SIGTERM) is before
