"""What dispatch makes of the words of a call, and what it refuses before anything is sent."""

import inspect
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from tests.unit import shop

import bgjobs.client
from bgjobs.cli.submitting import manifest
from bgjobs.client import BadParametersError, aio, submission
from bgjobs.client.outbox import Outbox

_ELSEWHERE = "shop.jobs.SyncStock"
_HERE = "tests.unit.shop.SyncStock"


def test_keywords_are_parameters_but_for_the_options() -> None:
    job = submission(_ELSEWHERE, warehouse=7, priority="High", delay="5m", key="stock-7")
    assert job.manifest["spec"] == {
        "class": _ELSEWHERE,
        "method": "handle",
        "parameters": {"warehouse": 7},
        "priority": "High",
        "delay": "5m",
    }


@pytest.mark.parametrize(
    ("dispatch", "before", "returned"),
    [
        (bgjobs.client.dispatch, [], bgjobs.client.Handle),
        (aio.dispatch, [], aio.Handle),
        (Outbox.dispatch, ["self", "connection"], str),
    ],
)
def test_help_shows_what_dispatch_takes_and_what_it_returns(
    dispatch: Callable[..., object], before: list[str], returned: type
) -> None:
    shown = inspect.signature(dispatch)
    taken = inspect.signature(submission).parameters
    assert list(shown.parameters) == [*before, *taken]
    assert shown.return_annotation is returned


def test_a_parameter_called_like_an_option_is_given_apart() -> None:
    job = submission(_ELSEWHERE, warehouse=7, parameters={"priority": "express"}, priority=1)
    assert job.manifest["spec"]["parameters"] == {"priority": "express", "warehouse": 7}
    assert job.manifest["spec"]["priority"] == 1


def test_options_are_named_as_in_the_resource() -> None:
    job = submission(
        _ELSEWHERE,
        method="count",
        start_at=datetime(2030, 1, 31, 6, tzinfo=UTC),
        retries=0,
        backoff={"seconds": 1},
        adjustment="Disabled",
        active_deadline_seconds=60,
        pending_deadline_seconds=0,
        ttl_seconds_after_finished=0,
        suspend=True,
        labels={"team": "shop"},
        namespace="shop",
    )
    assert job.namespace == "shop"
    assert job.manifest["metadata"] == {"name": job.name, "labels": {"team": "shop"}}
    assert job.manifest["spec"] == {
        "class": _ELSEWHERE,
        "method": "count",
        "parameters": {},
        "startAt": "2030-01-31T06:00:00+00:00",
        "retries": 0,
        "backoff": {"seconds": 1},
        "adjustment": "Disabled",
        "activeDeadlineSeconds": 60,
        "pendingDeadlineSeconds": 0,
        "ttlSecondsAfterFinished": 0,
        "suspend": True,
    }


@pytest.mark.parametrize(
    ("delay", "want"),
    [
        pytest.param(timedelta(minutes=1, milliseconds=1), 61, id="never sooner than asked"),
        pytest.param(90, 90, id="seconds"),
        pytest.param("2h", "2h", id="text"),
    ],
)
def test_a_delay_is_whole_seconds_or_a_text(delay: Any, want: object) -> None:
    assert submission(_ELSEWHERE, delay=delay).manifest["spec"]["delay"] == want


def test_a_key_makes_the_name_that_the_plugin_makes() -> None:
    by_plugin = manifest(_ELSEWHERE, "handle", key="7", labels={}, parameters={})
    assert submission(_ELSEWHERE, key="7").manifest == by_plugin


def test_without_a_key_each_call_is_a_job_of_its_own() -> None:
    first, second = submission(_ELSEWHERE), submission(_ELSEWHERE)
    assert first.name != second.name
    assert re.fullmatch(r"sync-stock-[0-9a-f]{12}", first.name)


def test_a_class_is_found_by_its_module_and_name() -> None:
    job = submission(shop.SyncStock, warehouse=7)
    assert job.manifest["spec"]["class"] == _HERE


