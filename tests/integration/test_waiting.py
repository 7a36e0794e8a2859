"""What a job may have to wait for, and how that ends."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests import operating, watching
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs, Server
from tests.watching import (
    allow,
    change,
    child_jobs,
    jobs_path,
    phase,
    pods,
    pods_path,
    reason,
    set_key,
    submit,
    wait,
    wait_event,
    wait_finished,
)

from bgjobs.domain.names import child_job_name


def _started_after(job: Any) -> float:
    """Seconds from the job's creation to its first attempt, both cut to whole seconds."""
    start = datetime.fromisoformat(job["status"]["attempts"][0]["start"])
    return (start - datetime.fromisoformat(job["metadata"]["creationTimestamp"])).total_seconds()


def test_a_delay_counts_from_creation_and_is_adjusted_by_the_retries(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay=6, retries=3)
    waiting = wait(jobs, name, reason("Delayed"))
    due = datetime.fromisoformat(waiting["status"]["nextAttemptTime"])
    created = datetime.fromisoformat(waiting["metadata"]["creationTimestamp"])
    assert due - created == timedelta(seconds=3)
    assert "|6 s - 3 retries|" in waiting["status"]["message"]
    assert 3 <= _started_after(wait_finished(jobs, name)) <= 5


def test_start_at_holds_a_job_until_then(jobs: Jobs, name: str) -> None:
    when = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=4)
    submit(jobs, name, startAt=when.isoformat().replace("+00:00", "Z"))
    assert (
        datetime.fromisoformat(wait(jobs, name, reason("Delayed"))["status"]["nextAttemptTime"])
        == when
    )
    start = wait_finished(jobs, name)["status"]["attempts"][0]["start"]
    assert datetime.fromisoformat(start) >= when


def test_a_start_request_skips_the_delay(jobs: Jobs, name: str) -> None:
    submit(jobs, name, delay="1h")
    wait(jobs, name, reason("Delayed"))
    change(jobs, name, startRequests=1)
    job = wait_finished(jobs, name)
    assert job["status"]["phase"] == "Succeeded"
    assert job["status"]["observedStartRequests"] == 1


def test_a_start_request_skips_one_backoff_only(jobs: Jobs, name: str) -> None:
    hour = {"seconds": 3600, "factor": 1, "maxSeconds": 3600}
    submit(jobs, name, pods=[{"exitCode": 1}], backoff=hour)
    wait(jobs, name, reason("BackingOff"))
    change(jobs, name, startRequests=1)
    again = wait(jobs, name, lambda job: job["status"]["attemptsTotal"] == 2)
    assert (again["status"]["phase"], again["status"]["reason"]) == ("Retrying", "BackingOff")


def test_a_paused_runtime_holds_its_jobs_and_says_why(jobs: Jobs, name: str) -> None:
    class_ = "paused.jobs.Job"
    allow(jobs, class_)
    set_key(jobs.server, "bgjobs-runtimes", class_, 'paused: "the warehouse is being moved"')
    submit(jobs, name, class_=class_)
    waiting = wait(jobs, name, reason("Paused"))
    assert "the warehouse is being moved" in waiting["status"]["message"]
    set_key(jobs.server, "bgjobs-runtimes", class_, None)
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"


@pytest.fixture
def one_at_a_time(operator: Operator) -> Iterator[None]:
    with operating.restarted(operator, BGJOBS_MAX_CONCURRENT="1"):
        yield


@pytest.mark.usefixtures("one_at_a_time")
def test_urgent_jobs_start_first(jobs: Jobs, name: str) -> None:
    """Each runs for longer than a second, so that the times of their starts differ."""
    submit(jobs, f"{name}-first", pods=[{"lasts": "3s"}])
    wait(jobs, f"{name}-first", phase("Running"))
    for priority in ("Low", "Medium", "High"):
        submit(jobs, f"{name}-{priority}".lower(), pods=[{"lasts": "1100ms"}], priority=priority)
    wait(jobs, f"{name}-low", reason("Queued"))
    high, medium, low = (
        wait_finished(jobs, f"{name}-{priority}")["status"]["startTime"]
        for priority in ("high", "medium", "low")
    )
    assert high < medium < low


