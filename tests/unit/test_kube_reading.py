"""Child Jobs and pods as the API server returns them."""

from typing import Any

import pytest
from tests.unit.builders import NOW, RUNNING_STATE, UID, pod_json, seconds, terminated

from bgjobs.domain.observation import PodPhase, Waiting
from bgjobs.kube import reading


def job_json(*conditions: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": "stock-1-1",
            "uid": "job-1-1",
            "resourceVersion": "200",
            "creationTimestamp": "2030-01-31T12:00:00Z",
            "labels": {
                "bgjobs.dev/uid": UID,
                "bgjobs.dev/run": "1",
                "bgjobs.dev/attempt": "2",
            },
            "ownerReferences": [
                {"uid": "other"},
                {"uid": UID, "controller": True},
            ],
            **metadata,
        },
        "status": {"conditions": list(conditions)} if conditions else {},
    }


def test_a_new_job_has_neither_ended_nor_is_it_deleted() -> None:
    child = reading.child_job(job_json())
    assert (child.run, child.attempt, child.created) == (1, 2, NOW)
    assert (child.succeeded, child.failed_message, child.deleting) == (False, None, False)


def test_a_job_without_a_status_is_new() -> None:
    raw = job_json()
    del raw["status"]
    assert not reading.child_job(raw).succeeded


def test_a_complete_job_has_succeeded() -> None:
    assert reading.child_job(job_json({"type": "Complete", "status": "True"})).succeeded


@pytest.mark.parametrize(
    ("condition", "want"),
    [
        ({"type": "Failed", "status": "True", "message": "exit code 1"}, "exit code 1"),
        ({"type": "Failed", "status": "True"}, ""),
        ({"type": "Failed", "status": "False", "message": "no"}, None),
        ({"type": "FailureTarget", "status": "True", "message": "soon"}, None),
        ({"type": "SuccessCriteriaMet", "status": "True"}, None),
    ],
)
def test_a_job_has_failed_by_its_failed_condition_alone(
    condition: dict[str, str], want: str | None
) -> None:
    child = reading.child_job(job_json(condition))
    assert (child.failed_message, child.succeeded) == (want, False)


def test_a_job_with_a_deletion_timestamp_is_being_deleted() -> None:
    assert reading.child_job(job_json(deletionTimestamp="2030-01-31T12:00:00Z")).deleting


def test_a_job_without_a_controller_is_nobodys() -> None:
    assert reading.owner_uid(job_json(ownerReferences=[{"uid": UID}])) is None
    raw = job_json()
    del raw["metadata"]["ownerReferences"]
    assert reading.owner_uid(raw) is None


@pytest.mark.parametrize("labels", [{}, {"bgjobs.dev/run": "x", "bgjobs.dev/attempt": "1"}])
def test_what_lacks_our_labels_is_refused(labels: dict[str, str]) -> None:
    with pytest.raises((KeyError, ValueError)):
        reading.child_job(job_json(labels=labels))
    pod = pod_json()
    pod["metadata"]["labels"] = labels
    with pytest.raises((KeyError, ValueError)):
        reading.pod(pod)


def test_a_running_pod() -> None:
    pod = reading.pod(pod_json("Running", RUNNING_STATE))
    assert (pod.phase, pod.started, pod.finished) == (PodPhase.RUNNING, NOW + seconds(1), None)
    assert pod.created == NOW
    assert (pod.run, pod.attempt, pod.node_name, pod.owner_uid) == (1, 1, "node-1", "job-1-1")
    assert (pod.waiting, pod.disruption, pod.ended) == (None, None, False)


def test_a_pod_that_failed() -> None:
    pod = reading.pod(pod_json("Failed", terminated(137, "last words", reason="OOMKilled")))
    assert (pod.started, pod.finished) == (NOW + seconds(1), NOW + seconds(4))
    assert (pod.exit_code, pod.terminated_reason) == (137, "OOMKilled")
    assert (pod.termination_message, pod.ended) == ("last words", True)


