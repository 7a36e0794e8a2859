"""Until an attempt starts: delay, queue, allowlist, configuration, pauses, refusals, cancel."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec
import pytest
from tests.unit.builders import (
    CLASS,
    CONFIG,
    NOW,
    UID,
    after,
    attempt,
    background_job,
    condition,
    resolved,
    seconds,
    see,
)

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import Refusal
from bgjobs.domain.ranking import Blocked, Limit
from bgjobs.domain.resource import (
    Adjustment,
    AttemptOutcome,
    BackgroundJob,
    Condition,
    Phase,
    Priority,
    Reason,
    Status,
)
from bgjobs.domain.runtimes import Runtime, parse_runtimes

FAILED_ONCE = Status(
    phase=Phase.RETRYING,
    reason=Reason.BACKING_OFF,
    attempts=(attempt(),),
    attempts_total=1,
    retries_used=1,
)
IN_2999 = datetime(2999, 1, 1, tzinfo=UTC)
FAILED_IN_2999 = msgspec.structs.replace(FAILED_ONCE, attempts=(attempt(finish=IN_2999),))


def test_a_new_job_asks_for_its_first_attempt() -> None:
    decision = decide(see(background_job(priority=Priority.LOW)), CONFIG, NOW)
    start = decision.start
    assert start is not None
    assert (start.run, start.attempt, start.runtime.settings.image) == (1, 1, "shop:1")
    assert start.job_name.startswith("stock-")
    assert start.job_name.endswith("-1-1")
    candidate = start.candidate
    assert (candidate.uid, candidate.priority, candidate.by_hand) == (UID, Priority.LOW, False)
    assert (candidate.group, candidate.group_limit) == ("default", 0)


@pytest.mark.parametrize(
    ("limit", "why"),
    [
        (Limit.OPERATOR, "the operator runs as many jobs as it may, 7 (BGJOBS_MAX_CONCURRENT)"),
        (Limit.RUNTIME, "runtime default runs as many jobs as it may, 7 (maxConcurrent)"),
        (Limit.START_WINDOW, "7 pods are starting, as many as may at once (BGJOBS_START_WINDOW)"),
    ],
)
def test_a_waiting_job_says_what_it_waits_for(limit: Limit, why: str) -> None:
    seen = see(background_job(retries=2), blocked=Blocked(by=limit, limit=7))
    decision = decide(seen, CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.QUEUED)
    assert status.message == (
        f"Attempt 1 is queued by Medium priority: {why}. Raise startRequests by one to go first."
    )
    assert (status.effective_retries, status.effective_delay_seconds) == (2, 0)
    assert status.observed_generation == 3
    assert not decision.urgent


def test_an_allowed_job_is_accepted() -> None:
    accepted = condition(decide(see(background_job()), CONFIG, NOW).status, "Accepted")
    assert accepted is not None
    assert (accepted.status, accepted.reason) == ("True", "Allowed")


def test_a_runtimes_limit_goes_with_the_candidate() -> None:
    runtimes = parse_runtimes({"default": "image: a:1", "shop": "maxConcurrent: 2"})
    config = msgspec.structs.replace(CONFIG, runtimes=runtimes)
    start = decide(see(background_job()), config, NOW).start
    assert start is not None
    assert (start.candidate.group, start.candidate.group_limit) == ("shop", 2)


@pytest.mark.parametrize(
    ("spec", "starts_after"),
    [
        pytest.param({}, 0, id="no delay"),
        pytest.param({"delay_seconds": 15, "retries": 2}, 13, id="|15-2| by the server's time"),
        pytest.param(
            {"delay_seconds": 15, "retries": 2, "adjustment": Adjustment.DISABLED},
            15,
            id="as written",
        ),
        pytest.param({"start_at": NOW + seconds(60)}, 60, id="startAt"),
        pytest.param({"start_at": NOW - seconds(60)}, 0, id="startAt is past"),
    ],
)
def test_the_first_attempt_waits_for_its_delay(spec: dict[str, Any], starts_after: float) -> None:
    job = background_job(**spec)
    due = NOW + seconds(starts_after)
    assert decide(see(job), CONFIG, due).start is not None
    if starts_after:
        assert decide(see(job), CONFIG, due - timedelta(microseconds=1)).start is None


def test_a_delayed_job_says_when_it_starts_and_why_then() -> None:
    decision = decide(see(background_job(delay_seconds=15, retries=2)), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.DELAYED)
    assert status.message == ("Starts at 2030-01-31T12:00:13Z (13 s delay = |15 s - 2 retries|).")
    assert status.next_attempt_time == decision.look_again_at == NOW + seconds(13)


def test_start_at_is_shown_in_utc() -> None:
    start_at = datetime(2030, 1, 31, 15, 0, tzinfo=timezone(timedelta(hours=2)))
    status = decide(see(background_job(start_at=start_at)), CONFIG, NOW).status
    assert status.message == "Starts at 2030-01-31T13:00:00Z (startAt)."


@pytest.mark.parametrize(
    "job",
    [
        pytest.param(background_job(delay_seconds=900, start_requests=1), id="delay"),
        pytest.param(background_job(start_at=NOW + seconds(900), start_requests=1), id="startAt"),
        pytest.param(background_job(FAILED_ONCE, start_requests=1), id="backoff"),
        pytest.param(background_job(FAILED_IN_2999, start_requests=1), id="a finish set by hand"),
    ],
)
def test_a_start_request_skips_what_the_job_waits_for(job: BackgroundJob) -> None:
    start = decide(see(job), CONFIG, NOW).start
    assert start is not None
    assert start.candidate.by_hand


def test_a_start_by_hand_has_waited_since_the_creation_or_the_failure() -> None:
    for job in (background_job(delay_seconds=900), background_job(FAILED_ONCE)):
        job = after(job, Decision.keep(job.status), start_requests=1)
        start = decide(see(job), CONFIG, NOW + seconds(1)).start
        assert start is not None
        assert start.candidate.could_start_since == NOW


def test_a_wait_that_was_set_by_hand_is_told_of() -> None:
    status = decide(see(background_job(FAILED_IN_2999)), CONFIG, NOW).status
    assert status.reason is Reason.BACKING_OFF
    assert "Attempt 2 starts at 2999-" in status.message


def test_start_requests_that_by_hand_are_observed_before_they_are_made_count_when_made() -> None:
    status = msgspec.structs.replace(FAILED_ONCE, observed_start_requests=2**31 - 1)
    job = background_job(status)
    job = after(job, decide(see(job), CONFIG, NOW), start_requests=1)
    assert decide(see(job), CONFIG, NOW).start is not None


def test_a_rerun_waits_for_no_time_that_was_set_by_hand() -> None:
    late = Condition(
        type="Finished",
        status="False",
        reason="Retried",
        message="",
        last_transition_time=IN_2999,
        observed_generation=1,
    )
    job = background_job(Status(run=2, conditions=(late,)))
    assert decide(see(job), CONFIG, NOW).start is not None


def test_an_honoured_start_request_skips_nothing_again() -> None:
    status = msgspec.structs.replace(FAILED_ONCE, observed_start_requests=1)
    assert decide(see(background_job(status, start_requests=1)), CONFIG, NOW).start is None


def test_a_job_that_waits_in_the_queue_could_start_since_its_delay_was_over() -> None:
    start = decide(see(background_job(delay_seconds=13)), CONFIG, NOW + seconds(600)).start
    assert start is not None
    assert start.candidate.could_start_since == NOW + seconds(10)


@pytest.mark.parametrize(
    ("allowlist", "runtime", "spec", "reason", "says"),
    [
        pytest.param({}, Runtime(image="a"), {}, Reason.NOT_ALLOWED, CLASS, id="class"),
        pytest.param(
            {CLASS: frozenset({"other"})},
            Runtime(image="a"),
            {},
            Reason.NOT_ALLOWED,
            "Method handle",
            id="method",
        ),
        pytest.param(
            {CLASS: frozenset({"handle"})},
            Runtime(image="a", namespaces=["bar"]),
            {},
            Reason.NAMESPACE_NOT_ALLOWED,
            "not in shop",
            id="namespace",
        ),
        pytest.param(
            {CLASS: frozenset({"handle"})},
            Runtime(image="a"),
            {"parameters": {"a": "é" * 32_765}},
            Reason.PARAMETERS_TOO_LARGE,
            "65538 bytes",
            id="parameters, by the bytes of their JSON",
        ),
    ],
)
def test_what_is_not_allowed_is_rejected_for_good_and_says_why(
    allowlist: dict[str, frozenset[str]],
    runtime: Runtime,
    spec: dict[str, Any],
    reason: Reason,
    says: str,
) -> None:
    config = Configuration(allowlist=allowlist, runtimes=resolved({"default": runtime}))
    decision = decide(see(background_job(**spec)), config, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.REJECTED, reason)
    assert says in status.message
    assert decision.urgent
    assert decision.event is not None
    assert (decision.event.reason, decision.event.message) == ("Rejected", status.message)
    accepted, finished = condition(status, "Accepted"), condition(status, "Finished")
    assert accepted is not None
    assert finished is not None
    assert (accepted.status, accepted.reason) == ("False", str(reason))
    assert (finished.status, finished.reason) == ("True", "Rejected")
    assert status.completion_time == NOW


def test_parameters_of_just_the_limit_are_taken() -> None:
    job = background_job(parameters={"a": "é" * 32_764})
    assert decide(see(job), CONFIG, NOW).start is not None


def test_a_retry_is_checked_again() -> None:
    config = msgspec.structs.replace(CONFIG, allowlist={})
    status = decide(see(background_job(FAILED_ONCE)), config, NOW + seconds(60)).status
    assert (status.phase, status.attempts_total) == (Phase.REJECTED, 1)


@pytest.mark.parametrize(
    "config",
    [
        Configuration(problems={"bgjobs-allowlist": "it does not exist"}),
        Configuration(
            allowlist=CONFIG.allowlist, problems={"bgjobs-allowlist": "it does not exist"}
        ),
        Configuration(runtimes=CONFIG.runtimes, problems={"bgjobs-allowlist": "it does not exist"}),
    ],
    ids=["neither", "no runtimes", "no allowlist"],
)
def test_without_a_good_configuration_jobs_wait_and_none_is_rejected(config: Configuration) -> None:
    status = decide(see(background_job()), config, NOW).status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.CONFIGURATION_INVALID)
    assert "ConfigMap bgjobs-allowlist: it does not exist" in status.message


def test_a_problem_beside_a_good_configuration_holds_nothing() -> None:
    config = msgspec.structs.replace(CONFIG, problems={"bgjobs-runtimes": "broken"})
    assert decide(see(background_job()), config, NOW).start is not None


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        (msgspec.structs.replace(CONFIG, allowlist={}), Reason.NOT_ALLOWED),
        (Configuration(), Reason.CONFIGURATION_INVALID),
        (
            msgspec.structs.replace(
                CONFIG, runtimes=resolved({"default": Runtime(image="a", paused="x")})
            ),
            Reason.PAUSED,
        ),
    ],
)
def test_a_delayed_job_says_at_once_what_else_is_in_its_way(
    config: Configuration, reason: Reason
) -> None:
    assert decide(see(background_job(delay_seconds=900)), config, NOW).status.reason is reason


def test_a_paused_runtime_holds_its_jobs_visibly() -> None:
    config = msgspec.structs.replace(
        CONFIG, runtimes=resolved({"default": Runtime(image="a", paused="the shop moves")})
    )
    decision = decide(see(background_job()), config, NOW)
    assert (decision.status.phase, decision.status.reason) == (Phase.PENDING, Reason.PAUSED)
    assert decision.status.message == (
        "Runtime default is paused until platform engineers take `paused` out of its key in "
        "ConfigMap bgjobs-runtimes: the shop moves"
    )
    assert decision.start is None


def test_a_text_of_any_length_fits_the_status() -> None:
    config = msgspec.structs.replace(
        CONFIG, runtimes=resolved({"default": Runtime(image="a", paused="x" * 5000)})
    )
    message = decide(see(background_job()), config, NOW).status.message
    assert (len(message), message[-1]) == (1024, "…")


def test_a_rejection_of_any_length_fits_the_status() -> None:
    namespaces = [f"namespace-{n}" for n in range(500)]
    config = msgspec.structs.replace(
        CONFIG, runtimes=resolved({"default": Runtime(image="a", namespaces=namespaces)})
    )
    status = decide(see(background_job()), config, NOW).status
    assert len(status.message) == 1024
    assert [len(c.message) for c in status.conditions] == [1024, 1024]


REFUSAL = Refusal(
    reason=Reason.QUOTA_EXCEEDED,
    message="exceeded quota: jobs",
    retry_at=NOW + seconds(30),
    tries=1,
)


def test_a_refused_start_waits_and_says_what_the_api_server_said() -> None:
    decision = decide(see(background_job(), refusal=REFUSAL), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.QUOTA_EXCEEDED)
    assert status.message == "exceeded quota: jobs"
    assert (decision.start, decision.look_again_at) == (None, REFUSAL.retry_at)
    assert status.retries_used == 0


def test_a_refused_start_is_tried_again_at_its_time() -> None:
    seen = see(background_job(), refusal=REFUSAL)
    assert decide(seen, CONFIG, REFUSAL.retry_at).start is not None


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (None, "Cancelled before attempt 1 started."),
        ("a mistake", "Cancelled (a mistake) before attempt 1 started."),
    ],
)
def test_a_cancel_before_the_start_ends_the_job_without_an_attempt(
    reason: str | None, message: str
) -> None:
    job = background_job(cancelled=True, cancel_reason=reason, delay_seconds=900)
    decision = decide(see(job), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.CANCELLED, Reason.CANCELLED)
    assert (status.message, status.attempts_total) == (message, 0)
    assert (decision.start, decision.stop, decision.urgent) == (None, None, True)


@pytest.mark.parametrize("config", [Configuration(), msgspec.structs.replace(CONFIG, allowlist={})])
def test_a_cancel_needs_neither_configuration_nor_allowlist(config: Configuration) -> None:
    job = background_job(cancelled=True)
    assert decide(see(job), config, NOW).status.phase is Phase.CANCELLED


def test_a_suspended_job_waits_until_it_is_resumed() -> None:
    decision = decide(see(background_job(suspend=True)), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.SUSPENDED)
    assert decision.start is None
    resumed = after(background_job(suspend=True), decision, suspend=False)
    assert decide(see(resumed), CONFIG, NOW).start is not None


def test_a_cancel_counts_though_the_job_is_suspended() -> None:
    job = background_job(suspend=True, cancelled=True)
    assert decide(see(job), CONFIG, NOW).status.phase is Phase.CANCELLED


def test_a_job_that_backs_off_says_when_the_next_attempt_starts() -> None:
    decision = decide(see(background_job(FAILED_ONCE)), CONFIG, NOW)
    status = decision.status
    assert (status.phase, status.reason) == (Phase.RETRYING, Reason.BACKING_OFF)
    assert status.message.startswith("Attempt 1 failed with exit code 1. Attempt 2 starts at 2030-")
    assert status.next_attempt_time == decision.look_again_at
    assert decision.look_again_at is not None
    assert seconds(4.5) <= decision.look_again_at - NOW <= seconds(5.5)


@pytest.mark.parametrize("hold", ["suspend", "paused", "configuration"])
def test_a_deferred_job_keeps_its_time_while_it_is_held(hold: str) -> None:
    due = NOW + seconds(900)
    status = Status(
        attempts=(attempt(AttemptOutcome.DEFERRED),),
        attempts_total=1,
        deferrals=1,
        next_attempt_time=due,
    )
    job = background_job(status, suspend=hold == "suspend")
    paused = msgspec.structs.replace(
        CONFIG, runtimes=resolved({"default": Runtime(image="a", paused="x")})
    )
    config = {"suspend": CONFIG, "paused": paused, "configuration": Configuration()}[hold]
    held = after(job, decide(see(job), config, NOW), suspend=False)
    assert decide(see(held), CONFIG, due - seconds(1)).start is None
    assert decide(see(held), CONFIG, due).start is not None


def test_retries_lowered_below_those_used_end_the_job() -> None:
    status = msgspec.structs.replace(FAILED_ONCE, retries_used=2)
    later = NOW + seconds(3600)
    status = decide(see(background_job(status, retries=1)), CONFIG, later).status
    assert (status.phase, status.reason) == (Phase.FAILED, Reason.ERROR)
    assert "No retry is left after a change of the spec (1 retries)" in status.message
    assert status.completion_time == later


def test_retries_lowered_to_those_used_leave_the_retry_that_is_due() -> None:
    job = background_job(FAILED_ONCE, retries=1)
    assert decide(see(job), CONFIG, NOW + seconds(60)).start is not None


@pytest.mark.parametrize(
    "spec", [{}, {"cancelled": True}, {"suspend": True}], ids=["plain", "cancelled", "suspended"]
)
def test_a_job_that_is_being_deleted_is_left_alone(spec: dict[str, Any]) -> None:
    job = background_job(deletion_timestamp=NOW, **spec)
    decision = decide(see(job), CONFIG, NOW)
    assert (decision.status, decision.start, decision.stop) == (job.status, None, None)


def test_while_the_allowlist_is_broken_a_class_it_may_allow_waits() -> None:
    problems = {"bgjobs-allowlist": "key 'shop' is no class"}
    config = msgspec.structs.replace(CONFIG, allowlist={}, problems=problems)
    status = decide(see(background_job()), config, NOW).status
    assert (status.phase, status.reason) == (Phase.PENDING, Reason.CONFIGURATION_INVALID)
    assert "key 'shop' is no class" in status.message
