"""How an attempt ended, by its exit code, its last words and its conditions."""

import json
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import child_job, failed, running, succeeded

from bgjobs.domain.outcome import Ending, ending
from bgjobs.domain.resource import AttemptError, AttemptOutcome, Reason, Resources

FAILED, DEFERRED = AttemptOutcome.FAILED, AttemptOutcome.DEFERRED
DISRUPTED = AttemptOutcome.DISRUPTED

OUT_OF_STOCK = "shop.jobs.OutOfStock"
ERROR = {"type": OUT_OF_STOCK, "message": "nothing left", "traceback": "", "frame": None}


def said(**message: Any) -> str:
    return json.dumps(message)


def end_of(pod: Any) -> Ending:
    end = ending(child_job(), pod)
    assert end is not None
    return end


@pytest.mark.parametrize(
    ("exit_code", "outcome", "reason", "final"),
    [
        pytest.param(1, FAILED, Reason.ERROR, False, id="1: failed, retried"),
        pytest.param(2, FAILED, Reason.ERROR, False, id="2: the process ended itself"),
        pytest.param(63, FAILED, Reason.ERROR, False, id="63: just below the final ones"),
        pytest.param(64, FAILED, Reason.NOT_IN_IMAGE, True, id="64: not allowed or not found"),
        pytest.param(65, FAILED, Reason.BAD_PARAMETERS, True, id="65: parameters do not fit"),
        pytest.param(66, FAILED, Reason.PERMANENT_FAILURE, True, id="66: permanent failure"),
        pytest.param(74, FAILED, Reason.PERMANENT_FAILURE, True, id="74: ends retrying"),
        pytest.param(75, DEFERRED, Reason.BACKING_OFF, False, id="75: again later"),
        pytest.param(76, FAILED, Reason.PERMANENT_FAILURE, True, id="76: ends retrying"),
        pytest.param(78, FAILED, Reason.PERMANENT_FAILURE, True, id="78: the last that does"),
        pytest.param(79, FAILED, Reason.ERROR, False, id="79: retried"),
        pytest.param(137, FAILED, Reason.ERROR, False, id="137: killed"),
        pytest.param(139, FAILED, Reason.ERROR, False, id="139: segmentation fault"),
        pytest.param(143, FAILED, Reason.ERROR, False, id="143: ended by SIGTERM"),
        pytest.param(255, FAILED, Reason.ERROR, False, id="255: retried"),
        pytest.param(None, FAILED, Reason.ERROR, False, id="no exit code known"),
    ],
)
def test_an_exit_code_means_what_the_contract_says(
    exit_code: int | None, outcome: AttemptOutcome, reason: Reason, final: bool
) -> None:
    end = end_of(failed(exit_code=exit_code))
    assert (end.outcome, end.reason, end.final) == (outcome, reason, final)


def test_a_success_brings_its_result_and_resources() -> None:
    message = said(result={"a": 1}, resources={"peakMemoryBytes": 18, "cpuSeconds": 0.5})
    assert end_of(succeeded(message=message)) == Ending(
        outcome=AttemptOutcome.SUCCEEDED,
        reason=Reason.SUCCEEDED,
        message="succeeded",
        exit_code=0,
        result={"a": 1},
        resources=Resources(peak_memory_bytes=18, cpu_seconds=0.5),
    )


@pytest.mark.parametrize(
    ("message", "text"),
    [
        pytest.param(
            said(error=ERROR),
            "failed with exit code 1: shop.jobs.OutOfStock: nothing left",
            id="type and message",
        ),
        pytest.param(
            said(error={**ERROR, "message": ""}),
            "failed with exit code 1: shop.jobs.OutOfStock",
            id="an exception without a message",
        ),
        pytest.param("", "failed with exit code 1", id="no message: only the code counts"),
    ],
)
def test_a_failure_says_what_the_job_said(message: str, text: str) -> None:
    assert end_of(failed(termination_message=message)).message == text


@pytest.mark.parametrize(
    ("error", "want"),
    [
        pytest.param(
            {**ERROR, "frame": {"module": "shop.jobs", "function": "handle", "line": 61}},
            AttemptError(type=OUT_OF_STOCK, module="shop.jobs", function="handle", line=61),
            id="with the job's own frame",
        ),
        pytest.param(ERROR, AttemptError(type=OUT_OF_STOCK), id="without a frame of its own"),
        pytest.param(
            {**ERROR, "type": "x" * 300}, AttemptError(type="x" * 255 + "…"), id="too long: cut"
        ),
        pytest.param(
            {**ERROR, "frame": {"module": 1, "function": [], "line": -1}},
            AttemptError(type=OUT_OF_STOCK),
            id="a frame that is none",
        ),
        pytest.param({"type": 7}, None, id="no type"),
        pytest.param("text", None, id="no object"),
    ],
)
def test_a_failure_says_where_in_the_jobs_code(error: Any, want: AttemptError | None) -> None:
    assert end_of(failed(termination_message=said(error=error))).error == want


