"""Explain tells the true cause, the next time where there is one, and what changes it."""

import contextlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from tests import operating, watching
from tests import server as api
from tests.operating import LEASE, Operator
from tests.plugin import commands, explain, in_shell
from tests.server import Jobs
from tests.watching import (
    allow,
    change,
    child_jobs,
    phase,
    reason,
    set_key,
    submit,
    wait,
    wait_finished,
)

from bgjobs.domain.names import child_job_name
from bgjobs.domain.queue_report import ANNOTATION, decode

_HOUR = [{"lasts": "1h"}]
_EDIT_RUNTIMES = "kubectl edit configmap bgjobs-runtimes -n bgjobs-system"


def _told(jobs: Jobs, operator: Operator, **more: int) -> None:
    """Returns once the leader has told of its queue as it is now."""
    gauges = {"running": "running", "waiting": "waiting", "starting": "start_window"}
    now = {each: operating.metric(operator, f"bgjobs_{gauge}") for each, gauge in gauges.items()}
    expected, told = now | more, {}

    def is_told() -> bool:
        annotations = api.request(jobs.server, "GET", LEASE).body["metadata"]["annotations"]
        told.update(msgspec.structs.asdict(decode(annotations[ANNOTATION])))
        return told.items() >= expected.items()

    api.wait_until(is_told, lambda: f"the Lease tells {told}, not {expected}", within_s=10)


def _patch(jobs: Jobs, name: str, spec: str) -> str:
    patch = f"'{{\"spec\":{{{spec}}}}}'"
    return f"kubectl patch bgjob {name} -n {jobs.namespace} --type=merge -p {patch}"


def _by(jobs: Jobs, verb: str, name: str, spec: str) -> list[str]:
    return [f"kubectl bgjob {verb} {name} -n {jobs.namespace}", _patch(jobs, name, spec)]


def _start(jobs: Jobs, name: str) -> list[str]:
    return _by(jobs, "start", name, '"startRequests":1')


def _next(explanation: Any) -> datetime:
    return datetime.fromisoformat(explanation["next"]["time"])


def test_delayed(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay=3600, retries=2)
    created = datetime.fromisoformat(
        wait(jobs, name, reason("Delayed"))["metadata"]["creationTimestamp"]
    )
    explanation = explain(jobs, name)
    assert explanation["reason"] == "Delayed"
    assert "3598 s delay = |3600 s - 2 retries|" in explanation["cause"]
    assert _next(explanation) - created == timedelta(seconds=3598)
    assert commands(explanation) == _start(jobs, name)


def test_start_at(jobs: Jobs, name: str) -> None:
    submit(jobs, name, startAt="2090-01-31T06:00:00Z")
    explanation = explain(jobs, name)
    assert explanation["cause"] == "Starts at 2090-01-31T06:00:00Z (startAt)."
    assert explanation["next"]["time"] == "2090-01-31T06:00:00Z"
    assert commands(explanation) == _start(jobs, name)


@contextlib.contextmanager
def _full(jobs: Jobs, name: str, operator: Operator, **settings: str) -> Iterator[None]:
    """An operator whose only place is taken."""
    with operating.restarted(operator, BGJOBS_MAX_CONCURRENT="1", **settings):
        submit(jobs, f"{name}-holder", pods=_HOUR)
        wait(jobs, f"{name}-holder", phase("Running"))
        yield
        change(jobs, f"{name}-holder", cancelled=True)
        wait_finished(jobs, f"{name}-holder")


def _queue(jobs: Jobs, name: str, priority: str) -> None:
    """Submits a job; returns once the operator has said that it is full."""
    submit(jobs, name, priority=priority)
    wait(jobs, name, lambda job: "the operator runs" in job["status"]["message"])


def test_queued_behind_higher_priority(jobs: Jobs, name: str, operator: Operator) -> None:
    with _full(jobs, name, operator):
        _queue(jobs, name, "Low")
        _queue(jobs, f"{name}-urgent", "High")
        _told(jobs, operator, max_concurrent=1)
        explanation = explain(jobs, name)
        urgent = explain(jobs, f"{name}-urgent")
    for each in (name, f"{name}-urgent"):
        wait_finished(jobs, each)
    assert "the operator runs as many jobs as it may, 1" in explanation["cause"]
    assert "1 job is ahead: 1 of High priority." in explanation["cause"]
    queue = explanation["queue"]
    assert (queue["place"], queue["waiting"]) == (2, 2)
    assert queue["ahead"] == [{"job": f"{jobs.namespace}/{name}-urgent", "why": "High priority"}]
    assert urgent["queue"]["place"] == 1
    assert explanation["next"]["what"] == "it has a claim to every fourth start"
    assert commands(explanation) == [
        *_start(jobs, name),
        _patch(jobs, name, '"priority":"High"'),
        "kubectl set env deployment/bgjobs-operator BGJOBS_MAX_CONCURRENT=2 -n bgjobs-system",
    ]