class _Day(Enum):
    MONDAY = 1


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (datetime(2030, 1, 31, tzinfo=UTC), "cannot carry parameters.value, datetime.datetime"),
        ([{"set": {1}}], r"cannot carry parameters.value\[0\].set, set"),
        ({1: "one"}, "a key of parameters.value must be a text, not 1"),
        (float("nan"), "parameters.value is nan, which JSON cannot carry"),
        (2**63, "beyond 64 bits"),
        ("\ud800", "no valid Unicode"),
        ({"\ud800": 1}, "no valid Unicode"),
        (_Day.MONDAY, "cannot carry parameters.value"),
        ("x" * 65536, "65548 bytes of JSON, the limit is 65536"),
    ],
)
def test_what_would_arrive_otherwise_is_refused(value: object, says: str) -> None:
    with pytest.raises(BadParametersError, match=says):
        submission(_ELSEWHERE, value=value)


def test_what_is_nested_without_end_is_refused() -> None:
    deep: list[object] = []
    deep.append(deep)
    with pytest.raises(BadParametersError, match="nested deeper than 16 levels"):
        submission(_ELSEWHERE, value=deep)


def test_a_tuple_arrives_as_a_list() -> None:
    job = submission(_ELSEWHERE, value=(1, "a", None, True, 0.5, {"b": ()}))
    assert job.manifest["spec"]["parameters"] == {"value": [1, "a", None, True, 0.5, {"b": []}]}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ({"priority": "express"}, "it is High, Medium or Low"),
        ({"delay": "soon"}, "it is a timedelta, whole seconds, or a text"),
        ({"delay": 1.5}, "it is a timedelta, whole seconds, or a text"),
        ({"start_at": datetime(2030, 1, 31)}, "has no time zone"),
        ({"key": "7", "name": "seven"}, "not both"),
        ({"key": ""}, "The key is empty"),
        ({"key": 7}, "key must be a text, not 7"),
        ({"key": "\ud800"}, "key is no valid Unicode"),
        ({"name": "../pods/x"}, "is no name in Kubernetes"),
        ({"namespace": "a/b"}, "is no name in Kubernetes"),
        ({"warehouse": 7, "parameters": {"warehouse": 8}}, "in `parameters`: warehouse"),
    ],
)
def test_a_wrong_option_is_refused(words: Any, says: str) -> None:
    with pytest.raises(BadParametersError, match=says):
        submission(_ELSEWHERE, **words)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param({}, "missing a required argument: 'warehouse'", id="one is missing"),
        pytest.param({"warehouse": 7, "hall": 1}, "unexpected .* 'hall'", id="one is too many"),
        pytest.param({"warehouse": 7, "context": 1}, "is the runner's", id="the runner's own"),
        pytest.param({"warehouse": 7, "self": 1}, "multiple values for .* 'self'", id="self"),
        pytest.param({"warehouse": 7, "key": "a"}, "`key` is an option of dispatch", id="which"),
        pytest.param({"method": "sink"}, "has no method sink", id="no such method"),
        pytest.param({"method": "price"}, "argument: 'item'", id="a static method"),
    ],
)
def test_parameters_are_bound_where_the_class_can_be_imported(words: Any, says: str) -> None:
    with pytest.raises(BadParametersError, match=says):
        submission(_HERE, **words)


def test_parameters_that_fit_pass() -> None:
    assert submission(_HERE, warehouse=7, parameters={"key": "a"}, key="stock-7")
    assert submission(_HERE, method="price", item="tea")


@pytest.mark.parametrize("class_", ["shop.jobs.Gone", "tests.unit.shop.Gone", "this.Zen", "x"])
def test_a_class_that_cannot_be_imported_is_left_to_the_pod(
    class_: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert submission(class_, anything=1)
    assert capsys.readouterr().out == "", "a module of the standard library was imported"


def test_a_class_that_no_pod_would_find_is_refused() -> None:
    class Inner:
        """Defined in a function."""

    with pytest.raises(BadParametersError, match="at the top of its module"):
        submission(Inner)
