"""The termination message is whole JSON of at most 4,096 bytes, whatever the job does."""

import datetime
import json
import math
from types import FunctionType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bgjobs_runner import PermanentFailure, RetryLater
from bgjobs_runner.running import failure
from bgjobs_runner.termination import encode, recordable, resources

# Also lone surrogates, which text() leaves out unless it is told.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))


def failed(error: BaseException, package: str = "tests") -> dict[str, Any]:
    """The message as it is read: decoded, within its limit."""
    encoded = encode(failure(error, package).message)
    assert len(encoded) <= 4096
    message: dict[str, Any] = json.loads(encoded.decode())
    return message


@given(message=ANY_TEXT, module=ANY_TEXT, times=st.integers(1, 5000))
@settings(max_examples=300, deadline=None)
def test_a_failure_fits_whatever_its_texts(message: str, module: str, times: int) -> None:
    kind = type("E", (Exception,), {"__module__": module * times})
    failed(kind(message * times))


@pytest.mark.parametrize("character", ["\0", '"', "x", "é", "😀", "\ud800", "\n", "\\"])
def test_the_largest_failure_fits_and_uses_the_room(character: str) -> None:
    long = character * 10_000
    kind = type("E", (RetryLater,), {"__module__": long})
    scope = {"__name__": f"shop.{long}", "error": kind(365 * 24 * 3600, long)}
    code = compile("def handle():\n  raise error", "jobs.py", "exec").co_consts[0]
    handle = FunctionType(code.replace(co_name=long, co_qualname=long), scope)
    with pytest.raises(RetryLater) as caught:
        handle()
    message = failed(caught.value, package="shop")
    texts = [*message["error"].values(), *message["error"]["frame"].values()]
    assert sum(len(encode(text)) for text in texts if isinstance(text, str)) > 3700


def test_a_failure_names_type_message_traceback_and_frame() -> None:
    with pytest.raises(ValueError, match="invalid literal") as caught:
        int("seven")
    message = failed(caught.value)
    line = caught.tb.tb_lineno
    caller = "test_a_failure_names_type_message_traceback_and_frame"
    assert message["error"] == {
        "type": "ValueError",
        "message": "invalid literal for int() with base 10: 'seven'",
        "traceback": f'  File "{__file__}", line {line}, in {caller}\n    int("seven")\n',
        "frame": {"module": __name__, "function": caller, "line": line},
    }


def test_the_frame_is_the_innermost_of_the_jobs_own_package() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    assert failed(caught.value)["error"]["frame"]["function"] == (
        "test_the_frame_is_the_innermost_of_the_jobs_own_package"
    )


def test_a_failure_outside_the_jobs_package_has_no_frame() -> None:
    with pytest.raises(ValueError, match="Expecting") as caught:
        json.loads("{")
    assert failed(caught.value, package="shop")["error"]["frame"] is None


def test_an_impossible_file_name_costs_only_the_traceback() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        exec(compile("1 / 0", "", "exec").replace(co_filename="a\0b"))
    error = failed(caught.value)["error"]
    assert (error["type"], error["traceback"]) == ("ZeroDivisionError", "")


def test_a_long_traceback_keeps_its_end() -> None:
    def deeper(levels: int) -> None:
        if levels:
            shallower(levels - 1)
        raise LookupError

    def shallower(levels: int) -> None:
        deeper(levels)

    with pytest.raises(LookupError) as caught:
        deeper(100)
    traceback = failed(caught.value)["error"]["traceback"]
    assert traceback.startswith("…")
    assert traceback.endswith("    raise LookupError\n")


class UnprintableError(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        pytest.param(ValueError(), "", id="no message"),
        pytest.param(ValueError("a\0b"), "a\0b", id="NUL"),
        pytest.param(ValueError("a\ud800b"), "a\ufffdb", id="lone surrogate"),
        pytest.param(
            UnprintableError(), "<its str() failed with SystemExit>", id="str() that raises"
        ),
        pytest.param(SystemExit(66), "the job called sys.exit(66): return from", id="sys.exit"),
        pytest.param(KeyboardInterrupt(), "", id="interrupt"),
    ],
)
def test_every_exception_has_a_message(error: BaseException, message: str) -> None:
    told = failed(error)["error"]["message"]
    assert told == message if not message else told.startswith(message)


@pytest.mark.parametrize(
    ("result", "recorded"),
    [
        pytest.param(None, None, id="nothing"),
        pytest.param({"a": [1, 2.5, True, "é😀"]}, {"a": [1, 2.5, True, "é😀"]}, id="plain"),
        pytest.param((1, 2), [1, 2], id="a tuple becomes a list"),
        pytest.param({1: "a"}, {"1": "a"}, id="a number as key becomes text"),
        pytest.param("a\0b", "a\0b", id="NUL"),
        pytest.param("x" * 3070, "x" * 3070, id="the largest"),
        pytest.param("x" * 3071, {"truncated": True, "bytes": 3073}, id="one byte more"),
        pytest.param("é" * 1536, {"truncated": True, "bytes": 3074}, id="bytes, not characters"),
    ],
)
def test_results_are_recorded_as_equal_json(result: object, recorded: object) -> None:
    assert recordable(result) == recorded


LOOP: list[object] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(math.nan, id="NaN"),
        pytest.param([math.inf], id="Infinity"),
        pytest.param({math.nan: 1}, id="NaN as a key"),
        pytest.param(datetime.date(2026, 1, 1), id="a date"),
        pytest.param({1, 2}, id="a set"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({(1, 2): 3}, id="a tuple as key"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(LOOP, id="a loop"),
        pytest.param((n for n in "a"), id="a generator"),
        pytest.param(10**5000, id="a number of 5001 digits"),
    ],
)
def test_results_that_json_cannot_carry_fail_for_good(result: object) -> None:
    with pytest.raises(PermanentFailure, match="Return plain dicts"):
        recordable(result)


def test_resources_are_bytes_and_seconds() -> None:
    before = resources()
    block = bytearray(64 << 20)
    after = resources()
    assert after["peakMemoryBytes"] >= len(block)
    assert after["cpuSeconds"] >= before["cpuSeconds"] > 0