def test_waiting_for_a_fourth_start(jobs: Jobs, name: str, operator: Operator) -> None:
    """Without any ageing, every fourth start goes to the job that came first."""
    with _full(jobs, name, operator, BGJOBS_AGEING_SECONDS="0"):
        _queue(jobs, name, "Low")
        for number in range(4):
            _queue(jobs, f"{name}-urgent-{number}", "High")
        # The holder's start was one by rank.
        _told(jobs, operator, max_concurrent=1, ageing_seconds=0, starts_since_aged=1)
        explanation = explain(jobs, name)
        last = explain(jobs, f"{name}-urgent-3")
    assert explanation["queue"]["place"] == 3
    assert explanation["queue"]["startsUntilFourth"] == 3
    assert "Every fourth start goes to the job that has waited longest" in explanation["notes"][0]
    assert last["queue"]["aheadByReason"] == {"waits longer": 3, "fourth start": 1}
    started = {
        each: wait_finished(jobs, each)["status"]["startTime"]
        for each in (name, *(f"{name}-urgent-{number}" for number in range(4)))
    }
    assert started[name] <= started[f"{name}-urgent-2"] <= started[f"{name}-urgent-3"]


def test_class_limit(jobs: Jobs, name: str, operator: Operator) -> None:
    class_ = "limited.jobs.Job"
    allow(jobs, class_)
    set_key(jobs.server, "bgjobs-runtimes", class_, "maxConcurrent: 1")
    uid = submit(jobs, f"{name}-holder", class_=class_, pods=_HOUR)
    api.wait_until(
        lambda: bool(child_jobs(jobs, uid)), lambda: f"{name}-holder has no child Job", within_s=10
    )
    submit(jobs, name, class_=class_)
    # Before the holder's status tells that it has begun.
    assert f"runtime {class_} runs as many jobs as it may, 1" in explain(jobs, name)["cause"]
    wait(jobs, f"{name}-holder", phase("Running"))
    wait(jobs, name, lambda job: "maxConcurrent" in job["status"]["message"])
    _told(jobs, operator)
    explanation = explain(jobs, name)
    assert f"runtime {class_} runs as many jobs as it may, 1" in explanation["cause"]
    assert f"It is the next of runtime {class_} to start." in explanation["cause"]
    assert commands(explanation) == [*_start(jobs, name), _EDIT_RUNTIMES]
    change(jobs, f"{name}-holder", cancelled=True)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_start_window(jobs: Jobs, name: str, operator: Operator) -> None:
    """A pod that does not start stays in the window of one for 10 s."""
    with operating.restarted(operator, BGJOBS_START_WINDOW="1"):
        waiting = {"reason": "ContainerCreating", "message": ""}
        submit(jobs, f"{name}-first", parameters={"waiting": waiting}, retries=0)
        wait(jobs, f"{name}-first", reason("Starting"))
        submit(jobs, name)
        wait(jobs, name, lambda job: "BGJOBS_START_WINDOW" in job["status"]["message"])
        _told(jobs, operator, start_window=1, starting=1)
        explanation = explain(jobs, name)
        assert "1 pods are starting, as many as may at once" in explanation["cause"]
        assert commands(explanation)[:2] == _start(jobs, name)
        assert operating.metric(operator, "bgjobs_start_window_size") == 1
        change(jobs, f"{name}-first", cancelled=True)
        assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_suspended(jobs: Jobs, name: str) -> None:
    submit(jobs, name, suspend=True)
    explanation = explain(jobs, name)
    assert explanation["reason"] == "Suspended"
    assert commands(explanation) == _by(jobs, "resume", name, '"suspend":false')


def test_paused_by_a_prefix(jobs: Jobs, name: str) -> None:
    class_ = "held.jobs.Job"
    allow(jobs, class_)
    set_key(jobs.server, "bgjobs-runtimes", "held", 'paused: "the warehouse is being moved"')
    submit(jobs, name, class_=class_)
    wait(jobs, name, reason("Paused"))
    explanation = explain(jobs, name)
    assert explanation["cause"] == (
        "Runtime held is paused until platform engineers take `paused` out of its key in "
        "ConfigMap bgjobs-runtimes: the warehouse is being moved"
    )
    assert commands(explanation) == ["kubectl bgjob unpause held", _EDIT_RUNTIMES]
    set_key(jobs.server, "bgjobs-runtimes", "held", None)


