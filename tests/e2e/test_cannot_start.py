"""What keeps real pods from starting or ending is named, with what ends it."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import STATE, explained, manifest, once_allowed, patch_data
from tests.plugin import commands

from bgjobs_local import cluster
from bgjobs_local.kubectl import Kubectl

_NAMESPACE = "cannot-start"
_SAMPLES = "localhost/bgjobs/samples:dev"
_GIVEN_UP_AFTER_SECONDS = 15

_RUNTIMES: Mapping[str, Mapping[str, Any]] = {
    "stuck.jobs.NoImage": {"image": "localhost/bgjobs/absent:dev"},
    "stuck.jobs.NoNode": {"image": _SAMPLES, "nodeSelector": {"shelf": "nowhere"}},
    "stuck.jobs.NoSecret": {
        "image": _SAMPLES,
        "envFrom": [{"secretRef": {"name": "absent"}}],
        "namespaces": [_NAMESPACE],
    },
    "stuck.jobs.NoVolume": {
        "image": _SAMPLES,
        "volumes": [{"name": "vault", "secret": {"secretName": "absent"}}],
        "volumeMounts": [{"name": "vault", "mountPath": "/vault"}],
        "namespaces": [_NAMESPACE],
    },
}


@pytest.fixture(scope="module")
def namespace(kubectl: Kubectl) -> Iterator[str]:
    kubectl("create", "namespace", _NAMESPACE)
    runtimes = {class_: yaml.safe_dump(runtime) for class_, runtime in _RUNTIMES.items()}
    patch_data(kubectl, "bgjobs-runtimes", runtimes)
    patch_data(kubectl, "bgjobs-allowlist", dict.fromkeys(_RUNTIMES, "handle"))
    yield _NAMESPACE
    patch_data(kubectl, "bgjobs-runtimes", dict.fromkeys(_RUNTIMES))
    patch_data(kubectl, "bgjobs-allowlist", dict.fromkeys(_RUNTIMES))


@pytest.mark.parametrize(
    ("class_", "reason", "said", "remedy"),
    [
        ("stuck.jobs.NoImage", "ImagePullBackOff", "absent:dev", "bgjobs-runtimes"),
        (
            "stuck.jobs.NoNode",
            "Unschedulable",
            "didn't match Pod's node affinity/selector",
            "kubectl describe pod",
        ),
        (
            "stuck.jobs.NoSecret",
            "ContainerConfigError",
            'secret "absent" not found',
            "kubectl get secrets",
        ),
        (
            "stuck.jobs.NoVolume",
            "ContainerConfigError",
            'secret "absent" not found',
            "kubectl get secrets",
        ),
    ],
)
def test_a_pod_that_cannot_start_says_why_and_fails_for_that_reason(
    kubectl: Kubectl, namespace: str, class_: str, reason: str, said: str, remedy: str
) -> None:
    name = class_.rpartition(".")[2].lower()
    spec = {"class": class_, "retries": 0, "pendingDeadlineSeconds": _GIVEN_UP_AFTER_SECONDS}
    _create(kubectl, name, spec)
    status = _wait(kubectl, name, f"jsonpath={{.status.reason}}={reason}")
    assert status["phase"] == "Pending"
    assert said in status["message"]
    assert "It is given up at " in status["message"]
    explanation = explained(namespace, name)
    assert said in explanation["cause"]
    assert explanation["next"]["what"] == "the attempt is given up (pendingDeadlineSeconds)"
    assert remedy in commands(explanation)[0]
    status = _wait(kubectl, name, "condition=Finished")
    assert (status["phase"], status["reason"]) == ("Failed", "PendingDeadlineExceeded")
    [attempt] = status["attempts"]
    assert attempt["reason"] == reason
    assert said in attempt["message"]
    mend, *_, run_again = explained(namespace, name)["remedies"]
    assert mend["kubectl"].startswith(("kubectl edit configmap", "kubectl get secrets"))
    assert run_again["bgjob"] == f"kubectl bgjob retry {name} -n {namespace}"
    assert kubectl("get", "pods", "-n", namespace, "-l", _of(kubectl, name), "-o", "name") == ""


def test_a_deadline_that_passes_before_the_start_is_told_with_what_kept_it_from_it(
    kubectl: Kubectl, namespace: str
) -> None:
    spec = {"class": "stuck.jobs.NoImage", "retries": 0, "activeDeadlineSeconds": 15}
    _create(kubectl, "overran", spec)
    status = _wait(kubectl, "overran", "jsonpath={.status.reason}=ImagePullBackOff")
    assert status["message"].endswith("(activeDeadlineSeconds).")
    explanation = explained(namespace, "overran")
    assert explanation["next"]["what"] == "the attempt is given up (activeDeadlineSeconds)"
    status = _wait(kubectl, "overran", "condition=Finished")
    assert (status["phase"], status["reason"]) == ("Failed", "PendingDeadlineExceeded")
    [attempt] = status["attempts"]
    assert attempt["reason"] == "ImagePullBackOff"
    assert "absent:dev" in attempt["message"]


def test_a_job_on_a_node_that_falls_silent_says_so_until_it_answers(
    kubectl: Kubectl, namespace: str
) -> None:
    spec = {"class": "samples.jobs.Sleep", "parameters": {"seconds": 100}, "retries": 0}
    _create(kubectl, "silent", spec)
    _wait(kubectl, "silent", "jsonpath={.status.phase}=Running")
    running = cluster.find(STATE)
    assert running is not None
    kubelet = running.daemons["kubelet"]
    os.kill(kubelet, signal.SIGSTOP)
    try:
        status = _wait(kubectl, "silent", "jsonpath={.status.reason}=NodeUnreachable")
        explanation = explained(namespace, "silent")
    finally:
        os.kill(kubelet, signal.SIGCONT)
    assert "Node local does not answer" in explanation["cause"]
    assert any("out-of-service" in command for command in commands(explanation))
    assert status["phase"] == "Running"
    assert "kubectl taint nodes local node.kubernetes.io/out-of-service" in status["message"]
    _wait(kubectl, "silent", "jsonpath={.status.reason}=Running")
    status = _wait(kubectl, "silent", "condition=Finished")
    assert (status["phase"], status["attemptsTotal"]) == ("Succeeded", 1)


def _create(kubectl: Kubectl, name: str, spec: Mapping[str, Any]) -> None:
    once_allowed(kubectl, "create", "-f", "-", "-n", _NAMESPACE, stdin=manifest(name, spec))


def _wait(kubectl: Kubectl, name: str, condition: str) -> Any:
    """The status once it is so."""
    job = ("-n", _NAMESPACE, f"bgjob/{name}")
    kubectl("wait", *job, f"--for={condition}", "--timeout=150s")
    return json.loads(kubectl("get", *job, "-o", "json"))["status"]


def _of(kubectl: Kubectl, name: str) -> str:
    uid = kubectl("get", "-n", _NAMESPACE, f"bgjob/{name}", "-o", "jsonpath={.metadata.uid}")
    return f"bgjobs.dev/uid={uid}"