@pytest.mark.parametrize(
    ("said_of_it", "want"),
    [
        pytest.param(
            {"peakMemoryBytes": 18},
            Resources(peak_memory_bytes=18, memory_limit_bytes=268_435_456),
            id="beside what was used",
        ),
        pytest.param(None, Resources(memory_limit_bytes=268_435_456), id="alone"),
    ],
)
def test_the_memory_limit_is_told(said_of_it: Any, want: Resources) -> None:
    pod = failed(termination_message=said(resources=said_of_it), memory_limit="256Mi")
    assert end_of(pod).resources == want


@pytest.mark.parametrize("limit", ["0", "500m"])
def test_a_memory_limit_below_a_byte_is_none(limit: str) -> None:
    pod = failed(termination_message=said(resources={"peakMemoryBytes": 18}), memory_limit=limit)
    assert end_of(pod).resources == Resources(peak_memory_bytes=18)


@pytest.mark.parametrize(
    ("retry_after", "want"),
    [
        pytest.param(0, 0, id="at once"),
        pytest.param(90, 90, id="after 90 s"),
        pytest.param(31_536_000, 31_536_000, id="the longest of the contract"),
        pytest.param(31_536_001, 31_536_000, id="longer is cut"),
        pytest.param(10**300, 31_536_000, id="far longer, too"),
        pytest.param(-5, 0, id="never before now"),
        pytest.param("90", None, id="no number: nothing said"),
        pytest.param(None, None, id="null: nothing said"),
    ],
)
def test_a_deferral_says_after_how_many_seconds(retry_after: Any, want: float | None) -> None:
    message = said(error=ERROR, retryAfterSeconds=retry_after)
    assert end_of(failed(exit_code=75, termination_message=message)).retry_after_seconds == want


def test_only_exit_code_75_defers() -> None:
    message = said(error=ERROR, retryAfterSeconds=90)
    assert end_of(failed(exit_code=1, termination_message=message)).retry_after_seconds is None


@pytest.mark.parametrize(
    ("exit_code", "text"),
    [
        (139, "failed with exit code 139 (SIGSEGV)"),
        (137, "failed with exit code 137 (SIGKILL)"),
        (128, "failed with exit code 128"),
        (255, "failed with exit code 255"),
        (None, "failed with no exit code"),
    ],
)
def test_an_end_by_a_signal_names_it(exit_code: int | None, text: str) -> None:
    assert end_of(failed(exit_code=exit_code)).message == text


def test_out_of_memory_names_the_limit() -> None:
    end = end_of(failed(exit_code=137, terminated_reason="OOMKilled", memory_limit="256Mi"))
    assert end.message == (
        "was killed for using more memory than its limit of 256Mi "
        "(resources.limits.memory of its runtime)"
    )


def test_out_of_memory_is_told_from_a_kill() -> None:
    end = end_of(failed(exit_code=137, terminated_reason="OOMKilled"))
    assert (end.outcome, end.reason, end.exit_code) == (FAILED, Reason.OOM_KILLED, 137)


def test_the_deadline_of_the_pod_is_told_from_a_failure() -> None:
    end = end_of(failed(exit_code=143, reason="DeadlineExceeded"))
    assert (end.outcome, end.reason, end.final) == (FAILED, Reason.DEADLINE_EXCEEDED, False)


@pytest.mark.parametrize("exit_code", [1, 66, 75, 137, None])
def test_a_disruption_outweighs_whatever_the_process_did_while_it_was_stopped(
    exit_code: int | None,
) -> None:
    end = end_of(failed(exit_code=exit_code, disruption="Preempted by a pod", reason="Evicted"))
    assert (end.outcome, end.reason) == (DISRUPTED, Reason.DISRUPTED)
    assert end.message == "was disrupted: Preempted by a pod"


def test_a_success_stays_one_though_its_node_was_drained_meanwhile() -> None:
    pod = msgspec.structs.replace(succeeded(), disruption="EvictionByEvictionAPI")
    assert end_of(pod).outcome is AttemptOutcome.SUCCEEDED


