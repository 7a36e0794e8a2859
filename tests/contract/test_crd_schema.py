"""What the schema takes and refuses when a BackgroundJob is applied, and what it fills in."""

from typing import Any

import pytest
from tests.server import CLASS, Jobs, create, created, request

_LONG = "a." + "b" * 252


def test_a_new_job_has_every_default(jobs: Jobs, name: str) -> None:
    assert created(jobs, name)["spec"] == {
        "class": CLASS,
        "method": "handle",
        "parameters": {},
        "priority": "Medium",
        "delay": 0,
        "retries": 3,
        "backoff": {"seconds": 5, "factor": 2, "maxSeconds": 300},
        "adjustment": "Enabled",
        "pendingDeadlineSeconds": 600,
        "suspend": False,
        "cancelled": False,
        "startRequests": 0,
        "retryRequests": 0,
    }


def test_a_backoff_written_in_part_gets_the_other_defaults(jobs: Jobs, name: str) -> None:
    spec = created(jobs, name, backoff={"seconds": 10})["spec"]
    assert spec["backoff"] == {"seconds": 10, "factor": 2, "maxSeconds": 300}


def test_null_means_the_default(jobs: Jobs, name: str) -> None:
    spec = created(jobs, name, parameters=None, priority=None, delay=None)["spec"]
    assert (spec["parameters"], spec["priority"], spec["delay"]) == ({}, "Medium", 0)


def test_a_new_job_waits_with_a_message_before_any_operator_saw_it(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    seen = request(jobs.server, "GET", f"{jobs.path}/{name}").body
    assert seen["status"] == {
        "phase": "Pending",
        "reason": "Queued",
        "message": (
            "Waiting for the operator to start it. If this stays, see kubectl bgjob explain"
        ),
    }


def test_a_status_that_its_submitter_wrote_is_ignored(jobs: Jobs, name: str) -> None:
    body = {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": name},
        "spec": {"class": CLASS},
        "status": {"phase": "Succeeded", "reason": "Succeeded", "result": "forged"},
    }
    assert request(jobs.server, "POST", jobs.path, body).status == 201
    seen = request(jobs.server, "GET", f"{jobs.path}/{name}").body
    assert (seen["status"]["phase"], "result" in seen["status"]) == ("Pending", False)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        pytest.param("priority", 1, id="priority by number"),
        pytest.param("priority", 3, id="lowest priority by number"),
        pytest.param("priority", "High", id="priority by name"),
        pytest.param("priority", "Low", id="lowest priority by name"),
        pytest.param("delay", 90, id="delay in whole seconds"),
        pytest.param("delay", "0s", id="no delay, with a unit"),
        pytest.param("delay", "90s", id="delay in seconds"),
        pytest.param("delay", "15m", id="delay in minutes"),
        pytest.param("delay", "2h", id="delay in hours"),
        pytest.param("delay", 31536000, id="a year's delay"),
        pytest.param("delay", "31536000s", id="a year's delay in seconds"),
        pytest.param("delay", "525600m", id="a year's delay in minutes"),
        pytest.param("delay", "8760h", id="a year's delay in hours"),
        pytest.param("startAt", "2030-01-31T06:00:00Z", id="a time in UTC"),
        pytest.param("startAt", "2030-01-31T06:00:00+05:30", id="a time with its zone"),
        pytest.param("startAt", "2030-01-31T06:00:00.123456789-08:00", id="a time with fractions"),
        pytest.param("startAt", "2020-01-31T06:00:00Z", id="a time in the past"),
        pytest.param("retries", 0, id="no retries"),
        pytest.param("retries", 100, id="most retries"),
        pytest.param("backoff", {"seconds": 0, "factor": 1.5, "maxSeconds": 0}, id="no backoff"),
        pytest.param(
            "backoff", {"seconds": 300, "factor": 10, "maxSeconds": 300}, id="constant backoff"
        ),
        pytest.param("adjustment", "Disabled", id="adjustment off"),
        pytest.param("activeDeadlineSeconds", 1, id="shortest deadline"),
        pytest.param("pendingDeadlineSeconds", 0, id="no pending deadline"),
        pytest.param("ttlSecondsAfterFinished", 0, id="deleted at once"),
        pytest.param("suspend", True, id="held from the start"),
        pytest.param("cancelled", True, id="cancelled from the start"),
        pytest.param("cancelReason", "💥" * 512, id="longest reason"),
        pytest.param("startRequests", 2, id="an exported manifest that was started twice"),
        pytest.param("retryRequests", 2, id="an exported manifest that was retried twice"),
        pytest.param("method", "other", id="another method"),
    ],
)
def test_accepted_and_kept_as_written(jobs: Jobs, name: str, field: str, value: Any) -> None:
    assert created(jobs, name, **{field: value})["spec"][field] == value