@pytest.mark.usefixtures("one_at_a_time")
def test_a_queued_job_can_be_made_urgent_or_be_held(jobs: Jobs, name: str) -> None:
    submit(jobs, f"{name}-first", pods=[{"lasts": "3s"}])
    wait(jobs, f"{name}-first", phase("Running"))
    uids = {}
    for each in ("held", "medium", "urgent"):
        uids[each] = submit(jobs, f"{name}-{each}", pods=[{"lasts": "1100ms"}])
        wait(jobs, f"{name}-{each}", reason("Queued"))
    change(jobs, f"{name}-urgent", priority="High")
    change(jobs, f"{name}-held", suspend=True)
    urgent, medium = (
        wait_finished(jobs, f"{name}-{each}")["status"]["startTime"]
        for each in ("urgent", "medium")
    )
    assert urgent < medium
    assert child_jobs(jobs, uids["held"]) == []
    change(jobs, f"{name}-held", suspend=False)
    assert wait_finished(jobs, f"{name}-held")["status"]["phase"] == "Succeeded"


def test_an_attempt_that_cannot_start_holds_up_others_for_ten_seconds_at_most(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image: shop:1"}
    with operating.restarted(operator, BGJOBS_START_WINDOW="1"):
        submit(jobs, f"{name}-stuck", parameters={"waiting": waiting})
        wait(jobs, f"{name}-stuck", reason("ImagePullBackOff"))
        submit(jobs, name)
        assert _started_after(wait_finished(jobs, name)) <= 12
        stuck = api.request(jobs.server, "GET", f"{jobs.path}/{name}-stuck").body
        assert stuck["status"]["reason"] == "ImagePullBackOff"
        change(jobs, f"{name}-stuck", cancelled=True)
        wait(jobs, f"{name}-stuck", phase("Cancelled"))


def test_an_image_that_cannot_be_pulled_is_named(jobs: Jobs, name: str) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image: shop:1"}
    submit(jobs, name, parameters={"waiting": waiting})
    status = wait(jobs, name, reason("ImagePullBackOff"))["status"]
    assert status["phase"] == "Pending"
    assert "no such image: shop:1. It is given up at " in status["message"]


def test_an_attempt_without_a_limit_is_never_given_up(jobs: Jobs, name: str) -> None:
    waiting = {"reason": "ImagePullBackOff", "message": "no such image: shop:1"}
    submit(jobs, name, parameters={"waiting": waiting}, pendingDeadlineSeconds=0, retries=0)
    status = wait(jobs, name, reason("ImagePullBackOff"))["status"]
    assert status["message"].endswith("no such image: shop:1.")
    change(jobs, name, cancelled=True)
    wait(jobs, name, phase("Cancelled"))


def test_an_attempt_that_does_not_start_in_time_fails(jobs: Jobs, name: str) -> None:
    waiting = {"reason": "ContainerCreating", "message": ""}
    submit(jobs, name, parameters={"waiting": waiting}, pendingDeadlineSeconds=1, retries=0)
    status = wait_finished(jobs, name)["status"]
    assert (status["phase"], status["reason"]) == ("Failed", "PendingDeadlineExceeded")


@contextlib.contextmanager
def _quota(server: Server, namespace: str, resource: str) -> Iterator[None]:
    """Lets none of the resource be created in the namespace until the block ends."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "none"},
        "spec": {"hard": {resource: "0"}},
    }
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    assert api.request(server, "POST", path, quota).status == 201
    api.await_true(
        "the quota is in force",
        lambda: "hard" in api.request(server, "GET", f"{path}/none").body["status"],
    )
    yield
    api.request(server, "DELETE", f"{path}/none")


@pytest.mark.parametrize("resource", ["count/jobs.batch", "pods"])
def test_a_job_that_meets_a_quota_starts_once_there_is_room(server: Server, resource: str) -> None:
    jobs = watching.new_namespace(server, f"quota-{resource[-4:]}".replace(".", "-"))
    with _quota(server, jobs.namespace, resource):
        submit(jobs, "held")
        status = wait(jobs, "held", reason("QuotaExceeded"))["status"]
        assert "exceeded quota: none" in status["message"]
    done = wait_finished(jobs, "held", within_s=45)["status"]
    assert done["phase"] == "Succeeded"
    assert done.get("retriesUsed", 0) == 0


_NO_ACCOUNT = "serviceAccountName: nobody\nnamespaces: [no-pod]"
_HOST_PATH = "volumes: [{name: h, hostPath: {path: /}}]\nnamespaces: [no-pod]"


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        pytest.param(_NO_ACCOUNT, 'serviceaccount "nobody" not found', id="no such account"),
        pytest.param(_HOST_PATH, "violates PodSecurity", id="Pod Security forbids it"),
    ],
)
def test_a_job_that_gets_no_pod_says_why(
    server: Server, restricted: Jobs, name: str, runtime: str, said: str
) -> None:
    class_ = f"nopod.jobs.{name.replace('-', '_')}"
    allow(restricted, class_)
    set_key(server, "bgjobs-runtimes", class_, runtime)
    submit(restricted, name, class_=class_, retries=0, pendingDeadlineSeconds=6)
    status = wait(restricted, name, reason("ConfigurationInvalid"))["status"]
    assert "cannot start: its Job gets no pod: " in status["message"]
    assert said in status["message"]
    [attempt] = wait_finished(restricted, name)["status"]["attempts"]
    assert attempt["reason"] == "ConfigurationInvalid"
    assert said in attempt["message"]
    set_key(server, "bgjobs-runtimes", class_, None)


@pytest.fixture(scope="module")
def restricted(server: Server) -> Jobs:
    return watching.new_namespace(
        server, "no-pod", {"pod-security.kubernetes.io/enforce": "restricted"}
    )


def test_a_lost_node_is_named_and_nothing_else_starts(jobs: Jobs, name: str) -> None:
    """The node controller sets Ready alone to False when it no longer hears from a node."""
    uid = submit(jobs, name, pods=[{"lasts": "1h"}])
    wait(jobs, name, phase("Running"))
    [pod] = pods(jobs, uid)
    for ready, want in (("False", "NodeUnreachable"), ("True", "Running")):
        _set_pod_status(jobs, pod, conditions=_is_ready(ready))
        status = wait(jobs, name, reason(want))["status"]
        assert status["phase"] == "Running"
        assert ("does not answer" in status["message"]) == (ready == "False")
    change(jobs, name, cancelled=True)
    wait(jobs, name, phase("Cancelled"))


def test_a_lost_node_that_is_given_up_costs_no_retry(jobs: Jobs, name: str) -> None:
    """The garbage collector of pods does so once the node has the out-of-service taint."""
    uid = submit(jobs, name, pods=[{"lasts": "1h"}, {"exitCode": 0}], retries=0)
    wait(jobs, name, phase("Running"))
    [pod] = pods(jobs, uid)
    _set_pod_status(jobs, pod, conditions=_is_ready("False"))
    wait(jobs, name, reason("NodeUnreachable"))
    disrupted = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}
    _set_pod_status(jobs, pod, phase="Failed", conditions=[disrupted])
    path = f"{pods_path(jobs)}/{pod['metadata']['name']}?gracePeriodSeconds=0"
    assert api.request(jobs.server, "DELETE", path).status == 200
    status = wait_finished(jobs, name)["status"]
    outcomes = [attempt["outcome"] for attempt in status["attempts"]]
    assert (status["phase"], outcomes) == ("Succeeded", ["Disrupted", "Succeeded"])


def _is_ready(ready: str) -> list[dict[str, str]]:
    return [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": "True"}]


def _set_pod_status(jobs: Jobs, pod: Any, **status: Any) -> None:
    path = f"{pods_path(jobs)}/{pod['metadata']['name']}/status"
    merge = "application/strategic-merge-patch+json"
    answer = api.request(jobs.server, "PATCH", path, {"status": status}, content_type=merge)
    assert answer.status == 200, answer.message


def test_a_foreign_job_of_the_same_name_is_left_alone_and_waited_for(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, suspend=True)
    foreign = child_job_name(name, uid, 1, 1)
    container = {"name": "other", "image": "other:1"}
    body = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": foreign},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [container]}},
        },
    }
    answer = api.request(jobs.server, "POST", jobs_path(jobs), body)
    assert answer.status == 201, answer.message
    change(jobs, name, suspend=False)
    status = wait(jobs, name, reason("AdoptionConflict"))["status"]
    assert foreign in status["message"]
    wait_event(jobs.server, jobs.namespace, name, "AdoptionConflict")
    still = api.request(jobs.server, "GET", f"{jobs_path(jobs)}/{foreign}").body
    assert still["metadata"]["uid"] == answer.body["metadata"]["uid"]

    api.request(jobs.server, "DELETE", f"{jobs_path(jobs)}/{foreign}")
    assert wait_finished(jobs, name)["status"]["phase"] == "Succeeded"
    [child] = child_jobs(jobs, uid)
    assert child["metadata"]["name"] == foreign
