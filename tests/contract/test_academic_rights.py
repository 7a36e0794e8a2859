"""What the academic service's own account may do in the cluster, and that it is no more."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests import academics, watching
from tests import server as api
from tests.server import ROOT, Answer, Jobs, Server
from urllib3 import HTTPHeaderDict

_ACCOUNT = "system:serviceaccount:academic:academic"
_GROUPS = ("system:serviceaccounts", "system:serviceaccounts:academic", "system:authenticated")
_CLASS = "academic.jobs.AutomatedGrading"
_MERGE = "application/merge-patch+json"


@pytest.fixture(scope="module")
def deployed(installed: Server) -> Jobs:
    """The namespace, the account and what narrows it, in force."""
    jobs = academics.deploy(installed)
    watching.allow(jobs, "shop.jobs.Sync")
    api.await_true(
        "classes of others are refused to the service",
        lambda: (
            "creates jobs of academic.* only"
            in _create(jobs, "probe", "shop.jobs.Sync", "?dryRun=All").message
        ),
    )
    return jobs


def _ask(
    jobs: Jobs, method: str, path: str, body: object = None, content_type: str = "application/json"
) -> Answer:
    """As the service's account, with its rights alone."""
    headers = [("Content-Type", content_type), ("Accept", "application/json")]
    headers += [("Impersonate-User", _ACCOUNT), *(("Impersonate-Group", each) for each in _GROUPS)]
    response = jobs.server.pool.request(
        method,
        jobs.server.url + path,
        body=None if body is None else json.dumps(body).encode(),
        headers=HTTPHeaderDict(headers),
    )
    return Answer(response.status, response.json())


def _create(jobs: Jobs, name: str, class_: str = _CLASS, query: str = "") -> Answer:
    return _ask(jobs, "POST", jobs.path + query, api.manifest(name, class_=class_))


def _patch(jobs: Jobs, name: str, body: object) -> Answer:
    return _ask(jobs, "PATCH", f"{jobs.path}/{name}", body, _MERGE)


@pytest.fixture
def job(deployed: Jobs, name: str) -> Iterator[str]:
    """A job that has failed, as the service created it."""
    answer = _create(deployed, name)
    assert answer.status == 201, answer.message
    yield name
    api.request(deployed.server, "DELETE", f"{deployed.path}/{name}")


def _failed(jobs: Jobs, name: str) -> None:
    status = {"phase": "Failed", "reason": "Error", "message": "It failed."}
    assert api.patch_status(jobs, name, status).status == 200


def test_it_creates_reads_and_lists_its_jobs(deployed: Jobs, job: str) -> None:
    assert _ask(deployed, "GET", f"{deployed.path}/{job}").status == 200
    assert _ask(deployed, "GET", deployed.path).status == 200


def test_it_cancels_with_a_reason(deployed: Jobs, job: str) -> None:
    answer = _patch(deployed, job, {"spec": {"cancelled": True, "cancelReason": "typo"}})
    assert answer.status == 200, answer.message
    assert answer.body["metadata"]["annotations"]["bgjobs.dev/cancelled-by"] == _ACCOUNT


def test_it_starts_what_waits_and_retries_what_failed(deployed: Jobs, job: str) -> None:
    started = _patch(deployed, job, {"spec": {"startRequests": 1}})
    assert started.status == 200, started.message
    _failed(deployed, job)
    retried = _patch(deployed, job, {"spec": {"retryRequests": 1}})
    assert retried.status == 200, retried.message


@pytest.mark.parametrize(
    "change",
    [
        {"priority": "High"},
        {"retries": 99},
        {"suspend": True},
        {"delay": 5},
        {"backoff": {"seconds": 1}},
        {"ttlSecondsAfterFinished": 0},
        {"activeDeadlineSeconds": 7},
        {"retries": None},
        {"cancelled": True, "suspend": True},
    ],
)
def test_it_changes_nothing_else_of_a_spec(
    deployed: Jobs, job: str, change: dict[str, Any]
) -> None:
    # So that taking the retries away is a change.
    assert api.patch_spec(deployed, job, retries=7).status == 200
    answer = _patch(deployed, job, {"spec": change})
    assert answer.status == 403
    assert "may change startRequests, retryRequests, cancelled, cancelReason only" in answer.message


