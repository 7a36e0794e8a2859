"""How an attempt ends, by what its method does."""

import asyncio
import os
import signal
from collections.abc import Iterator

import pytest

from bgjobs_runner import BadParameters, Cancelled, Context, PermanentFailure, RetryLater, job
from bgjobs_runner.running import Attempt, Outcome, perform

CONTEXT = Context("stock-7", "shop", "uid", 1, 2, "uid-1")


@pytest.fixture(autouse=True)
def _own_sigterm() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def cancel() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


cleaned_up: list[str] = []


@job
class Jobs:
    def returns(self) -> int:
        return 7

    async def returns_later(self) -> int:
        await asyncio.sleep(0)
        return 7

    def fails(self) -> None:
        raise LookupError("nothing there")

    async def fails_later(self) -> None:
        await asyncio.sleep(0)
        raise LookupError("nothing there")

    def exits(self) -> None:
        raise SystemExit(66)

    def exits_with_success(self) -> None:
        raise SystemExit(0)

    def is_interrupted(self) -> None:
        raise KeyboardInterrupt

    def raises_outside_exception(self) -> None:
        raise BaseException("odd")

    def gives_up(self) -> None:
        raise PermanentFailure("never")

    def refuses_its_parameters(self) -> None:
        raise BadParameters("no such warehouse")

    def waits(self) -> None:
        raise RetryLater(1.2)

    def returns_a_set(self) -> set[int]:
        return {1}

    def needs(self, warehouse: int) -> int:
        return warehouse

    def is_cancelled(self) -> None:
        try:
            cancel()
        finally:
            cancel()
            cleaned_up.append("sync")

    async def is_cancelled_later(self) -> None:
        try:
            cancel()
            await asyncio.Event().wait()
        finally:
            cancel()
            await asyncio.sleep(0)
            cleaned_up.append("async")

    def survives_except_exception(self) -> None:
        try:
            cancel()
        except Exception:
            return

    def ends_well_when_cancelled(self) -> str:
        try:
            cancel()
        except Cancelled:
            return "half of it"
        return "all of it"

    def asks_for_later_when_cancelled(self) -> None:
        try:
            cancel()
        except Cancelled:
            raise RetryLater(0) from None

    async def awaits_something_cancelled(self) -> None:
        nothing = asyncio.get_running_loop().create_future()
        nothing.cancel()
        await nothing


def run(method: str) -> Outcome:
    return perform(Attempt(f"{__name__}.Jobs", method, b"{}", CONTEXT))


@pytest.mark.parametrize(
    ("method", "exit_code"),
    [
        ("returns", 0),
        ("returns_later", 0),
        ("fails", 1),
        ("fails_later", 1),
        ("exits", 1),
        ("exits_with_success", 1),
        ("is_interrupted", 1),
        ("raises_outside_exception", 1),
        ("absent", 64),
        ("needs", 65),
        ("refuses_its_parameters", 65),
        ("gives_up", 66),
        ("returns_a_set", 66),
        ("waits", 75),
        ("is_cancelled", 143),
        ("is_cancelled_later", 143),
        ("survives_except_exception", 143),
        ("ends_well_when_cancelled", 0),
        ("asks_for_later_when_cancelled", 75),
        ("awaits_something_cancelled", 1),
    ],
)
def test_exit_code(method: str, exit_code: int) -> None:
    assert run(method).exit_code == exit_code


@pytest.mark.parametrize("method", ["returns", "returns_later"])
def test_success_carries_the_result(method: str) -> None:
    assert run(method).message["result"] == 7


@pytest.mark.parametrize("method", ["fails", "fails_later"])
def test_failure_names_the_jobs_own_frame(method: str) -> None:
    error = run(method).message["error"]
    assert isinstance(error, dict)
    assert error["frame"]["function"] == f"Jobs.{method}"


def test_retry_later_rounds_its_seconds_up() -> None:
    assert run("waits").message["retryAfterSeconds"] == 2


@pytest.mark.parametrize(
    ("method", "kind"), [("is_cancelled", "sync"), ("is_cancelled_later", "async")]
)
def test_clean_up_runs_to_its_end_though_it_is_cancelled_again(method: str, kind: str) -> None:
    cleaned_up.clear()
    run(method)
    assert cleaned_up == [kind]


def test_sigterm_after_the_end_does_nothing() -> None:
    run("returns")
    cancel()


def test_the_traceback_goes_to_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    run("fails")
    printed = capsys.readouterr().err
    assert printed.startswith("Traceback")
    assert printed.endswith("LookupError: nothing there\n")


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 10**400, 365 * 86400 + 1])
def test_retry_later_refuses_seconds_that_make_no_sense(seconds: float) -> None:
    with pytest.raises(ValueError, match="RetryLater takes 0 to 31536000 seconds"):
        RetryLater(seconds)