_NOT_A_CLASS = (
    "class must be the dotted path of a Python class such as shop.jobs.SyncStock, with at least "
    "one dot, in ASCII letters, digits and underscores"
)
_NOT_A_METHOD = (
    "method must be the name of a public Python method such as handle, in ASCII letters, digits "
    "and underscores, not starting with an underscore"
)
_NOT_A_DELAY = (
    "delay must be whole seconds (90) or a number with s, m or h (90s, 15m, 2h), from 0 to one "
    "year (31536000, 525600m, 8760h)"
)
_NOT_A_PRIORITY = (
    "priority must be the name High, Medium or Low, or the number 1, 2 or 3 without quotes"
)
_NOT_A_TIME = (
    "startAt must be a time from the years 2000 to 2999 in RFC 3339 with its zone, such as "
    "2030-01-31T06:00:00Z or 2030-01-31T08:00:00+02:00"
)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        pytest.param({"class": "Sample"}, _NOT_A_CLASS, id="class without a dot"),
        pytest.param({"class": ""}, _NOT_A_CLASS, id="empty class"),
        pytest.param({"class": "shop..Sample"}, _NOT_A_CLASS, id="class with an empty part"),
        pytest.param({"class": ".shop.Sample"}, _NOT_A_CLASS, id="relative class"),
        pytest.param({"class": "shop.2.Sample"}, _NOT_A_CLASS, id="part that starts with a digit"),
        pytest.param({"class": f"{CLASS}\n"}, _NOT_A_CLASS, id="class with a trailing newline"),
        pytest.param({"class": f" {CLASS}"}, _NOT_A_CLASS, id="class with a leading space"),
        pytest.param({"class": f"{CLASS}\0"}, _NOT_A_CLASS, id="class with a NUL"),
        pytest.param(
            {"class": CLASS.replace("a", "\N{CYRILLIC SMALL LETTER A}")},
            _NOT_A_CLASS,
            id="class with a homoglyph",
        ),
        pytest.param({"class": "shop.jobs.$(SECRET)"}, _NOT_A_CLASS, id="class with a variable"),
        pytest.param({"class": "shop/jobs.Sample"}, _NOT_A_CLASS, id="class with a slash"),
        pytest.param({"class": _LONG}, "spec.class: Too long: may not be more than 253", id="long"),
        pytest.param({"class": 5}, "spec.class", id="class that is a number"),
        pytest.param({"class": None}, "spec.class: Required value", id="no class"),
        pytest.param({"method": "_private"}, _NOT_A_METHOD, id="private method"),
        pytest.param({"method": "__init__"}, _NOT_A_METHOD, id="dunder method"),
        pytest.param({"method": ""}, _NOT_A_METHOD, id="empty method"),
        pytest.param({"method": "handle\n"}, _NOT_A_METHOD, id="method with a trailing newline"),
        pytest.param({"method": "a.b"}, _NOT_A_METHOD, id="dotted method"),
        pytest.param({"method": "handle()"}, _NOT_A_METHOD, id="method with a call"),
        pytest.param(
            {"parameters": [1]},
            'spec.parameters in body must be of type object: "array"',
            id="parameters that are a list",
        ),
        pytest.param({"priority": 0}, _NOT_A_PRIORITY, id="priority 0"),
        pytest.param({"priority": 4}, _NOT_A_PRIORITY, id="priority 4"),
        pytest.param({"priority": "1"}, _NOT_A_PRIORITY, id="priority as a quoted number"),
        pytest.param({"priority": "high"}, _NOT_A_PRIORITY, id="priority in lower case"),
        pytest.param({"priority": "x" * 200}, _NOT_A_PRIORITY, id="priority in many words"),
        pytest.param({"priority": 1.5}, "spec.priority", id="fractional priority"),
        pytest.param({"delay": -1}, _NOT_A_DELAY, id="negative delay"),
        pytest.param({"delay": 31536001}, _NOT_A_DELAY, id="more than a year's delay"),
        pytest.param({"delay": "8761h"}, _NOT_A_DELAY, id="more than a year's delay in hours"),
        pytest.param({"delay": "99999999s"}, _NOT_A_DELAY, id="far more than a year's delay"),
        pytest.param({"delay": "90"}, _NOT_A_DELAY, id="delay as a quoted number"),
        pytest.param({"delay": "1.5h"}, _NOT_A_DELAY, id="fractional delay"),
        pytest.param({"delay": "1h30m"}, _NOT_A_DELAY, id="delay in two units"),
        pytest.param({"delay": "5 m"}, _NOT_A_DELAY, id="delay with a space"),
        pytest.param({"delay": "5m\n"}, _NOT_A_DELAY, id="delay with a trailing newline"),
        pytest.param({"delay": "1d"}, _NOT_A_DELAY, id="delay in days"),
        pytest.param({"delay": "-5s"}, _NOT_A_DELAY, id="negative delay with a unit"),
        pytest.param({"delay": ""}, _NOT_A_DELAY, id="empty delay"),
        pytest.param({"delay": 1.5}, "spec.delay", id="delay of one and a half seconds"),
        pytest.param(
            {"delay": "5m", "startAt": "2030-01-31T06:00:00Z"},
            "spec.startAt: Forbidden: delay and startAt exclude each other: keep one of them and "
            "leave the other out",
            id="delay and startAt",
        ),
        pytest.param({"startAt": "tomorrow"}, _NOT_A_TIME, id="startAt in words"),
        pytest.param({"startAt": "2030-02-30T06:00:00Z"}, _NOT_A_TIME, id="day that never comes"),
        pytest.param({"startAt": "2030-06-30T23:59:60Z"}, _NOT_A_TIME, id="leap second"),
        pytest.param({"startAt": "2030-01-31T06:00:00"}, _NOT_A_TIME, id="time without a zone"),
        pytest.param({"startAt": "2030-01-31"}, _NOT_A_TIME, id="date without a time"),
        pytest.param({"startAt": "2030-01-31T06:00:00x5Z"}, _NOT_A_TIME, id="no decimal point"),
        pytest.param({"startAt": "9999-12-31T23:59:59Z"}, _NOT_A_TIME, id="beyond every calendar"),
        pytest.param({"startAt": "0001-01-01T00:00:00Z"}, _NOT_A_TIME, id="before every calendar"),
        pytest.param({"startAt": 1893456000}, "must be of type string", id="time as a number"),
        pytest.param({"retries": -1}, "greater than or equal to 0", id="negative retries"),
        pytest.param({"retries": 101}, "less than or equal to 100", id="too many retries"),
        pytest.param({"retries": "3"}, "must be of type integer", id="quoted retries"),
        pytest.param(
            {"backoff": {"seconds": 600}},
            "spec.backoff.maxSeconds: Invalid value: backoff.maxSeconds (300 if left out) must not "
            "be below backoff.seconds: raise maxSeconds or lower seconds",
            id="backoff that starts above its limit",
        ),
        pytest.param({"backoff": {"factor": 0.5}}, "greater than or equal to 1", id="small factor"),
        pytest.param({"backoff": {"factor": 11}}, "less than or equal to 10", id="large factor"),
        pytest.param(
            {"backoff": {"maxSeconds": 86401}}, "less than or equal to 86400", id="day-long backoff"
        ),
        pytest.param({"adjustment": "Off"}, '"Enabled", "Disabled"', id="unknown adjustment"),
        pytest.param(
            {"activeDeadlineSeconds": 0}, "greater than or equal to 1", id="no time to run"
        ),
        pytest.param(
            {"pendingDeadlineSeconds": -1},
            "greater than or equal to 0",
            id="negative pending deadline",
        ),
        pytest.param(
            {"ttlSecondsAfterFinished": -1}, "greater than or equal to 0", id="negative TTL"
        ),
        pytest.param({"suspend": "yes"}, "must be of type boolean", id="suspend in words"),
        pytest.param({"cancelled": "yes"}, "must be of type boolean", id="cancelled in words"),
        pytest.param({"startRequests": "1"}, "must be of type integer", id="quoted starts"),
        pytest.param({"cancelReason": "x" * 513}, "Too long", id="reason too long"),
        pytest.param(
            {"startRequests": -1}, "greater than or equal to 0", id="negative start requests"
        ),
        pytest.param(
            {"retryRequests": -1}, "greater than or equal to 0", id="negative retry requests"
        ),
    ],
)
def test_refused_with_a_message(jobs: Jobs, name: str, spec: dict[str, Any], message: str) -> None:
    answer = create(jobs, name, **spec)
    assert (answer.status, message in answer.message) == (422, True), answer.message


