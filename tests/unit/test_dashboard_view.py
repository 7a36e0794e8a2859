"""What the pages show of rows: masked parameters, a manifest, figures from histograms."""

import re
from datetime import datetime, timedelta
from typing import Any

import pytest
import yaml

from bgjobs.dashboard import statistics, view
from bgjobs.dashboard.rendering import environment
from bgjobs.dashboard.states import STATES
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


def _seen(**more: Any) -> dict[str, Any]:
    """A row of the list, of a job whose first attempt runs."""
    times = {"created_at": _NOW - timedelta(minutes=9), "started_at": _NOW - timedelta(minutes=5)}
    return {
        **_ROW,
        **times,
        "phase": "Running",
        "reason": "Running",
        "message": "Attempt 1 of 5 runs.",
        "run": 1,
        "attempts_of_run": 0,
        "effective_retries": 4,
        "disruptions": 0,
        "could_start_at": _NOW - timedelta(minutes=8),
        "next_attempt_at": None,
        "completed_at": None,
        "deleted_at": None,
        "run_seconds": None,
        **more,
    }


def test_what_is_nested_too_deep_is_not_followed() -> None:
    deepest: Any = 1
    for _ in range(64):
        deepest = [deepest]
    assert view.mask(deepest) == deepest
    assert "nested too deep" in view.pretty(view.mask([{"token": 1, "deep": deepest}]))
    assert "nested too deep" in view.read_json("[" * 100_000 + "]" * 100_000)


@pytest.mark.parametrize(
    ("row", "says", "minutes"),
    [
        pytest.param(_seen(), "running {}", 5, id="a first attempt, since it began"),
        pytest.param(
            _seen(run=2, attempts_total=3), "running {}", 5, id="also the first of a later run"
        ),
        pytest.param(
            _seen(attempts_of_run=1),
            *("waited and ran {}", 8),
            id="a later one's beginning is not known",
        ),
        pytest.param(
            _seen(phase="Pending", reason="Starting", started_at=None),
            *("waiting {}", 8),
            id="one that starts has waited since it could start",
        ),
        pytest.param(
            _seen(phase="Deleted", deleted_at=_NOW - timedelta(minutes=1)),
            *("deleted {} ago", 1),
            id="what was deleted no longer runs",
        ),
    ],
)
def test_how_long_it_has_been_so(row: dict[str, Any], says: str, minutes: float) -> None:
    when = view.line(row).when
    assert when.text == says
    assert when.at == _NOW - timedelta(minutes=minutes)


@pytest.mark.parametrize(
    ("reason", "minutes", "says"),
    [
        pytest.param("Delayed", 5, "in 5 m at 12:08:07", id="delayed"),
        pytest.param("Delayed", -5, "due 5 m ago at 11:58:07", id="overdue"),
        pytest.param("Suspended", 5, "held, due in 5 m at 12:08:07", id="held and delayed"),
        pytest.param("Suspended", -5, "held 5 m since 11:58:07", id="held"),
    ],
)
def test_no_age_counts_from_a_time_to_come(reason: str, minutes: int, says: str) -> None:
    due = _NOW + timedelta(minutes=minutes)
    line = view.line(_seen(phase="Pending", reason=reason, could_start_at=due))
    parts: Any = environment().get_template("_parts.html").module
    assert " ".join(re.sub("<[^>]*>", " ", parts.when(line, _NOW)).split()) == says


@pytest.mark.parametrize("is_under_way", [True, False])
def test_no_attempt_is_drawn_as_delayed_until_after_it_ran(is_under_way: bool) -> None:
    """Its delay may have been changed since."""
    row = _seen(could_start_at=_NOW + timedelta(hours=1))
    attempt = {**row, "finished_at": _NOW, "outcome": "Failed"}
    [parts] = view.stretches(
        [] if is_under_way else [attempt], row if is_under_way else None, row["created_at"], _NOW
    )
    assert [(part.words, part.end - part.begin) for part in parts] == [
        ("delay or backoff", timedelta(minutes=4)),
        ("running" if is_under_way else "ran", timedelta(minutes=5)),
    ]


def test_what_was_deleted_before_it_ended_has_a_state_of_its_own() -> None:
    line = view.line(_seen(phase="Deleted", deleted_at=_NOW))
    assert line.state is STATES["Deleted"]
    assert line.why == "It was deleted before it ended; it was last seen running."


def test_the_attempt_under_way_is_drawn_until_now_from_when_it_began() -> None:
    asked_at = _NOW - timedelta(minutes=9)
    [parts] = view.stretches([], _seen(), asked_at, _NOW)
    assert [(part.words, part.end - part.begin) for part in parts] == [
        ("delay or backoff", timedelta(minutes=1)),
        ("queued and starting", timedelta(minutes=3)),
        ("running", timedelta(minutes=5)),
    ]


def test_an_earlier_run_is_drawn_without_what_is_under_way() -> None:
    at = {key: _NOW + timedelta(seconds=s) for key, s in (("started_at", 2), ("finished_at", 9))}
    attempt = {**at, "could_start_at": _NOW, "outcome": "Cancelled"}
    [parts] = view.stretches([attempt], None, _NOW, _NOW + timedelta(hours=1))
    assert [(part.style, part.words) for part in parts] == [
        ("queued", "queued and starting"),
        ("cancelled", "ran"),
    ]
    assert view.stretches([], None, None, _NOW) == []


@pytest.mark.parametrize(
    ("line", "want"),
    [
        ("12:02:48 WARN  refused, trying again", "warning"),
        ("12:02:48 ERROR broken", "error"),
        ("shop.errors.StockError: refused", "error"),
        ("ConnectionError: refused", "error"),
        ("    raise ConnectionError(host)", ""),
        ("no errors, all is well", ""),
    ],
)
def test_lines_of_a_log_that_matter_stand_out(line: str, want: str) -> None:
    assert view.log_lines(line) == [(want, line)]


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