def test_backing_off(jobs: Jobs, name: str) -> None:
    hour = {"seconds": 3600, "factor": 1, "maxSeconds": 3600}
    submit(jobs, name, pods=[{"exitCode": 1}], backoff=hour)
    due = wait(jobs, name, reason("BackingOff"))["status"]["nextAttemptTime"]
    explanation = explain(jobs, name)
    assert explanation["cause"].startswith("Attempt 1 of 4 failed with exit code 1")
    assert _next(explanation) == datetime.fromisoformat(due)
    assert explanation["attempts"]["inThisRun"] == 1
    assert [a["exitCode"] for a in explanation["attempts"]["latest"]] == [1]
    assert commands(explanation) == _start(jobs, name)


@pytest.mark.parametrize(
    ("waiting", "want", "first"),
    [
        pytest.param(
            {"reason": "ImagePullBackOff", "message": "no such image: shop:1"},
            "ImagePullBackOff",
            _EDIT_RUNTIMES,
            id="image cannot be pulled",
        ),
        pytest.param(
            {"reason": "CreateContainerConfigError", "message": 'secret "vault" not found'},
            "ContainerConfigError",
            "kubectl get secrets,configmaps -n integration",
            id="missing Secret",
        ),
    ],
)
def test_a_pod_that_does_not_start(
    jobs: Jobs, name: str, waiting: dict[str, str], want: str, first: str
) -> None:
    submit(jobs, name, parameters={"waiting": waiting})
    wait(jobs, name, reason(want))
    explanation = explain(jobs, name)
    assert explanation["reason"] == want
    assert waiting["message"] in explanation["cause"]
    assert explanation["next"]["what"] == "the attempt is given up (pendingDeadlineSeconds)"
    assert commands(explanation)[0] == first
    change(jobs, name, cancelled=True)


def test_unschedulable(jobs: Jobs, name: str) -> None:
    class_ = "homeless.jobs.Job"
    allow(jobs, class_)
    set_key(jobs.server, "bgjobs-runtimes", class_, "nodeSelector: {disk: none-such}")
    uid = submit(jobs, name, class_=class_)
    wait(jobs, name, reason("Unschedulable"))
    explanation = explain(jobs, name)
    assert "node(s) didn't match Pod's node affinity/selector" in explanation["cause"]
    assert explanation["next"]["what"] == "the attempt is given up (pendingDeadlineSeconds)"
    assert commands(explanation)[:2] == [
        f"kubectl describe pod -l bgjobs.dev/uid={uid} -n {jobs.namespace}",
        _EDIT_RUNTIMES,
    ]
    for number, command in enumerate(commands(explanation)[2:], start=1):
        done = in_shell(jobs.server, command)
        assert done.returncode == 0, done.stderr
        replaced = wait(jobs, name, _has_under_way(number + 1))["status"]
        assert [each["outcome"] for each in replaced["attempts"]] == ["Suspended"] * number
    change(jobs, name, cancelled=True)


def _has_under_way(attempt: int) -> Callable[[Any], bool]:
    return lambda job: job["status"].get("jobRef", {}).get("attempt") == attempt


def test_out_of_memory(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"exitCode": 137, "reason": "OOMKilled"}], retries=0)
    wait_finished(jobs, name)
    explanation = explain(jobs, name)
    assert explanation["reason"] == "OOMKilled"
    assert "was killed for using more memory than its limit of 256Mi" in explanation["cause"]
    retry = _by(jobs, "retry", name, '"retryRequests":1')
    assert commands(explanation) == [_EDIT_RUNTIMES, *retry]


def test_exit_64(jobs: Jobs, name: str) -> None:
    submit(jobs, name, pods=[{"exitCode": 64}])
    wait_finished(jobs, name)
    explanation = explain(jobs, name)
    assert explanation["reason"] == "NotInImage"
    assert "This exit code ends retrying." in explanation["cause"]
    retry = _by(jobs, "retry", name, '"retryRequests":1')
    assert commands(explanation) == [_EDIT_RUNTIMES, *retry]


def test_removed_from_the_allowlist(jobs: Jobs, name: str) -> None:
    class_ = "gone.jobs.Job"
    allow(jobs, class_)
    submit(jobs, name, class_=class_, delay=2, adjustment="Disabled")
    set_key(jobs.server, "bgjobs-allowlist", class_, None)
    wait_finished(jobs, name)
    explanation = explain(jobs, name)
    assert (explanation["phase"], explanation["reason"]) == ("Rejected", "NotAllowed")
    assert f"Class {class_} is not in the allowlist" in explanation["cause"]
    retry = _by(jobs, "retry", name, '"retryRequests":1')
    edit = "kubectl edit configmap bgjobs-allowlist -n bgjobs-system"
    assert commands(explanation) == [edit, *retry]


