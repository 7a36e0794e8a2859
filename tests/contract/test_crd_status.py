"""What the operator can write into a status, and what it cannot."""

from typing import Any

import pytest
from tests.server import Jobs, created, patch_status, request

from bgjobs.domain.resource import AttemptOutcome, Phase, Reason

_FIRST_ATTEMPT = {
    "run": 1,
    "attempt": 1,
    "jobName": "sample-0a1b2c3d-1-1",
    "nodeName": "node-1",
    "start": "2030-01-31T06:00:00.123456Z",
    "finish": "2030-01-31T06:00:02Z",
    "outcome": "Failed",
    "exitCode": 1,
    "reason": "Error",
    "message": "ValueError: no such warehouse",
    "endedAs": "Failed",
    "resources": {
        "peakMemoryBytes": 20_000_000,
        "cpuSeconds": 0.25,
        "memoryLimitBytes": 268_435_456,
    },
    "error": {
        "type": "ValueError",
        "module": "shop.jobs",
        "function": "SyncStock.handle",
        "line": 61,
    },
}
_FULL: dict[str, Any] = {
    "phase": "Retrying",
    "reason": "BackingOff",
    "message": "Attempt 1 of 4 failed, the next one starts at 06:00:07.",
    "conditions": [
        {
            "type": kind,
            "status": status,
            "reason": "Allowed",
            "message": "",
            "lastTransitionTime": "2030-01-31T06:00:00Z",
            "observedGeneration": 1,
        }
        for kind, status in (("Accepted", "True"), ("Finished", "False"))
    ],
    "observedGeneration": 1,
    "observedStartRequests": 0,
    "observedRetryRequests": 0,
    "effectiveRetries": 3,
    "effectiveDelaySeconds": 0,
    "nextAttemptTime": "2030-01-31T06:00:07Z",
    "startTime": "2030-01-31T06:00:00Z",
    "completionTime": "2030-01-31T06:00:02Z",
    "runSeconds": 1.876544,
    "run": 1,
    "attemptsTotal": 1,
    "retriesUsed": 1,
    "disruptions": 0,
    "deferrals": 0,
    "attempts": [_FIRST_ATTEMPT],
    "result": {"truncated": True, "bytes": 4096},
    "jobRef": {
        "name": "sample-0a1b2c3d-1-2",
        "uid": "b1f0",
        "run": 1,
        "attempt": 2,
        "givenUp": True,
    },
}


def test_every_field_is_kept_as_written(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    answer = patch_status(jobs, name, _FULL)
    assert answer.body.get("status") == _FULL, answer.message


@pytest.mark.parametrize(
    "result",
    [
        pytest.param("text", id="text"),
        pytest.param(0.1, id="number"),
        pytest.param(False, id="boolean"),
        pytest.param([1, {"deep": [True, None]}], id="list"),
        pytest.param({"rows": 7, "": {"none": None}}, id="object"),
    ],
)
def test_a_result_can_be_any_json_value(jobs: Jobs, name: str, result: object) -> None:
    created(jobs, name)
    path = f"{jobs.path}/{name}/status"
    seen = request(jobs.server, "GET", path).body
    body = {**seen, "status": {**seen["status"], "result": result}}
    answer = request(jobs.server, "PUT", path, body)
    assert answer.body.get("status", {}).get("result") == result, answer.message


@pytest.mark.parametrize("phase", [*Phase])
def test_the_operators_phases_are_the_schemas(jobs: Jobs, name: str, phase: Phase) -> None:
    created(jobs, name)
    answer = patch_status(jobs, name, {"phase": phase})
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("reason", [*Reason])
def test_the_operators_reasons_are_the_schemas(jobs: Jobs, name: str, reason: Reason) -> None:
    created(jobs, name)
    answer = patch_status(jobs, name, {"reason": reason})
    assert answer.status == 200, answer.message


@pytest.mark.parametrize("outcome", [*AttemptOutcome])
def test_the_operators_outcomes_are_the_schemas(
    jobs: Jobs, name: str, outcome: AttemptOutcome
) -> None:
    created(jobs, name)
    answer = patch_status(jobs, name, {"attempts": [{**_FIRST_ATTEMPT, "outcome": outcome}]})
    assert answer.status == 200, answer.message


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param({"phase": "Done"}, "Unsupported value", id="unknown phase"),
        pytest.param({"reason": "Because"}, "Unsupported value", id="unknown reason"),
        pytest.param({"phase": None}, "status.phase: Required value", id="no phase"),
        pytest.param({"message": "x" * 1025}, "Too long", id="message too long"),
        pytest.param(
            {"attempts": [_FIRST_ATTEMPT] * 11}, "must have at most 10 items", id="11 attempts"
        ),
        pytest.param(
            {"attempts": [{**_FIRST_ATTEMPT, "attempt": 0}]},
            "greater than or equal to 1",
            id="attempt 0",
        ),
        pytest.param({"run": 0}, "greater than or equal to 1", id="run 0"),
        pytest.param({"run": 2**31 - 1}, "less than or equal to 1000001", id="run 2147483647"),
        pytest.param({"nextAttemptTime": "soon"}, "date-time", id="time in words"),
        pytest.param({"startTime": "0000-01-01T00:00:00Z"}, "should match", id="the year 0"),
        pytest.param({"completionTime": "9999-12-31T23:59:59-12:00"}, "should match", id="9999"),
        pytest.param({"runSeconds": 1.7e308}, "less than or equal to 1e+11", id="run for ever"),
        pytest.param(
            {"jobRef": {"name": "a", "uid": "b"}}, "jobRef.attempt: Required", id="no number"
        ),
        pytest.param(
            {"jobRef": {"name": "../a", "uid": "b", "run": 1, "attempt": 1}},
            "should match",
            id="a path",
        ),
        pytest.param(
            {"conditions": [{**_FULL["conditions"][1], "observedGeneration": None}]},
            "observedGeneration: Required",
            id="condition of no generation",
        ),
        *(
            pytest.param({"attempts": [{**_FIRST_ATTEMPT, **change}]}, words, id=id)
            for change, words, id in (
                ({"finish": None}, "finish: Required", "attempt without an end"),
                ({"reason": "It broke"}, "Unsupported value", "attempt's reason in words"),
                ({"attempt": 2**31 - 1}, "less than or equal to 1000", "attempt 2147483647"),
            )
        ),
        pytest.param(
            {"conditions": [_FULL["conditions"][1]] * 2}, "Duplicate value", id="condition twice"
        ),
    ],
)
def test_refused(jobs: Jobs, name: str, status: dict[str, Any], message: str) -> None:
    created(jobs, name)
    answer = patch_status(jobs, name, status)
    assert (answer.status, message in answer.message) == (422, True), answer.message


def test_the_largest_status_is_accepted(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    attempt = {**_FIRST_ATTEMPT, "message": "💥" * 1024, "jobName": "j" * 63, "nodeName": "n" * 253}
    status = {
        "message": "💥" * 1024,
        "attempts": [attempt] * 10,
        "result": "x" * 3070,
    }
    answer = patch_status(jobs, name, status)
    assert answer.status == 200, answer.message
