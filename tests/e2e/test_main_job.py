"""The deployed operator with real pods, a real database and the real job images."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from tests.e2e.conftest import explained, manifest, once_allowed, patch_data
from tests.plugin import commands

from bgjobs_local.kubectl import Kubectl

_NAMESPACE = "e2e"
_FINISHED_WITHIN_SECONDS = 150
_EDIT_RUNTIMES = "kubectl edit configmap bgjobs-runtimes -n bgjobs-system"

_HOSTILE = {
    "variable": "$(PASSWORD) $(BGJOB_UID) $$(PASSWORD) $ $$",
    "quotes": "\"double\" 'single' `back` \\ backslash",
    "emoji": "👩‍👩‍👧‍👦 Grüße \u202e שלום",
    "lines": "one\ntwo\r\n\ttabbed\n",
    "control": "nul \u0000 bell \u0007",
    "nested": {"list": [1, 2.5, True, None, {"deeper": [[]]}], "": {"empty key": {}}},
    "yaml": "yes: [no, ~, !!python/object]",
    "shell": "; rm -rf / && echo ${HOME} $(id) | true #",
    "large": 9007199254740993,
}

_JOBS: Mapping[str, Mapping[str, Any]] = {
    "hostile": {"class": "samples.jobs.Echo", "parameters": _HOSTILE},
    "permanent": {"class": "samples.jobs.Exit", "parameters": {"code": 66}},
    "crash": {"class": "samples.jobs.Crash", "retries": 0},
    "out-of-memory": {
        "class": "samples.jobs.Memory",
        "parameters": {"mebibytes": 400},
        "retries": 0,
    },
    "later": {"class": "samples.jobs.Later", "parameters": {"seconds": 1, "times": 2}},
    "bad-parameters": {"class": "samples.jobs.Sleep", "parameters": {"hours": 1}},
    "not-in-image": {"class": "samples.jobs.Missing"},
    "deadline": {
        "class": "samples.jobs.Sleep",
        "parameters": {"seconds": 600},
        "activeDeadlineSeconds": 2,
        "retries": 0,
    },
    "truncated": {"class": "samples.jobs.Output", "parameters": {"bytes": 5000}},
}


@pytest.fixture(scope="module")
def finished(kubectl: Kubectl) -> Iterator[Mapping[str, Any]]:
    """The status of every job of the table above, once it has finished."""
    kubectl("create", "namespace", _NAMESPACE)
    secret = "--from-literal=PASSWORD=correct-horse"
    kubectl("create", "secret", "generic", "vault", secret, "-n", _NAMESPACE)
    _give_echo_the_secret(kubectl)
    _allow(kubectl, "samples.jobs.Missing")
    for name, spec in _JOBS.items():
        kubectl("create", "-f", "-", "-n", _NAMESPACE, stdin=manifest(name, spec))
    yield {name: _wait_until_finished(kubectl, name) for name in _JOBS}
    patch_data(kubectl, "bgjobs-runtimes", {"samples.jobs.Echo": None})


def test_parameters_arrive_as_equal_json_values(finished: Mapping[str, Any]) -> None:
    assert finished["hostile"]["result"] == _HOSTILE


def test_a_parameter_cannot_read_a_secret_of_the_runtime(
    kubectl: Kubectl, finished: Mapping[str, Any]
) -> None:
    job = f"job/{_child(finished['hostile'])}"
    environment = kubectl("get", job, "-n", _NAMESPACE, "-o", "jsonpath={..envFrom}")
    assert "vault" in environment, "the pod did not hold the Secret: the test shows nothing"
    everywhere = json.dumps(finished["hostile"]) + kubectl("logs", job, "-n", _NAMESPACE)
    assert "correct-horse" not in everywhere


@pytest.mark.parametrize(
    ("name", "phase", "reason", "attempts", "exit_code"),
    [
        pytest.param("permanent", "Failed", "PermanentFailure", 1, 66, id="66 ends retrying"),
        pytest.param("crash", "Failed", "Error", 1, 139, id="a null pointer is a failure"),
        pytest.param("out-of-memory", "Failed", "OOMKilled", 1, 137, id="out of memory"),
        pytest.param("later", "Succeeded", "Succeeded", 3, 0, id="75 is run again later"),
        pytest.param("bad-parameters", "Failed", "BadParameters", 1, 65, id="unknown parameter"),
        pytest.param("not-in-image", "Failed", "NotInImage", 1, 64, id="class not in the image"),
        pytest.param("truncated", "Succeeded", "Succeeded", 1, 0, id="a large result"),
    ],
)
def test_a_job_ends_for_the_reason_it_has(
    finished: Mapping[str, Any], name: str, phase: str, reason: str, attempts: int, exit_code: int
) -> None:
    status = finished[name]
    seen = (status["phase"], status["reason"], status["attemptsTotal"])
    assert seen == (phase, reason, attempts), status["message"]
    assert status["attempts"][-1]["exitCode"] == exit_code


@pytest.mark.parametrize(
    ("name", "cause", "mend"),
    [
        (
            "out-of-memory",
            "was killed for using more memory than its limit of 256Mi",
            _EDIT_RUNTIMES,
        ),
        (
            "deadline",
            "ran into its deadline (activeDeadlineSeconds)",
            f"kubectl patch bgjob deadline -n {_NAMESPACE} --type=merge -p "
            """'{"spec":{"activeDeadlineSeconds":4}}'""",
        ),
        ("not-in-image", "failed with exit code 64", _EDIT_RUNTIMES),
    ],
)
def test_explain_tells_why_a_job_failed_and_what_to_do_before_it_is_run_again(
    finished: Mapping[str, Any], name: str, cause: str, mend: str
) -> None:
    assert finished[name]["phase"] == "Failed"
    explanation = explained(_NAMESPACE, name)
    assert cause in explanation["cause"]
    assert commands(explanation)[:2] == [mend, f"kubectl bgjob retry {name} -n {_NAMESPACE}"]


def test_a_deadline_ends_an_attempt(finished: Mapping[str, Any]) -> None:
    assert finished["deadline"]["reason"] == "DeadlineExceeded"


def test_deferring_costs_no_retry(finished: Mapping[str, Any]) -> None:
    assert finished["later"].get("retriesUsed", 0) == 0


def test_a_result_that_is_too_large_is_replaced_by_its_size(finished: Mapping[str, Any]) -> None:
    assert finished["truncated"]["result"]["truncated"] is True
    assert finished["truncated"]["result"]["bytes"] >= 5000


def test_restarting_the_operator_mid_run_changes_nothing(kubectl: Kubectl) -> None:
    spec = {"class": "samples.jobs.Sleep", "parameters": {"seconds": 8}}
    kubectl("create", "-f", "-", "-n", _NAMESPACE, stdin=manifest("outlives", spec))
    _wait_for_phase(kubectl, "outlives", "Running")
    selector = "app.kubernetes.io/component=operator"
    kubectl("delete", "pod", "-n", "bgjobs-system", "-l", selector, "--grace-period=0", "--force")
    status = _wait_until_finished(kubectl, "outlives")
    assert (status["phase"], status["attemptsTotal"]) == ("Succeeded", 1), status["message"]


def test_an_eviction_costs_no_retry(kubectl: Kubectl) -> None:
    spec = {"class": "samples.jobs.Sleep", "parameters": {"seconds": 15}, "retries": 0}
    kubectl("create", "-f", "-", "-n", _NAMESPACE, stdin=manifest("evicted", spec))
    _wait_for_phase(kubectl, "evicted", "Running")
    pod = ("pods", "-l", f"bgjobs.dev/uid={_uid(kubectl, 'evicted')}", "-n", _NAMESPACE)
    name = kubectl("get", *pod, "-o", "jsonpath={.items[0].metadata.name}")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{_NAMESPACE}/pods/{name}/eviction"
    kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    status = _wait_until_finished(kubectl, "evicted")
    outcomes = [attempt["outcome"] for attempt in status["attempts"]]
    assert (status["phase"], outcomes) == ("Succeeded", ["Disrupted", "Succeeded"])


def test_cancelling_a_running_job_ends_its_pod(kubectl: Kubectl) -> None:
    spec = {"class": "samples.jobs.Sleep", "parameters": {"seconds": 600}}
    kubectl("create", "-f", "-", "-n", _NAMESPACE, stdin=manifest("cancelled", spec))
    _wait_for_phase(kubectl, "cancelled", "Running")
    patch = '{"spec": {"cancelled": true, "cancelReason": "a test"}}'
    kubectl("patch", "bgjob/cancelled", "-n", _NAMESPACE, "--type=merge", "-p", patch)
    status = _wait_until_finished(kubectl, "cancelled")
    assert status["phase"] == "Cancelled", status["message"]
    assert re.fullmatch(
        r"Cancelled \(a test\) while attempt 1 was under way; it took \d+ s to end\.",
        status["message"],
    )
    assert status["attempts"][0]["exitCode"] == 143
    log = status["attempts"][0]["logTail"]
    assert log.startswith("asleep\nawake"), "the program was not told to end"
    selector = "-l", f"bgjobs.dev/uid={_uid(kubectl, 'cancelled')}"
    assert kubectl("get", "jobs,pods", "-n", _NAMESPACE, "-o", "name", *selector) == ""


def _get(kubectl: Kubectl, name: str) -> Any:
    return json.loads(kubectl("get", f"bgjob/{name}", "-n", _NAMESPACE, "-o", "json"))


def _uid(kubectl: Kubectl, name: str) -> str:
    uid: str = _get(kubectl, name)["metadata"]["uid"]
    return uid


def _child(status: Mapping[str, Any]) -> str:
    name: str = status["attempts"][-1]["jobName"]
    return name


def _wait_until_finished(kubectl: Kubectl, name: str) -> Any:
    within = f"--timeout={_FINISHED_WITHIN_SECONDS}s"
    kubectl("wait", f"bgjob/{name}", "-n", _NAMESPACE, "--for=condition=Finished", within)
    return _get(kubectl, name)["status"]


def _wait_for_phase(kubectl: Kubectl, name: str, phase: str) -> None:
    condition = f"--for=jsonpath={{.status.phase}}={phase}"
    kubectl("wait", f"bgjob/{name}", "-n", _NAMESPACE, condition, "--timeout=60s")


def _give_echo_the_secret(kubectl: Kubectl) -> None:
    runtime = {
        "image": "localhost/bgjobs/samples:dev",
        "envFrom": [{"secretRef": {"name": "vault", "optional": True}}],
        "namespaces": [_NAMESPACE],
    }
    patch_data(kubectl, "bgjobs-runtimes", {"samples.jobs.Echo": yaml.safe_dump(runtime)})


def _allow(kubectl: Kubectl, class_: str) -> None:
    """Adds a class to the allowlist and waits until the API server admits it."""
    patch_data(kubectl, "bgjobs-allowlist", {class_: "handle"})
    probe = manifest("probe", {"class": class_})
    create = ("create", "--dry-run=server", "-f", "-", "-n", _NAMESPACE)
    once_allowed(kubectl, *create, stdin=probe)
