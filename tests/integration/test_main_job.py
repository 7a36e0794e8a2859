"""One BackgroundJob from apply to its row: what users, pods and the database see."""

import json
from datetime import datetime
from typing import Any

import pytest
import sqlalchemy as sa
from tests import operating, watching
from tests import server as api
from tests.operating import Operator
from tests.server import Jobs, Server
from tests.watching import (
    change,
    child_jobs,
    phase,
    pods,
    submit,
    wait,
    wait_event,
    wait_finished,
)


@pytest.fixture(scope="module", name="done")
def _done(jobs: Jobs) -> Any:
    """A BackgroundJob that has succeeded."""
    submit(jobs, "done", parameters={"warehouse": 7}, priority="High", retries=2)
    return wait_finished(jobs, "done")


def test_a_job_succeeds_with_what_its_method_returned(done: Any) -> None:
    status = done["status"]
    assert (status["phase"], status["reason"]) == ("Succeeded", "Succeeded")
    assert status["message"] == "Attempt 1 of 4 succeeded."
    assert status["result"] == {"warehouse": 7}


def test_a_job_that_succeeds_at_once_has_one_attempt_and_one_child_job(
    jobs: Jobs, done: Any
) -> None:
    [attempt] = done["status"]["attempts"]
    assert (attempt["run"], attempt["attempt"], attempt["outcome"]) == (1, 1, "Succeeded")
    [child] = child_jobs(jobs, done["metadata"]["uid"])
    assert child["metadata"]["name"] == attempt["jobName"]


def test_status_says_what_was_observed(done: Any) -> None:
    status = done["status"]
    assert status["observedGeneration"] == done["metadata"]["generation"] == 1
    assert (status["effectiveRetries"], status["effectiveDelaySeconds"]) == (3, 0)
    assert status["attempts"][0]["nodeName"] == "kwok"
    assert "jobRef" not in status
    assert "nextAttemptTime" not in status


def test_the_conditions_are_accepted_and_finished(done: Any) -> None:
    conditions = {c["type"]: (c["status"], c["reason"]) for c in watching.conditions(done)}
    assert conditions == {"Accepted": ("True", "Allowed"), "Finished": ("True", "Succeeded")}


def test_nothing_of_the_watcher_is_kept_on_the_object(done: Any) -> None:
    metadata = done["metadata"]
    assert "finalizers" not in metadata
    assert set(metadata.get("annotations", {})) == {"bgjobs.dev/created-by"}
    assert "kopf" not in json.dumps(done).lower()


def test_success_posts_one_event(jobs: Jobs, done: Any) -> None:
    wait_event(jobs.server, jobs.namespace, "done", "Succeeded")
    path = f"/api/v1/namespaces/{jobs.namespace}/events?fieldSelector=involvedObject.name=done"
    [event] = api.request(jobs.server, "GET", path).body["items"]
    assert event["type"] == "Normal"
    assert event["message"] == done["status"]["message"]
    assert event["involvedObject"]["uid"] == done["metadata"]["uid"]


def test_the_row_equals_the_object(database: sa.Engine, done: Any) -> None:
    row = watching.wait_row(database, done)
    metadata, spec, status = done["metadata"], done["spec"], done["status"]
    assert {key: row[key] for key in ("namespace", "name", "class", "method", "priority")} == {
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "class": spec["class"],
        "method": spec["method"],
        "priority": 1,
    }
    assert (row["phase"], row["reason"], row["message"]) == (
        status["phase"],
        status["reason"],
        status["message"],
    )
    assert (row["retries"], row["effective_retries"]) == (2, 3)
    assert (row["delay_seconds"], row["effective_delay_seconds"]) == (0, 0)
    assert (row["run"], row["attempts_total"]) == (status["run"], status["attemptsTotal"])
    assert row["created_at"] == _utc(metadata["creationTimestamp"])
    assert row["started_at"] == _utc(status["startTime"])
    assert row["completed_at"] == _utc(status["completionTime"])
    assert (row["deleted_at"], row["next_attempt_at"]) == (None, None)
    assert json.loads(row["parameters"]) == spec["parameters"]
    assert json.loads(row["result"]) == status["result"]


def test_what_finished_is_counted(jobs: Jobs, name: str, operator: Operator) -> None:
    labels = f'class="{watching.CLASS}",reason="Succeeded",result="Succeeded"'
    sample = f"bgjobs_finished_total{{{labels}}}"
    before = operating.metric(operator, sample)
    submit(jobs, name)
    wait_finished(jobs, name)
    assert operating.metric(operator, sample) == before + 1


def _utc(time: str) -> datetime:
    return datetime.fromisoformat(time).replace(tzinfo=None)


