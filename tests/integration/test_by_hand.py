"""What people delete or write by hand, past spec: an attempt is neither lost nor doubled by it."""

from typing import Any

from tests import auditing, operating, watching
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs
from tests.watching import (
    child_jobs,
    jobs_path,
    phase,
    pods,
    pods_path,
    submit,
    wait,
    wait_finished,
)

_HANGS = {"lasts": "1h"}
_SUCCEEDS = {"exitCode": 0}
_MERGE = "application/merge-patch+json"
_AT_ONCE = {"seconds": 0, "factor": 1, "maxSeconds": 0}


def test_nothing_starts_beside_a_pod_whose_job_was_deleted_while_no_operator_ran(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    """Nor where the status did not tell of the child Job yet."""
    uid = submit(jobs, name, pods=[_HANGS, _SUCCEEDS], backoff=_AT_ONCE)
    wait(jobs, name, phase("Running"))
    operating.kill(operator)
    try:
        [child], [pod] = child_jobs(jobs, uid), pods(jobs, uid)
        _hold(jobs, pod, [*pod["metadata"]["finalizers"], "tests.dev/stays"])
        _set_status(jobs, name, phase="Pending", reason="Queued", jobRef=None)
        path = f"{jobs_path(jobs)}/{child['metadata']['name']}?propagationPolicy=Background"
        assert api.request(jobs.server, "DELETE", path).status == 200
        api.await_true("the child Job is gone", lambda: child_jobs(jobs, uid) == [])
    finally:
        operating.start(operator)
    later = f"{name}-later"
    submit(jobs, later)
    wait_finished(jobs, later)
    assert child_jobs(jobs, uid) == []
    assert [each["metadata"]["uid"] for each in pods(jobs, uid)] == [pod["metadata"]["uid"]]

    _hold(jobs, pod, [])
    status = wait_finished(jobs, name)["status"]
    outcomes = [attempt["outcome"] for attempt in status["attempts"]]
    assert outcomes == ["JobDeleted", "Succeeded"]


def test_nothing_starts_beside_a_pod_whose_job_was_deleted_without_it(
    jobs: Jobs, name: str, operator: Operator
) -> None:
    uid = submit(jobs, name, pods=[_HANGS, _SUCCEEDS], backoff=_AT_ONCE)
    wait(jobs, name, phase("Running"))
    [child], [pod] = child_jobs(jobs, uid), pods(jobs, uid)
    path = f"{jobs_path(jobs)}/{child['metadata']['name']}?propagationPolicy=Orphan"
    assert api.request(jobs.server, "DELETE", path).status == 200
    end_it = f"kubectl delete pod {pod['metadata']['name']} -n {jobs.namespace}"
    wait(jobs, name, lambda job: job["status"]["message"].endswith(end_it))
    operating.kill(operator)
    _set_status(jobs, name, phase="Pending", reason="Queued", jobRef=None)
    operating.start(operator)
    wait(jobs, name, lambda job: job["status"].get("jobRef", {}).get("attempt") == 1)
    assert child_jobs(jobs, uid) == []

    path = f"{pods_path(jobs)}/{pod['metadata']['name']}"
    assert api.request(jobs.server, "DELETE", path).status == 200
    status = wait_finished(jobs, name)["status"]
    outcomes = [attempt["outcome"] for attempt in status["attempts"]]
    assert outcomes == ["JobDeleted", "Succeeded"]


def test_a_status_that_is_set_back_is_brought_forward_by_the_child_jobs_that_are_there(
    jobs: Jobs, name: str
) -> None:
    place = watching.new_namespace(jobs.server, f"set-back-{name}")
    uid = submit(place, "job", pods=[{"exitCode": 1}, _HANGS], backoff=_AT_ONCE)
    wait(place, "job", lambda job: job["status"].get("jobRef", {}).get("attempt") == 2)
    _set_status(
        place, "job", phase="Pending", attempts=None, attemptsTotal=0, retriesUsed=0, jobRef=None
    )
    status = wait(place, "job", lambda job: job["status"].get("jobRef", {}).get("attempt") == 2)
    assert [attempt["outcome"] for attempt in status["status"]["attempts"]] == ["Failed"]
    assert len(pods(place, uid)) == 2
    posts = [w for w in auditing.writes(place.server, place.namespace) if w.what == "POST jobs"]
    # Each attempt is started once, and asked for once more.
    assert sorted(write.status for write in posts) == [201, 201, 409, 409]


def _set_status(jobs: Jobs, name: str, **status: Any) -> None:
    _patch(jobs, f"{jobs.path}/{name}/status", {"status": status})


def _hold(jobs: Jobs, pod: Any, finalizers: list[str]) -> None:
    path = f"{pods_path(jobs)}/{pod['metadata']['name']}"
    _patch(jobs, path, {"metadata": {"finalizers": finalizers}})


def _patch(jobs: Jobs, path: str, body: dict[str, Any]) -> None:
    answer = api.request(jobs.server, "PATCH", path, body, content_type=_MERGE)
    assert answer.status == 200, answer.message