def test_a_job_without_spec_is_refused(jobs: Jobs, name: str) -> None:
    body = {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": name},
    }
    assert "spec: Required value" in request(jobs.server, "POST", jobs.path, body).message


def test_a_misspelt_field_is_refused_where_the_client_asks_for_it_as_kubectl_does(
    jobs: Jobs, name: str
) -> None:
    body = {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": name},
        "spec": {"class": CLASS, "prioritty": 1},
    }
    answer = request(jobs.server, "POST", f"{jobs.path}?fieldValidation=Strict", body)
    assert 'unknown field "spec.prioritty"' in answer.message


def test_parameters_arrive_as_equal_json(jobs: Jobs, name: str) -> None:
    parameters = {
        "nested": {"list": [1, {"deep": [None, True]}], "empty": {}},
        "text": "\0 \n \" ' \\ $(SECRET) \N{LINE SEPARATOR} 😀 \U0010ffff",
        "integer": 2**63 - 1,
        "negative": -(2**63),
        "fraction": 0.1,
        "whole fraction": 1.0,
        "null": None,
        "": "an empty key",
    }
    created(jobs, name, parameters=parameters)
    seen = request(jobs.server, "GET", f"{jobs.path}/{name}").body
    assert seen["spec"]["parameters"] == parameters
