"""deploy/base/rbac.yaml grants the operator what it calls, and nothing more."""

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests import operating, watching
from tests import server as api
from tests.recording import Answered, Call, recorder
from tests.server import ROOT, Jobs, Server
from tests.watching import phase, reason, submit, wait, wait_event

_NAMESPACE = "rbac"
_NO_POD = "rbac.jobs.NoPod"
"""Its runtime names an account that is not there."""


_ASKED_BY_THE_API_SERVER = Call("update", "bgjobs.dev", "backgroundjobs/finalizers")
"""Where OwnerReferencesPermissionEnforcement is on, for blockOwnerDeletion on child Jobs."""


@pytest.fixture(scope="module")
def answered(
    installed: Server, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[set[Answered]]:
    """Every kind of call that the operator makes while it does all that it does."""
    directory = tmp_path_factory.mktemp("rbac")
    operating.install(installed)
    operating.delete_leftovers(installed)
    jobs = watching.new_namespace(installed, _NAMESPACE)
    watching.allow(jobs, watching.CLASS)
    watching.allow(jobs, _NO_POD)
    runtime = f"serviceAccountName: nobody\nnamespaces: [{_NAMESPACE}]"
    watching.set_key(installed, "bgjobs-runtimes", _NO_POD, runtime)
    database = f"sqlite:///{directory / 'mirror.sqlite'}"
    with (
        recorder(installed) as (url, answered),
        operating.running(installed, database, directory, url, BGJOBS_SWEEP_SECONDS="1"),
    ):
        _let_it_do_everything(jobs)
        yield answered


def _let_it_do_everything(jobs: Jobs) -> None:
    """Run, cancel, delete, expire, wait for a pod that does not start."""
    submit(jobs, "expires", ttlSecondsAfterFinished=0)
    submit(jobs, "succeeds")
    submit(jobs, "cancelled", pods=[{"lasts": "1h"}])
    stuck = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    submit(jobs, "stuck", parameters=stuck)
    submit(jobs, "no-pod", class_=_NO_POD)
    submit(jobs, "deleted", pods=[{"lasts": "1h"}])
    wait(jobs, "deleted", phase("Running"))
    assert api.request(jobs.server, "DELETE", f"{jobs.path}/deleted").status == 200
    wait(jobs, "cancelled", phase("Running"))
    watching.change(jobs, "cancelled", cancelled=True)
    wait(jobs, "cancelled", phase("Cancelled"))
    wait(jobs, "stuck", reason("ImagePullBackOff"))
    wait(jobs, "no-pod", reason("ConfigurationInvalid"))
    wait_event(jobs.server, jobs.namespace, "succeeds", "Succeeded")
    api.wait_until(
        lambda: api.request(jobs.server, "GET", f"{jobs.path}/expires").status == 404,
        lambda: "expires is still there",
        within_s=20,
    )


def test_nothing_that_the_operator_calls_is_forbidden(answered: set[Answered]) -> None:
    assert {call for call, status in answered if status in (401, 403)} == set()


def test_the_operator_calls_all_that_it_is_granted(answered: set[Answered]) -> None:
    assert granted() - {call for call, _ in answered} == {_ASKED_BY_THE_API_SERVER}


@pytest.mark.parametrize(
    ("resource", "names"),
    [("configmaps", ["bgjobs-allowlist", "bgjobs-runtimes"]), ("leases", ["bgjobs-operator"])],
)
def test_what_lies_in_its_namespace_is_granted_by_name_only(
    resource: str, names: list[str]
) -> None:
    rules = [rule for rule in _rules() if resource in rule["resources"]]
    # What is to be created has no name yet.
    named = [rule.get("resourceNames") for rule in rules if rule["verbs"] != ["create"]]
    assert named == [names]


def granted() -> set[Call]:
    return {
        Call(verb, group, resource)
        for rule in _rules()
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def _rules() -> list[Any]:
    documents = yaml.safe_load_all((ROOT / "deploy/base/rbac.yaml").read_text())
    return [rule for document in documents for rule in document.get("rules", ())]
