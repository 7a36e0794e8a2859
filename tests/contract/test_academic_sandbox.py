"""The pod in which students' programs run, from the shipped runtime to the API server."""

from typing import Any

import pytest
import yaml
from tests import server as api
from tests import watching
from tests.server import ROOT, Jobs, Server
from tests.unit.builders import NOW, background_job

from bgjobs.domain.decision import Start
from bgjobs.domain.ranking import Candidate
from bgjobs.domain.runtimes import parse_runtimes, runtime_for
from bgjobs.kube.manifests import child_job

CLASS = "academic.sandbox.RunProgram"
# What the other jobs of the application need, and this one must not get.
SERVICE = """
image: academic:1
env: [{name: TOKEN, value: secret}]
envFrom: [{secretRef: {name: academic-database}}]
volumes: [{name: data, secret: {secretName: academic-database}}]
volumeMounts: [{name: data, mountPath: /data}]
imagePullSecrets: [{name: registry}]
namespaces: [academic]
"""


def shipped(name: str) -> Any:
    return yaml.safe_load((ROOT / "academic" / "deploy" / "base" / name).read_text())


@pytest.fixture(scope="module")
def pod() -> dict[str, Any]:
    """The template of the pod, as the operator makes it."""
    own = shipped("sandbox-runtime.yaml")["data"]
    runtimes = parse_runtimes({"default": "image: job:1", "academic": SERVICE, **own})
    job = background_job()
    start = Start(
        job_name="run",
        run=1,
        attempt=1,
        runtime=runtime_for(runtimes, CLASS),
        candidate=Candidate(
            uid=job.metadata.uid,
            by_hand=False,
            priority=job.spec.priority,
            could_start_since=NOW,
            group="academic.sandbox",
            group_limit=0,
        ),
    )
    template: dict[str, Any] = child_job(job, start)["spec"]["template"]
    return template


def test_the_pod_has_no_secret_no_account_and_nothing_but_tmp(pod: dict[str, Any]) -> None:
    spec = pod["spec"]
    [container] = spec["containers"]
    assert all(entry["name"].startswith("BGJOB_") for entry in container["env"])
    assert not container["envFrom"]
    assert not spec["imagePullSecrets"]
    assert spec["volumes"] == [{"name": "tmp", "emptyDir": {}}]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec


def test_the_pod_has_limits_of_time_memory_cpu_and_disk(pod: dict[str, Any]) -> None:
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits.keys() == {"cpu", "memory", "ephemeral-storage"}
    assert pod["spec"]["activeDeadlineSeconds"] == 660


def test_the_network_policy_selects_the_pod_and_lets_nothing_through(pod: dict[str, Any]) -> None:
    spec = shipped("sandbox-network-policy.yaml")["spec"]
    assert spec["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert not spec.keys() & {"ingress", "egress"}


@pytest.fixture(scope="module")
def restricted(installed: Server) -> Jobs:
    """A namespace that takes pods of the restricted profile only."""
    profile = {"pod-security.kubernetes.io/enforce": "restricted"}
    return watching.new_namespace(installed, "sandbox", profile)


def test_the_api_server_takes_the_pod_and_the_network_policy(
    installed: Server, restricted: Jobs, pod: dict[str, Any]
) -> None:
    spec = {key: value for key, value in pod["spec"].items() if key != "priorityClassName"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "run"}, "spec": spec}
    answer = api.request(installed, "POST", f"{watching.pods_path(restricted)}?dryRun=All", body)
    assert answer.status == 201, answer.message
    policy = shipped("sandbox-network-policy.yaml")
    policy["metadata"]["namespace"] = restricted.namespace
    path = f"/apis/networking.k8s.io/v1/namespaces/{restricted.namespace}/networkpolicies"
    answer = api.request(installed, "POST", f"{path}?dryRun=All&fieldValidation=Strict", policy)
    assert answer.status == 201, answer.message