def test_a_pod_that_was_never_scheduled() -> None:
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": "0/1 nodes are available",
    }
    raw = pod_json("Pending", conditions=[condition])
    del raw["spec"]["nodeName"]
    pod = reading.pod(raw)
    assert pod.waiting == Waiting(reason="Unschedulable", message="0/1 nodes are available")
    assert pod.node_name is None


def test_a_pod_whose_image_cannot_be_pulled() -> None:
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "back-off"}}
    scheduled = {"type": "PodScheduled", "status": "True"}
    pod = reading.pod(pod_json("Pending", state, conditions=[scheduled]))
    assert pod.waiting == Waiting(reason="ImagePullBackOff", message="back-off")


@pytest.mark.parametrize(
    ("condition", "want"),
    [
        ({"status": "True", "reason": "EvictedByEviction", "message": "Evicted"}, "Evicted"),
        ({"status": "True", "reason": "PreemptionByScheduler"}, "PreemptionByScheduler"),
        ({"status": "True"}, ""),
        ({"status": "False", "message": "no"}, None),
    ],
)
def test_a_pod_was_disrupted_by_its_condition(condition: dict[str, str], want: str | None) -> None:
    raw = pod_json("Failed", conditions=[{"type": "DisruptionTarget", **condition}])
    assert reading.pod(raw).disruption == want


def test_a_pod_that_was_killed_by_its_deadline_says_so_itself() -> None:
    assert reading.pod(pod_json("Failed", reason="DeadlineExceeded")).reason == "DeadlineExceeded"


def test_a_container_whose_times_are_unknown() -> None:
    state = {"terminated": {"exitCode": 137, "startedAt": None, "finishedAt": None}}
    pod = reading.pod(pod_json("Failed", state))
    assert (pod.started, pod.finished, pod.exit_code) == (None, None, 137)


def test_only_the_jobs_own_container_counts() -> None:
    proxy = {"name": "a-proxy", "state": terminated(0)}
    own = {"name": "job", "state": terminated(66)}
    pod = reading.pod(pod_json("Failed", containerStatuses=[proxy, own]))
    assert pod.exit_code == 66


def test_a_pod_without_a_status_is_pending() -> None:
    raw = pod_json()
    del raw["status"]
    assert reading.pod(raw).phase is PodPhase.PENDING


@pytest.mark.parametrize(
    ("grace_period", "told"),
    [
        pytest.param({}, False, id="not deleted"),
        pytest.param({"deletionGracePeriodSeconds": 30}, True, id="deleted while it ran"),
        pytest.param({"deletionGracePeriodSeconds": 0}, False, id="deleted when it had ended"),
    ],
)
def test_a_pod_was_told_to_end_where_it_got_time_to(
    grace_period: dict[str, int], told: bool
) -> None:
    raw = pod_json("Succeeded", terminated(0))
    raw["metadata"] |= grace_period
    assert reading.pod(raw).told_to_end is told


def test_the_deadline_of_a_pod_counts_from_when_its_node_took_it() -> None:
    raw = pod_json("Pending", startTime="2030-01-31T12:00:00Z")
    assert reading.pod(raw).deadline is None
    raw["spec"]["activeDeadlineSeconds"] = 60
    assert reading.pod(raw).deadline == NOW + seconds(60)
    del raw["status"]["startTime"]
    assert reading.pod(raw).deadline is None


def test_a_pod_whose_job_was_deleted_without_it_is_still_that_jobs() -> None:
    raw = pod_json()
    del raw["metadata"]["ownerReferences"]
    raw["metadata"]["labels"] |= {
        "batch.kubernetes.io/controller-uid": "job-1-1",
        "batch.kubernetes.io/job-name": "stock-1-1",
    }
    pod = reading.pod(raw)
    assert (pod.owner_uid, pod.owner_name, pod.is_orphan) == ("job-1-1", "stock-1-1", True)
    assert not reading.pod(pod_json()).is_orphan