def test_the_child_job_is_one_pod_and_keeps_the_cause_of_a_failure(jobs: Jobs, done: Any) -> None:
    [child] = child_jobs(jobs, done["metadata"]["uid"])
    spec = child["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert "activeDeadlineSeconds" not in spec  # it would delete the pod and its log
    disruption, exit_code = spec["podFailurePolicy"]["rules"]
    assert disruption["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert exit_code["onExitCodes"]["values"] == [0]


def test_the_child_job_belongs_to_its_background_job(jobs: Jobs, done: Any) -> None:
    [child] = child_jobs(jobs, done["metadata"]["uid"])
    metadata, uid = child["metadata"], done["metadata"]["uid"]
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "bgjobs.dev/v1alpha1",
            "kind": "BackgroundJob",
            "name": "done",
            "uid": uid,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert {key: metadata["labels"][f"bgjobs.dev/{key}"] for key in ("uid", "run", "attempt")} == {
        "uid": uid,
        "run": "1",
        "attempt": "1",
    }
    assert metadata["annotations"] == {
        "bgjobs.dev/name": "done",
        "bgjobs.dev/class": watching.CLASS,
        "bgjobs.dev/method": "handle",
    }


def test_the_pod_has_no_more_rights_than_it_needs(jobs: Jobs, done: Any) -> None:
    [pod] = pods(jobs, done["metadata"]["uid"])
    spec = pod["spec"]
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 3600
    assert (spec["priorityClassName"], spec["priority"]) == ("bgjobs-high", -1)
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    assert [volume.keys() for volume in spec["volumes"]] == [{"name", "emptyDir"}]
    assert {"requests", "limits"} == spec["containers"][0]["resources"].keys()


def test_restricted_pod_security_admits_the_pods(server: Server) -> None:
    restricted = watching.new_namespace(
        server, "restricted", {"pod-security.kubernetes.io/enforce": "restricted"}
    )
    uid = submit(restricted, "restricted")
    assert wait_finished(restricted, "restricted")["status"]["phase"] == "Succeeded"
    assert len(pods(restricted, uid)) == 1


def test_the_longest_name_runs(jobs: Jobs) -> None:
    longest = "a." * 126 + "a"
    submit(jobs, longest)
    assert wait_finished(jobs, longest)["status"]["phase"] == "Succeeded"
    wait_event(jobs.server, jobs.namespace, longest, "Succeeded")


_HOSTILE: dict[str, Any] = {
    "variable": "$(BGJOB_UID) $$(BGJOB_UID) $BGJOB_UID ${BGJOB_UID} $$ $",
    "quotes": "\"'`\\",
    "lines": "a\nb\r\n\tc \n",
    "emoji": "\U0001f600 \U0001f469\u200d\U0001f4bb",
    "homoglyph": "\u0430dmin",
    "nul": "a\u0000b",
    "nested": {"list": [1, 2.5, None, True, {"": []}], "{{ .metadata }}": "{% x %}"},
    "number": 9007199254740991,
}


def test_hostile_parameters_reach_the_program_as_they_were(jobs: Jobs, name: str) -> None:
    submit(jobs, name, parameters=_HOSTILE)
    assert wait_finished(jobs, name)["status"]["result"] == _HOSTILE


def test_every_dollar_is_doubled_for_the_kubelet(jobs: Jobs, name: str) -> None:
    uid = submit(jobs, name, parameters=_HOSTILE)
    wait_finished(jobs, name)
    [pod] = pods(jobs, uid)
    environment = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
    sent = environment["BGJOB_PARAMETERS"]
    assert json.loads(sent)["variable"] == _HOSTILE["variable"].replace("$", "$$")
    assert json.loads(sent.replace("$$", "$")) == _HOSTILE


def test_hostile_parameters_are_mirrored_as_they_were(
    jobs: Jobs, name: str, database: sa.Engine
) -> None:
    submit(jobs, name, parameters=_HOSTILE)
    row = watching.wait_row(database, wait_finished(jobs, name))
    assert json.loads(row["parameters"]) == json.loads(row["result"]) == _HOSTILE


def test_who_did_what_is_mirrored_with_its_time(jobs: Jobs, name: str, database: sa.Engine) -> None:
    uid = submit(jobs, name, user="ann", startAt="2999-01-01T00:00:00Z")
    change(jobs, name, user="bob", cancelled=True)
    cancelled = wait_finished(jobs, name)
    change(jobs, name, user="eve", cancelled=False, retryRequests=1)
    watching.wait_row(database, wait(jobs, name, phase("Succeeded")))
    did = watching.actions(database, uid)
    assert {action: user for action, (user, _) in did.items()} == {
        ("created", 0): "ann",
        ("cancelled", 0): "bob",
        ("retried", 1): "eve",
    }
    created, ended = (
        _utc(cancelled["metadata"]["creationTimestamp"]),
        _utc(cancelled["status"]["completionTime"]),
    )
    assert did["created", 0][1] == created
    assert created <= did["cancelled", 0][1] <= ended <= did["retried", 1][1]


def test_the_pod_is_told_who_it_is(jobs: Jobs, done: Any) -> None:
    uid = done["metadata"]["uid"]
    [pod] = pods(jobs, uid)
    environment = {e["name"]: e["value"] for e in pod["spec"]["containers"][0]["env"]}
    del environment["BGJOB_PARAMETERS"]
    assert environment == {
        "BGJOB_CONTRACT": "1",
        "BGJOB_CLASS": watching.CLASS,
        "BGJOB_METHOD": "handle",
        "BGJOB_NAME": "done",
        "BGJOB_NAMESPACE": jobs.namespace,
        "BGJOB_UID": uid,
        "BGJOB_RUN": "1",
        "BGJOB_ATTEMPT": "1",
        "BGJOB_IDEMPOTENCY_KEY": f"{uid}-1",
    }