@pytest.mark.parametrize(
    ("condition", "outcome", "reason", "exit_code"),
    [
        pytest.param(
            "Container job for pod shop/stock-1 failed with exit code 66 matching FailJob rule "
            "at index 1",
            FAILED,
            Reason.PERMANENT_FAILURE,
            66,
            id="exit code",
        ),
        pytest.param(
            "Container job for pod shop/stock-1 failed with exit code 75 matching FailJob rule "
            "at index 1",
            DEFERRED,
            Reason.BACKING_OFF,
            75,
            id="deferral, its time lost",
        ),
        pytest.param(
            "Pod shop/stock-1 has condition DisruptionTarget matching FailJob rule at index 0",
            DISRUPTED,
            Reason.DISRUPTED,
            None,
            id="disruption",
        ),
        pytest.param(
            "Job has reached the specified backoff limit", FAILED, Reason.ERROR, None, id="other"
        ),
        pytest.param("", FAILED, Reason.ERROR, None, id="nothing said"),
    ],
)
def test_without_its_pod_the_jobs_condition_tells(
    condition: str, outcome: AttemptOutcome, reason: Reason, exit_code: int | None
) -> None:
    end = ending(child_job(failed_message=condition), None)
    assert end is not None
    assert (end.outcome, end.reason, end.exit_code) == (outcome, reason, exit_code)


def test_a_jobs_success_without_its_pod_is_one_without_result() -> None:
    end = ending(child_job(succeeded=True), None)
    assert end is not None
    assert (end.outcome, end.result) == (AttemptOutcome.SUCCEEDED, None)


@pytest.mark.parametrize("pod", [None, running()], ids=["no pod yet", "a running pod"])
def test_an_attempt_under_way_has_not_ended(pod: Any) -> None:
    assert ending(child_job(), pod) is None


HOSTILE = [
    pytest.param("Traceback (most recent call last)", id="no JSON"),
    pytest.param('["result"]', id="a list"),
    pytest.param('"result"', id="a string"),
    pytest.param("null", id="null"),
    pytest.param('{"result": NaN}', id="NaN"),
    pytest.param('{"result": 1e999}', id="a number out of range"),
    pytest.param('{"result": "\\ud800"}', id="a lone surrogate"),
    pytest.param('{"result": "cut off', id="cut off"),
    pytest.param("\0\0\0", id="null bytes"),
    pytest.param("[" * 4096, id="an open nest"),
    pytest.param("[" * 2048 + "]" * 2048, id="a deep nest"),
    pytest.param('{"error": "boom", "resources": [1]}', id="other types in its keys"),
    pytest.param(said(error={"type": 5, "message": ["x"]}), id="other types in the error"),
    pytest.param(said(error=ERROR, resources={"peakMemoryBytes": -1}), id="negative memory"),
    pytest.param(said(error=ERROR, resources={"peakMemoryBytes": 2**63}), id="too much memory"),
    pytest.param(said(error=ERROR, resources={"cpuSeconds": -0.5}), id="negative time"),
]


@pytest.mark.parametrize("message", HOSTILE)
@pytest.mark.parametrize("exit_code", [1, 75])
def test_a_hostile_message_leaves_the_exit_code_to_count(message: str, exit_code: int) -> None:
    end = end_of(failed(exit_code=exit_code, termination_message=message))
    assert (end.exit_code, end.resources, end.retry_after_seconds) == (exit_code, None, None)


@pytest.mark.parametrize("message", HOSTILE)
def test_a_hostile_message_leaves_a_success_one(message: str) -> None:
    end = end_of(succeeded(message=message))
    assert (end.outcome, end.result) == (AttemptOutcome.SUCCEEDED, None)


@pytest.mark.parametrize("text", ["x" * 4000, "😀" * 1000, "\0" * 600])
def test_a_huge_error_is_cut(text: str) -> None:
    end = end_of(failed(termination_message=said(error={"type": "E", "message": text})))
    assert (len(end.message), end.message[-1]) == (512, "…")


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(2**63, id="a whole number beyond 64 bits"),
        pytest.param([{"a": -(2**70)}], id="one inside"),
        pytest.param(10**3000, id="a very long one"),
    ],
)
def test_a_result_that_the_api_server_would_change_is_left_out(result: Any) -> None:
    message = said(result=result)
    kept = end_of(succeeded(message=message)).result
    assert kept == {"truncated": True, "bytes": len(message)}


def test_a_deep_result_is_left_out() -> None:
    message = '{"result": ' + "[" * 900 + "]" * 900 + "}"
    kept = end_of(succeeded(message=message)).result
    assert kept == {"truncated": True, "bytes": len(message)}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(result=JSON)
def test_any_other_result_is_kept_as_it_is(result: Any) -> None:
    assert end_of(succeeded(message=said(result=result))).result == result


@given(message=st.text(max_size=4096), exit_code=st.none() | st.integers(0, 255))
def test_no_message_breaks_the_status(message: str, exit_code: int | None) -> None:
    orjson.dumps(
        msgspec.to_builtins(end_of(failed(exit_code=exit_code, termination_message=message)))
    )
