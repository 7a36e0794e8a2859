"""Reading a BackgroundJob and writing its status."""

from datetime import UTC, datetime
from typing import Any

import pytest
from tests.unit.builders import NOW, background_job_json, seconds

from bgjobs.domain.resource import (
    Attempt,
    AttemptOutcome,
    Condition,
    JobRef,
    Phase,
    Priority,
    Reason,
    Resources,
    Status,
    Who,
    cut,
    delay_seconds,
    parse,
    render_status,
)


@pytest.mark.parametrize(
    ("written", "want"),
    [(0, 0), (90, 90), ("0s", 0), ("90s", 90), ("15m", 900), ("2h", 7200), ("8760h", 31_536_000)],
)
def test_a_delay_is_whole_seconds_or_a_duration(written: int | str, want: int) -> None:
    assert delay_seconds(written) == want


@pytest.mark.parametrize(
    "written", ["", "90", "s", "-5s", "1.5h", "1d", "1h30m", "90s\n", " 90s", "٣s", "90S"]
)
def test_a_malformed_delay_is_refused_with_the_mend(written: str) -> None:
    with pytest.raises(ValueError, match="write whole seconds or a duration like 90s, 15m, 2h"):
        delay_seconds(written)


@pytest.mark.parametrize(
    ("written", "want"),
    [
        (1, Priority.HIGH),
        (2, Priority.MEDIUM),
        (3, Priority.LOW),
        ("High", Priority.HIGH),
        ("Medium", Priority.MEDIUM),
        ("Low", Priority.LOW),
    ],
)
def test_a_priority_is_a_number_or_a_word(written: int | str, want: Priority) -> None:
    assert parse(background_job_json(priority=written)).spec.priority is want


@pytest.mark.parametrize("priority", ["Urgent", "", 0, 4])
def test_an_unknown_priority_is_a_value_error(priority: int | str) -> None:
    with pytest.raises(ValueError, match=r"priority|Priority|Invalid enum"):
        parse(background_job_json(priority=priority))


def test_the_specs_defaults_are_those_of_the_schema() -> None:
    spec = parse(background_job_json()).spec
    assert (spec.method, spec.parameters, spec.priority) == ("handle", {}, Priority.MEDIUM)
    assert (spec.delay_seconds, spec.retries, spec.pending_deadline_seconds) == (0, 3, 600)
    assert (spec.backoff.seconds, spec.backoff.factor, spec.backoff.max_seconds) == (5, 2, 300)


def test_start_at_keeps_its_zone() -> None:
    start_at = parse(
        background_job_json(startAt="2030-01-31T14:00:00.123456789+02:00")
    ).spec.start_at
    assert start_at is not None
    assert start_at.astimezone(UTC) == datetime(2030, 1, 31, 12, 0, 0, 123457, tzinfo=UTC)


FULL = Status(
    phase=Phase.RETRYING,
    reason=Reason.BACKING_OFF,
    message="Attempt 1 of 4 failed.",
    conditions=(
        Condition(
            type="Accepted",
            status="True",
            reason="Allowed",
            message="allowed",
            last_transition_time=NOW,
            observed_generation=2,
        ),
    ),
    observed_generation=2,
    observed_start_requests=1,
    observed_retry_requests=4,
    effective_retries=4,
    effective_delay_seconds=12,
    next_attempt_time=NOW.replace(microsecond=250_000),
    start_time=NOW,
    run_seconds=1.25,
    run=2,
    attempts_total=5,
    retries_used=1,
    disruptions=2,
    deferrals=3,
    attempts=(
        Attempt(
            run=2,
            attempt=1,
            job_name="stock-1",
            outcome=AttemptOutcome.FAILED,
            reason=Reason.ERROR,
            exit_code=1,
            start=NOW,
            finish=NOW,
            resources=Resources(peak_memory_bytes=1, cpu_seconds=0.5),
        ),
    ),
    result={"updated": [1, 2.5, None, "é"]},
    job_ref=JobRef(name="stock-1", uid="j", run=2, attempt=1),
)


@pytest.mark.parametrize("status", [Status(), FULL], ids=["a new job's", "every field set"])
def test_a_status_is_read_as_it_was_written(status: Status) -> None:
    assert parse({**background_job_json(), "status": render_status(status)}).status == status


def test_a_rendered_status_always_names_phase_reason_and_run() -> None:
    assert render_status(Status()) == {"phase": "Pending", "reason": "Queued", "run": 1}


def test_of_annotations_only_who_did_it_is_kept() -> None:
    raw = background_job_json()
    raw["metadata"]["annotations"] = {"bgjobs.dev/cancelled-by": "ann", "team": "shop"}
    assert parse(raw).metadata.annotations == Who(cancelled_by="ann")


@pytest.mark.parametrize(
    ("managers", "want"),
    [
        pytest.param([], NOW, id="nobody's: the time of the creation"),
        pytest.param([{"manager": "old"}], NOW, id="without a time"),
        pytest.param(
            [{"time": "2030-01-31T12:05:00Z"}, {"time": "2030-01-31T12:03:00Z"}],
            NOW + seconds(300),
            id="the latest",
        ),
        pytest.param(
            [{"time": "2030-01-31T12:05:00Z", "subresource": "status"}],
            NOW,
            id="the operator's own do not count",
        ),
        pytest.param([{"time": "2001-01-01T00:00:00Z"}], NOW, id="never before the creation"),
        pytest.param([{"time": "2030-01-31T12:10:01Z"}], NOW + seconds(600), id="never after now"),
        pytest.param([{"time": "9999-12-31T23:59:59Z"}], NOW + seconds(600), id="the last second"),
        pytest.param([{"time": "0000-01-01T00:00:00Z"}], NOW, id="the year 0"),
    ],
)
def test_the_latest_change_is_read_from_managed_fields(
    managers: list[dict[str, Any]], want: datetime
) -> None:
    raw = background_job_json()
    raw["metadata"]["managedFields"] = managers
    assert parse(raw).metadata.changed_at(NOW + seconds(600)) == want


def test_the_next_attempt_counts_from_one_in_each_run() -> None:
    assert FULL.next_attempt == 2
    assert (
        parse(
            {**background_job_json(), "status": {**render_status(FULL), "run": 3}}
        ).status.next_attempt
        == 1
    )


def test_a_text_is_cut_to_its_limit_with_an_ellipsis() -> None:
    assert (cut("abcd", 4), cut("abcde", 4)) == ("abcd", "abc…")
