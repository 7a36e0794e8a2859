"""The manifest of a child Job."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.builders import CLASS, NOW, UID, background_job

from bgjobs.domain.decision import Start
from bgjobs.domain.ranking import Candidate
from bgjobs.domain.resource import BackgroundJob, Priority
from bgjobs.domain.runtimes import ResolvedRuntime, Runtime
from bgjobs.kube import manifests

JOB = background_job(parameters={"warehouse": 7}, priority=Priority.HIGH)


def start(runtime: Runtime) -> Start:
    return Start(
        job_name="stock-1a2b3c4d-2-3",
        run=2,
        attempt=3,
        runtime=ResolvedRuntime(key="default", settings=runtime),
        candidate=Candidate(
            uid=UID,
            by_hand=False,
            priority=Priority.HIGH,
            could_start_since=NOW,
            group="default",
            group_limit=0,
        ),
    )


def manifest(job: BackgroundJob = JOB, **runtime: Any) -> dict[str, Any]:
    return manifests.child_job(job, start(Runtime(**{"image": "shop:1", **runtime})))


def pod_spec(job: BackgroundJob = JOB, **runtime: Any) -> dict[str, Any]:
    spec: dict[str, Any] = manifest(job, **runtime)["spec"]["template"]["spec"]
    return spec


def container(job: BackgroundJob = JOB, **runtime: Any) -> dict[str, Any]:
    (only,) = pod_spec(job, **runtime)["containers"]
    assert isinstance(only, dict)
    return only


def environment(job: BackgroundJob) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(job)["env"]}


def test_the_job_belongs_to_its_background_job() -> None:
    metadata = manifest()["metadata"]
    assert (metadata["name"], metadata["namespace"]) == ("stock-1a2b3c4d-2-3", "shop")
    assert metadata["ownerReferences"] == [
        {
            "apiVersion": "bgjobs.dev/v1alpha1",
            "kind": "BackgroundJob",
            "name": "stock",
            "uid": UID,
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]


def test_job_and_pod_bear_the_attempts_labels_and_annotations() -> None:
    job = manifest(labels={"team": "stock", "bgjobs.dev/uid": "forged"})
    identity = {"bgjobs.dev/uid": UID, "bgjobs.dev/run": "2", "bgjobs.dev/attempt": "3"}
    named = {"bgjobs.dev/name": "stock", "bgjobs.dev/class": CLASS, "bgjobs.dev/method": "handle"}
    pod = job["spec"]["template"]["metadata"]
    assert (job["metadata"]["labels"], job["metadata"]["annotations"]) == (identity, named)
    assert (pod["labels"], pod["annotations"]) == ({**identity, "team": "stock"}, named)


def test_one_attempt_is_one_pod() -> None:
    spec = manifest()["spec"]
    assert (spec["backoffLimit"], spec["completions"], spec["parallelism"]) == (0, 1, 1)
    assert spec["podReplacementPolicy"] == "Failed"
    assert pod_spec()["restartPolicy"] == "Never"
    assert "suspend" not in spec
    assert "ttlSecondsAfterFinished" not in spec


def test_the_failure_policy_keeps_the_cause_disruptions_first() -> None:
    first, second = manifest()["spec"]["podFailurePolicy"]["rules"]
    assert first["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert second["onExitCodes"] == {"containerName": "job", "operator": "NotIn", "values": [0]}
    assert {first["action"], second["action"]} == {"FailJob"}


@pytest.mark.parametrize(
    ("spec", "runtime", "want"),
    [(None, None, 3600), (None, 60, 60), (5, 60, 5), (5, None, 5)],
    ids=["neither", "the runtime's", "the job's before the runtime's", "the job's"],
)
def test_the_deadline_is_the_pods(spec: int | None, runtime: int | None, want: int) -> None:
    job = background_job(active_deadline_seconds=spec)
    assert pod_spec(job, active_deadline_seconds=runtime)["activeDeadlineSeconds"] == want
    assert "activeDeadlineSeconds" not in manifest(job)["spec"]


@pytest.mark.parametrize(
    ("priority", "want"),
    [
        (Priority.HIGH, "bgjobs-high"),
        (Priority.MEDIUM, "bgjobs-medium"),
        (Priority.LOW, "bgjobs-low"),
    ],
)
def test_the_pods_priority_is_the_jobs(priority: Priority, want: str) -> None:
    assert pod_spec(background_job(priority=priority))["priorityClassName"] == want


def test_the_pod_has_as_little_right_as_it_needs() -> None:
    pod, only = pod_spec(), container()
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    assert "serviceAccountName" not in pod
    assert set(only["resources"]) == {"requests", "limits"}
    assert pod["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert only["volumeMounts"] == [{"name": "tmp", "mountPath": "/tmp"}]


def test_a_token_is_mounted_only_for_a_named_account() -> None:
    pod = pod_spec(service_account_name="shop")
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("shop", True)


def test_a_runtimes_settings_reach_the_pod() -> None:
    settings: dict[str, Any] = {
        "image_pull_policy": "Never",
        "image_pull_secrets": [{"name": "registry"}],
        "resources": {"limits": {"memory": "1Gi"}},
        "env": [{"name": "SHOP", "value": "$(BGJOB_NAME)"}],
        "env_from": [{"secretRef": {"name": "db"}}],
        "volumes": [{"name": "db", "secret": {"secretName": "db"}}],
        "volume_mounts": [{"name": "db", "mountPath": "/db"}],
        "node_selector": {"disk": "fast"},
        "tolerations": [{"operator": "Exists"}],
        "termination_grace_period_seconds": 5,
    }
    pod, only = pod_spec(**settings), container(**settings)
    assert (pod["imagePullSecrets"], pod["nodeSelector"], pod["tolerations"]) == (
        settings["image_pull_secrets"],
        settings["node_selector"],
        settings["tolerations"],
    )
    assert pod["terminationGracePeriodSeconds"] == 5
    assert pod["volumes"][1:] == settings["volumes"]
    assert only["volumeMounts"][1:] == settings["volume_mounts"]
    assert (only["imagePullPolicy"], only["resources"]) == ("Never", settings["resources"])
    assert (only["env"][0], only["envFrom"]) == (settings["env"][0], settings["env_from"])


def test_the_contracts_variables_come_last_so_that_none_can_be_overridden() -> None:
    names = [v["name"] for v in container(env=[{"name": "A", "value": "b"}])["env"]]
    assert names == [
        "A",
        "BGJOB_CONTRACT",
        "BGJOB_CLASS",
        "BGJOB_METHOD",
        "BGJOB_PARAMETERS",
        "BGJOB_NAME",
        "BGJOB_NAMESPACE",
        "BGJOB_UID",
        "BGJOB_RUN",
        "BGJOB_ATTEMPT",
        "BGJOB_IDEMPOTENCY_KEY",
    ]


def test_the_contract_is_kept() -> None:
    assert environment(JOB) == {
        "BGJOB_CONTRACT": "1",
        "BGJOB_CLASS": CLASS,
        "BGJOB_METHOD": "handle",
        "BGJOB_PARAMETERS": '{"warehouse":7}',
        "BGJOB_NAME": "stock",
        "BGJOB_NAMESPACE": "shop",
        "BGJOB_UID": UID,
        "BGJOB_RUN": "2",
        "BGJOB_ATTEMPT": "3",
        "BGJOB_IDEMPOTENCY_KEY": f"{UID}-2",
    }


def expanded(value: str) -> str:
    """What the kubelet makes of a value in which every $ is doubled, and fails on any other."""
    assert value.count("$") % 2 == 0
    halves = value.split("$$")
    assert not any("$" in half for half in halves)
    return "$".join(halves)


@pytest.mark.parametrize("text", ["$(BGJOB_UID)", "$$(SECRET)", "$", "$$$", "a$b"])
def test_no_parameter_can_read_a_variable(text: str) -> None:
    value = environment(background_job(parameters={"a": text}))["BGJOB_PARAMETERS"]
    assert json.loads(expanded(value)) == {"a": text}


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text(), JSON, max_size=3))
def test_any_parameters_arrive_equal(parameters: dict[str, Any]) -> None:
    value = environment(background_job(parameters=parameters))["BGJOB_PARAMETERS"]
    assert json.loads(expanded(value)) == parameters
