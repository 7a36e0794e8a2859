"""What the pages show of rows: masked parameters, a manifest, figures from histograms."""

from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from bgjobs.dashboard import statistics, view
from bgjobs.dashboard.rendering import environment
from bgjobs.mirror.schema import STEP_SECONDS, WAIT_STEPS

_NOW = datetime(2030, 1, 31, 12, 3, 7)
_ROW = {
    "uid": "u",
    "name": "sync-7",
    "namespace": "shop",
    "class": "shop.jobs.Sync",
    "method": "handle",
    "priority": 1,
    "spec": '{"retries": 2, "delay": 8, "startRequests": 1, "cancelled": true}',
    "parameters": '{"warehouse": 7, "api_token": "s3cret"}',
}


@pytest.mark.parametrize(
    "key", ["password", "DB_PASSWD", "apiKey", "api-key", "access_key", "Authorization", "token"]
)
def test_a_value_whose_key_sounds_secret_is_masked_however_deep(key: str) -> None:
    masked = view.mask({"a": [{key: {"even": "this"}, "b": 1}]})
    assert masked == {"a": [{key: view.MASKED, "b": 1}]}


@pytest.mark.parametrize("key", ["author", "keyboard", "warehouse", "monkey"])
def test_other_values_are_shown(key: str) -> None:
    assert view.mask({key: "shown"}) == {key: "shown"}


def test_the_manifest_submits_the_same_under_another_name_without_what_was_done_to_it() -> None:
    text = view.as_new_yaml(_ROW, {"team": "a"})
    assert text.startswith(f"# Fill in what is {view.MASKED} here")
    assert "s3cret" not in text
    assert yaml.safe_load(text) == {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": "sync-7-again", "namespace": "shop", "labels": {"team": "a"}},
        "spec": {
            "class": "shop.jobs.Sync",
            "method": "handle",
            "retries": 2,
            "delay": 8,
            "priority": "High",
            "parameters": {"warehouse": 7, "api_token": view.MASKED},
        },
    }


def test_the_longest_name_leaves_room_for_another_one() -> None:
    name = yaml.safe_load(view.as_new_yaml({**_ROW, "name": "a." * 126 + "a"}, {}))["metadata"][
        "name"
    ]
    assert len(name) <= 253
    assert name.endswith("a-again")


def _meta(**seconds: float) -> dict[str, Any]:
    times = {key: _NOW - timedelta(seconds=ago) for key, ago in seconds.items()}
    return {"pending": 12, **times}


@pytest.mark.parametrize(
    ("meta", "says"),
    [
        (None, "Nothing has been mirrored yet"),
        (_meta(as_of=1, written_at=0), None),
        (_meta(as_of=90, written_at=1), "12 jobs still to write"),
        (_meta(as_of=90, written_at=90), "no sign of life for 1 m 30 s"),
    ],
)
def test_it_says_when_the_data_is_old_and_why(meta: Any, says: str | None) -> None:
    problem = view.freshness(meta, _NOW).problem
    assert problem is None if says is None else says in str(problem)


def _histogram(**counts: int) -> dict[str, int]:
    return {**dict.fromkeys(WAIT_STEPS, 0), **counts}


@pytest.mark.parametrize(
    ("counts", "share", "want"),
    [
        pytest.param({}, 0.5, None, id="nothing was measured"),
        pytest.param({"wait_0": 10}, 0.5, 0.5, id="half of the first step"),
        pytest.param({"wait_0": 90, "wait_9": 10}, 0.95, 210, id="in the middle of 120-300 s"),
        pytest.param({"wait_16": 1}, 1.0, 2 * STEP_SECONDS[-1], id="the last step has an end"),
    ],
)
def test_percentiles(counts: dict[str, int], share: float, want: float | None) -> None:
    assert statistics.percentile(_histogram(**counts), WAIT_STEPS, share) == want


def test_a_span_ends_after_now_and_begins_a_period_before() -> None:
    span = statistics.span(_NOW, timedelta(days=1))
    assert span.step == timedelta(minutes=15)
    assert span.end - span.step <= _NOW < span.end
    assert span.begin <= _NOW - timedelta(days=1) + span.step
    assert span.before.end == span.begin


def test_buckets_are_summed_by_their_step() -> None:
    span = statistics.Span(_NOW, timedelta(minutes=10), 2)
    rows = [
        {"bucket_at": _NOW + timedelta(minutes=minutes), "failed": 1} for minutes in (-5, 0, 5, 10)
    ]
    assert span.series(rows, statistics.total("failed")) == [2, 1]


@pytest.mark.parametrize("template", environment().list_templates())
def test_every_template_compiles(template: str) -> None:
    assert environment().get_template(template)