@pytest.mark.parametrize(
    "metadata",
    [
        {"labels": {"team": "other"}},
        {"annotations": {"note": "mine"}},
        {"finalizers": ["academic.example/keep"]},
        {"annotations": {"bgjobs.dev/created-by": "somebody else"}},
        {"annotations": {"bgjobs.dev/note": "mine"}},
    ],
)
def test_it_changes_nothing_of_the_metadata(
    deployed: Jobs, job: str, metadata: dict[str, Any]
) -> None:
    assert _patch(deployed, job, {"metadata": metadata}).status == 403


def test_whoever_is_not_the_service_is_not_narrowed(deployed: Jobs, job: str) -> None:
    answer = api.patch_spec(deployed, job, user="somebody", retries=9)
    assert answer.status == 200, answer.message


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/apis/bgjobs.dev/v1alpha1/namespaces/academic/backgroundjobs/any"),
        ("DELETE", "/apis/bgjobs.dev/v1alpha1/namespaces/academic/backgroundjobs"),
        ("PATCH", "/apis/bgjobs.dev/v1alpha1/namespaces/academic/backgroundjobs/any/status"),
        ("GET", "/apis/bgjobs.dev/v1alpha1/namespaces/default/backgroundjobs"),
        ("GET", "/apis/bgjobs.dev/v1alpha1/backgroundjobs"),
        ("POST", "/apis/bgjobs.dev/v1alpha1/namespaces/default/backgroundjobs"),
        ("GET", "/api/v1/namespaces/academic/secrets"),
        ("GET", "/api/v1/namespaces/academic/secrets/academic"),
        ("GET", "/api/v1/namespaces/academic/pods"),
        ("POST", "/api/v1/namespaces/academic/pods"),
        ("GET", "/apis/batch/v1/namespaces/academic/jobs"),
        ("GET", "/api/v1/namespaces/bgjobs-system/secrets"),
        ("GET", "/api/v1/nodes"),
    ],
)
def test_it_may_do_nothing_else_in_the_cluster(deployed: Jobs, method: str, path: str) -> None:
    body = api.manifest("any") if method == "POST" else {} if method == "PATCH" else None
    content_type = _MERGE if method == "PATCH" else "application/json"
    assert _ask(deployed, method, path, body, content_type).status == 403


@pytest.mark.parametrize("overlay", ["base", "local"])
def test_the_api_server_accepts_the_manifests(deployed: Jobs, overlay: str) -> None:
    done = api.kubectl(
        deployed.server,
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server"),
        *("--validate=strict", f"--kustomize={ROOT}/academic/deploy/{overlay}"),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["academic", "academic-migrate", "postbox"])
def test_its_pods_pass_restricted_pod_security(deployed: Jobs, name: str) -> None:
    overlay = f"{ROOT}/academic/deploy/local"
    rendered = api.kubectl(deployed.server, "kustomize", overlay).stdout
    [template] = [
        each["spec"]["template"]
        for each in yaml.safe_load_all(rendered)
        if each["metadata"]["name"] == name and each["kind"] in ("Deployment", "Job")
    ]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": template["spec"]}
    path = f"/api/v1/namespaces/{deployed.namespace}/pods?dryRun=All"
    answer = api.request(deployed.server, "POST", path, pod)
    assert answer.status == 201, answer.message


def test_students_programs_are_kept_from_the_database() -> None:
    file = ROOT / "deploy" / "overlays" / "local" / "mariadb" / "network-policy.yaml"
    [rule] = yaml.safe_load(file.read_text())["spec"]["ingress"]
    [service] = [each for each in rule["from"] if "namespaceSelector" in each]
    [expression] = service["podSelector"]["matchExpressions"]
    assert expression == {"key": "academic.bgjobs.dev/sandbox", "operator": "DoesNotExist"}