def test_broken_runtimes(jobs: Jobs, name: str, operator: Operator) -> None:
    operating.kill(operator)
    set_key(jobs.server, "bgjobs-runtimes", "broken", "imagee: other:1")
    try:
        operating.start(operator)
        submit(jobs, name)
        wait(jobs, name, reason("ConfigurationInvalid"))
        explanation = explain(jobs, name)
    finally:
        set_key(jobs.server, "bgjobs-runtimes", "broken", None)
    assert "ConfigMap bgjobs-runtimes: key 'broken'" in explanation["cause"]
    assert commands(explanation) == [_EDIT_RUNTIMES]
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


def test_runtimes_broken_while_the_last_good_ones_are_in_force(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    wait(jobs, name, reason("Delayed"))
    set_key(jobs.server, "bgjobs-runtimes", "broken", "imagee: other:1")
    try:
        explanation = explain(jobs, name)
    finally:
        set_key(jobs.server, "bgjobs-runtimes", "broken", None)
    assert explanation["reason"] == "Delayed"
    assert (
        "the last good one, which only the operator knows, is in force" in (explanation["notes"][0])
    )


def test_a_foreign_job_of_its_name(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, suspend=True)
    foreign = child_job_name(name, uid, 1, 1)
    container = {"name": "other", "image": "other:1"}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    body = {"metadata": {"name": foreign}, "spec": {"suspend": True, "template": template}}
    assert api.request(jobs.server, "POST", watching.jobs_path(jobs), body).status == 201
    change(jobs, name, suspend=False)
    wait(jobs, name, reason("AdoptionConflict"))
    explanation = explain(jobs, name)
    assert f"A Job named {foreign} exists" in explanation["cause"]
    assert explanation["next"]["what"] == "attempt 1 is tried again"
    assert commands(explanation) == [f"kubectl delete job {foreign} -n {jobs.namespace}"]
    change(jobs, name, cancelled=True)


def test_cancelling(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, pods=_HOUR)
    wait(jobs, name, phase("Running"))
    [pod] = watching.pods(jobs, uid)
    path = f"{watching.pods_path(jobs)}/{pod['metadata']['name']}"
    _set_finalizers(jobs, path, ["test.bgjobs.dev/lingers"])
    change(jobs, name, cancelled=True, cancelReason="no longer wanted")
    wait(jobs, name, phase("Cancelling"))
    api.await_true(
        "the pod is told to end",
        lambda: "deletionTimestamp" in api.request(jobs.server, "GET", path).body["metadata"],
    )
    explanation = explain(jobs, name)
    assert "Being cancelled (no longer wanted)" in explanation["cause"]
    assert explanation["next"]["what"] == "its pod is killed if it has not ended"
    assert commands(explanation) == [
        f"kubectl describe pod -l bgjobs.dev/uid={uid} -n {jobs.namespace}"
    ]
    _set_finalizers(jobs, path, None)
    assert wait_finished(jobs, name)["status"]["phase"] == "Cancelled"


def _set_finalizers(jobs: Jobs, path: str, finalizers: list[str] | None) -> None:
    body = {"metadata": {"finalizers": finalizers}}
    answer = api.request(
        jobs.server, "PATCH", path, body, content_type="application/merge-patch+json"
    )
    assert answer.status == 200, answer.message


def test_quota(jobs: Jobs) -> None:
    tight = watching.new_namespace(jobs.server, "explain-quota")
    path = f"/api/v1/namespaces/{tight.namespace}/resourcequotas"
    quota = {"metadata": {"name": "no-jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}}
    assert api.request(jobs.server, "POST", path, quota).status == 201
    api.await_true(
        "the quota is in force",
        lambda: "hard" in api.request(jobs.server, "GET", f"{path}/no-jobs").body["status"],
    )
    submit(tight, "held")
    wait(tight, "held", reason("QuotaExceeded"))
    explanation = explain(tight, "held")
    assert "exceeded quota: no-jobs" in explanation["cause"]
    assert explanation["next"]["what"] == "attempt 1 is tried again"
    assert commands(explanation) == [f"kubectl describe resourcequota -n {tight.namespace}"]


def test_the_operator_is_not_running(jobs: Jobs, name: str, operator: Operator) -> None:
    operating.kill(operator)
    try:
        submit(jobs, name)
        renewed = datetime.now(UTC) - timedelta(hours=2)
        long_ago = {"spec": {"renewTime": f"{renewed:%Y-%m-%dT%H:%M:%S.%fZ}"}}
        merge = "application/merge-patch+json"
        answer = api.request(jobs.server, "PATCH", LEASE, long_ago, content_type=merge)
        assert answer.status == 200, answer.message
        explanation = explain(jobs, name)
    finally:
        operating.start(operator)
    assert explanation["cause"].startswith(
        f"The operator is not running (its lease was last renewed at {renewed:%Y-%m-%dT%H:%M:%SZ})."
    )
    assert commands(explanation) == [
        "kubectl get pods -n bgjobs-system",
        "kubectl logs deployment/bgjobs-operator --previous -n bgjobs-system",
    ]
