"""What programs printed is in the mirror, though their pods are gone."""

import json
import time
from collections.abc import Mapping
from typing import Any

import pytest
from tests.e2e.conftest import manifest

from bgjobs_local.kubectl import Kubectl

_NAMESPACE = "e2e-logs"
_PRINTS_WITHIN_SECONDS = 30
_MIRRORED_WITHIN_SECONDS = 30
_STOPPED = ("is-cancelled", "is-suspended", "loses-its-job", "loses-its-pod")
_SLEEP: Mapping[str, Any] = {
    "class": "samples.jobs.Sleep",
    "parameters": {"seconds": 600},
    "retries": 0,
}
_JOBS: Mapping[str, Mapping[str, Any]] = {
    "fails": {"class": "samples.jobs.Fail", "parameters": {"times": 1}, "retries": 0},
    "succeeds": {"class": "samples.jobs.Output", "parameters": {"bytes": 5}},
    "takes-too-long": {**_SLEEP, "activeDeadlineSeconds": 5},
    **dict.fromkeys(_STOPPED, _SLEEP),
}
_PRINTED = {
    "fails": "attempt 1\n",
    "takes-too-long": "asleep\n",
    **dict.fromkeys(_STOPPED, "asleep\nawake\n"),
}
# Where the operator is, the mirror's address and password are.
_READ = """
import json, os, sys
import sqlalchemy as sa
query = sa.text("SELECT name, text FROM log_tails JOIN jobs USING (uid) WHERE namespace = :name")
with sa.create_engine(os.environ["BGJOBS_DATABASE_URL"]).connect() as connection:
    print(json.dumps(dict(map(tuple, connection.execute(query, {"name": sys.argv[1]})))))
"""


@pytest.fixture(scope="module")
def logs(kubectl: Kubectl) -> Mapping[str, str]:
    """By the name of their job, once all have ended."""
    kubectl("create", "namespace", _NAMESPACE)
    for name, spec in _JOBS.items():
        kubectl("create", "-f", "-", "-n", _NAMESPACE, stdin=manifest(name, spec))
    for name in _STOPPED:
        _wait(kubectl, name, "jsonpath={.status.phase}=Running")
        _wait_until_it_prints(kubectl, name)
    patch = ("patch", "-n", _NAMESPACE, "--type=merge", "-p")
    kubectl(*patch, '{"spec": {"cancelled": true}}', "bgjob/is-cancelled")
    kubectl(*patch, '{"spec": {"suspend": true}}', "bgjob/is-suspended")
    kubectl("delete", _job_of(kubectl, "loses-its-job"), "-n", _NAMESPACE, "--wait=false")
    kubectl("delete", _pod_of(kubectl, "loses-its-pod"), "-n", _NAMESPACE, "--wait=false")
    _wait(kubectl, "is-suspended", "jsonpath={.status.attempts[0].outcome}=Suspended")
    for name in _JOBS.keys() - {"is-suspended"}:
        _wait(kubectl, name, "condition=Finished")
    deadline = time.monotonic() + _MIRRORED_WITHIN_SECONDS
    while True:
        found = _mirrored(kubectl)
        if found.keys() >= _PRINTED.keys() or time.monotonic() > deadline:
            return found


@pytest.mark.parametrize(("name", "printed"), _PRINTED.items())
def test_the_end_of_a_log_is_kept_of_what_does_not_succeed(
    logs: Mapping[str, str], name: str, printed: str
) -> None:
    assert printed in logs.get(name, "")


def test_none_is_kept_of_what_succeeds(logs: Mapping[str, str]) -> None:
    assert "succeeds" not in logs


def _wait(kubectl: Kubectl, name: str, condition: str) -> None:
    kubectl("wait", f"bgjob/{name}", "-n", _NAMESPACE, f"--for={condition}", "--timeout=150s")


def _wait_until_it_prints(kubectl: Kubectl, name: str) -> None:
    """The first line is there as soon as the log is followed."""
    pod = _pod_of(kubectl, name)
    deadline = time.monotonic() + _PRINTS_WITHIN_SECONDS
    while "asleep" not in kubectl("logs", pod, "-n", _NAMESPACE):
        assert time.monotonic() < deadline, f"{name} prints nothing"


def _job_of(kubectl: Kubectl, name: str) -> str:
    return _of(kubectl, name, "jobs")


def _pod_of(kubectl: Kubectl, name: str) -> str:
    return _of(kubectl, name, "pods")


def _of(kubectl: Kubectl, name: str, kind: str) -> str:
    uid = kubectl("get", f"bgjob/{name}", "-n", _NAMESPACE, "-o", "jsonpath={.metadata.uid}")
    selector = ("-l", f"bgjobs.dev/uid={uid}")
    return kubectl("get", kind, "-n", _NAMESPACE, "-o", "name", *selector).strip()


def _mirrored(kubectl: Kubectl) -> Mapping[str, str]:
    operator = ("exec", "deployment/bgjobs-operator", "-n", "bgjobs-system", "--")
    texts: Mapping[str, str] = json.loads(kubectl(*operator, "python3", "-c", _READ, _NAMESPACE))
    return texts
