"""The admission policies fit the resource that they are about."""

import pytest
from tests.server import Server, await_true, request

_POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"


@pytest.mark.parametrize("policy", ["bgjobs-allowlist", "bgjobs-parameters", "bgjobs-who-guard"])
def test_expressions_fit_the_schema(installed: Server, policy: str) -> None:
    """The API server itself checks their types against the CRD and lists what does not fit."""
    path = f"{_POLICIES}/{policy}"

    def checked() -> bool:
        seen = request(installed, "GET", path).body
        observed = seen.get("status", {}).get("observedGeneration")
        return bool(observed == seen["metadata"]["generation"])

    await_true("the policy's types checked", checked)
    status = request(installed, "GET", path).body["status"]
    assert status["typeChecking"].get("expressionWarnings", []) == []
