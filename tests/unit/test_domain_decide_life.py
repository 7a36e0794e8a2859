"""Whatever is observed, and in whatever order, a job's record only grows."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.builders import (
    CONFIG,
    NOW,
    after,
    background_job,
    child_job,
    pod,
    resolved,
    seconds,
    see,
)

from bgjobs.domain.configuration import Configuration
from bgjobs.domain.decide import decide
from bgjobs.domain.decision import Decision
from bgjobs.domain.observation import Observation, PodPhase, Waiting
from bgjobs.domain.resource import Priority, Spec, render_status
from bgjobs.domain.runtimes import Runtime


def change(**fields: Any) -> Callable[[Spec], Spec]:
    return lambda spec: msgspec.structs.replace(spec, **fields)


def start_request(spec: Spec) -> Spec:
    return msgspec.structs.replace(spec, start_requests=spec.start_requests + 1)


def retry_request(spec: Spec) -> Spec:
    return msgspec.structs.replace(spec, retry_requests=spec.retry_requests + 1, cancelled=False)


USERS = st.sampled_from(
    [
        change(),
        change(),
        change(cancelled=True),
        change(suspend=True),
        change(suspend=False),
        start_request,
        retry_request,
        change(retries=0),
        change(retries=5),
        change(priority=Priority.LOW),
        change(pending_deadline_seconds=0),
    ]
)
CHILDREN = st.fixed_dictionaries(
    {
        "failed_message": st.sampled_from([None, None, "exit code 66", "DisruptionTarget"]),
        "succeeded": st.sampled_from([False, False, True]),
        "deleted_at": st.sampled_from([None, None, None, NOW + seconds(3), NOW + seconds(30)]),
        "gone": st.booleans(),
    }
)
PODS = st.fixed_dictionaries(
    {
        "phase": st.sampled_from(PodPhase),
        "started": st.sampled_from([None, NOW, NOW + seconds(500)]),
        "finished": st.sampled_from([None, NOW + seconds(5)]),
        "exit_code": st.sampled_from([None, 0, 1, 64, 75, 137]),
        "termination_message": st.sampled_from(["", '{"retryAfterSeconds": 1e9}', "[", "\0"]),
        "disruption": st.sampled_from([None, None, "Drained"]),
        "reason": st.sampled_from([None, "DeadlineExceeded"]),
        "waiting": st.sampled_from([None, Waiting(reason="ErrImagePull", message="x" * 2000)]),
        "gone": st.booleans(),
    }
)
CONFIGS = st.sampled_from(
    [
        CONFIG,
        CONFIG,
        CONFIG,
        Configuration(problems={"bgjobs-runtimes": "broken"}),
        msgspec.structs.replace(CONFIG, allowlist={}),
        msgspec.structs.replace(
            CONFIG, runtimes=resolved({"default": Runtime(image="a", paused="x")})
        ),
    ]
)
STEPS = st.tuples(
    USERS,
    st.none() | CHILDREN,
    st.none() | PODS,
    CONFIGS,
    st.sampled_from([0, 1, 20, 400]),
    st.booleans(),
)


class Step(msgspec.Struct, frozen=True):
    seen: Observation
    config: Configuration
    now: datetime
    decision: Decision


def life(delay: int, steps: list[Any]) -> list[Step]:
    """A job's life: its child Job and pod are always those of the current attempt."""
    job, now, lived = background_job(retries=2, delay_seconds=delay), NOW, []
    for user, child, pod_, config, elapsed, written in steps:
        now += seconds(elapsed)
        job = msgspec.structs.replace(job, spec=user(job.spec))
        number = (job.status.run, job.status.next_attempt)
        seen = see(
            job,
            None if child is None else child_job(*number, **child),
            None if pod_ is None else pod(run=number[0], attempt=number[1], **pod_),
        )
        decision = decide(seen, config, now)
        lived.append(Step(seen, config, now, decision))
        # A status that records nothing may never be written.
        if decision.urgent or written:
            job = after(job, decision)
    return lived


LIVES = st.builds(life, st.sampled_from([0, 30]), st.lists(STEPS, min_size=1, max_size=25))


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_a_finished_job_stays_as_it_is_unless_a_retry_is_asked_for(lived: list[Step]) -> None:
    for step in lived:
        job, before = step.seen.job, step.seen.job.status
        asked = job.spec.retry_requests > before.observed_retry_requests
        if before.finished and not (asked and not job.spec.cancelled):
            assert step.decision == Decision.keep(before)


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_what_is_recorded_only_grows_and_is_written_at_once(lived: list[Step]) -> None:
    for step in lived:
        before, after_ = step.seen.job.status, step.decision.status
        recorded = after_.attempts_total - before.attempts_total
        assert recorded in (0, 1)
        assert after_.run >= before.run
        assert after_.run > before.run or after_.retries_used >= before.retries_used
        if recorded or after_.finished != before.finished:
            assert step.decision.urgent


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_at_most_one_attempt_is_under_way(lived: list[Step]) -> None:
    for step in lived:
        starts, stops = step.decision.start, step.decision.stop
        assert starts is None or (stops is None and step.seen.child is None)
        if step.decision.status.finished:
            assert (starts, stops) == (None, None)


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_the_api_server_takes_every_status(lived: list[Step]) -> None:
    for step in lived:
        status = step.decision.status
        texts = [status.message, *(c.message for c in status.conditions)]
        texts += [a.message for a in status.attempts]
        assert max(map(len, texts)) <= 1024
        assert len(status.attempts) <= 10
        assert status.finished == (status.completion_time is not None)
        orjson.dumps(render_status(status))


@given(LIVES)
@settings(max_examples=100, deadline=None)
def test_the_same_observation_gives_the_same_decision(lived: list[Step]) -> None:
    for step in lived:
        assert decide(step.seen, step.config, step.now) == step.decision


def test_these_lives_reach_what_they_are_about() -> None:
    """A property of jobs that never start or end would hold of nothing."""
    reached = set()

    @given(LIVES)
    @settings(max_examples=100, deadline=None, database=None, derandomize=True)
    def live(lived: list[Step]) -> None:
        for step in lived:
            reached.add(str(step.decision.status.phase))
            reached.add("start" if step.decision.start else "")
            reached.add("stop" if step.decision.stop else "")
            reached.add("rerun" if step.decision.status.run > 1 else "")

    live()
    phases = {"Running", "Retrying", "Succeeded", "Failed", "Cancelled", "Rejected"}
    assert phases | {"start", "stop", "rerun"} <= reached
