"""What kubectl shows of BackgroundJobs: columns, selectors, explanations, waiting."""

import json
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import pytest
from tests.server import (
    CLASS,
    METHODS,
    Jobs,
    Server,
    allow,
    await_true,
    create,
    created,
    kubectl,
    patch_status,
    request,
)

_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def _columns(jobs: Jobs, name: str, *, wide: bool) -> dict[str, object]:
    """One job's cells by their column, as the server sends them to kubectl."""
    table = request(jobs.server, "GET", f"{jobs.path}/{name}", accept=_TABLE).body
    cells = zip(table["columnDefinitions"], table["rows"][0]["cells"], strict=True)
    return {column["name"]: cell for column, cell in cells if wide or column["priority"] == 0}


def _finished(jobs: Jobs, name: str) -> None:
    created(jobs, name, priority=1)
    answer = patch_status(
        jobs,
        name,
        {
            "phase": "Failed",
            "reason": "OOMKilled",
            "message": "Needed more memory than its limit.",
            "attemptsTotal": 2,
            "nextAttemptTime": "2999-01-31T06:00:07Z",
            "runSeconds": 12.5,
            "conditions": [
                {
                    "type": "Finished",
                    "status": "True",
                    "reason": "Failed",
                    "message": "",
                    "lastTransitionTime": "2030-01-31T06:00:00Z",
                    "observedGeneration": 1,
                }
            ],
        },
    )
    assert answer.status == 200, answer.message


@pytest.fixture(scope="module")
def selected(installed: Server) -> Jobs:
    """Three jobs in a namespace of their own: two new ones of two classes and a failed one."""
    namespace = {"metadata": {"name": "test-crd-output-selected"}}
    assert request(installed, "POST", "/api/v1/namespaces", namespace).status == 201
    allow(installed, {CLASS: " ".join(METHODS), "contract.jobs.Second": "handle"})
    jobs = Jobs(installed, "test-crd-output-selected")
    created(jobs, "new")
    _finished(jobs, "failed")
    await_true(
        "the second class allowed",
        lambda: create(jobs, "other", class_="contract.jobs.Second").status == 201,
    )
    return jobs


def _in_namespace(jobs: Jobs, *arguments: str) -> subprocess.CompletedProcess[str]:
    return kubectl(jobs.server, "--namespace", jobs.namespace, *arguments)


def test_columns_of_a_new_job(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    columns = _columns(jobs, name, wide=False)
    assert columns.pop("Age"), columns
    assert columns == {
        "Name": name,
        "Class": CLASS,
        "Method": "handle",
        "Priority": "Medium",
        "Phase": "Pending",
        "Reason": "Queued",
        "Attempts": None,
    }


def test_columns_of_a_finished_job(jobs: Jobs, name: str) -> None:
    _finished(jobs, name)
    columns = _columns(jobs, name, wide=False)
    assert (columns["Priority"], columns["Reason"], columns["Attempts"]) == ("1", "OOMKilled", 2)


def test_wide_columns_show_a_time_to_come_and_the_message(jobs: Jobs, name: str) -> None:
    _finished(jobs, name)
    columns = _columns(jobs, name, wide=True)
    assert (columns["Next attempt"], columns["Run time"], columns["Message"]) == (
        "2999-01-31T06:00:07Z",
        "12.5",
        "Needed more memory than its limit.",
    )


@pytest.mark.parametrize("word", ["bgjob", "bgj", "backgroundjob", "backgroundjobs", "all"])
def test_kubectl_knows_it_by_every_name(jobs: Jobs, name: str, word: str) -> None:
    created(jobs, name)
    shown = _in_namespace(jobs, "get", word)
    assert name in shown.stdout, shown.stderr


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("status.phase=Failed", {"failed"}),
        ("status.phase=Pending", {"new", "other"}),
        ("status.phase!=Failed", {"new", "other"}),
        (f"spec.class={CLASS}", {"new", "failed"}),
        (f"spec.class={CLASS},status.phase=Pending", {"new"}),
    ],
)
def test_field_selectors(installed: Server, selected: Jobs, selector: str, found: set[str]) -> None:
    answer = request(installed, "GET", f"{selected.path}?fieldSelector={quote(selector)}")
    assert {each["metadata"]["name"] for each in answer.body["items"]} == found


def test_kubectl_waits_for_finished(jobs: Jobs, name: str) -> None:
    _finished(jobs, name)
    waited = _in_namespace(
        jobs, "wait", "--for=condition=Finished", "--timeout=10s", f"bgjob/{name}"
    )
    assert waited.returncode == 0, waited.stderr


def test_kubectl_wait_does_not_take_a_new_job_for_finished(jobs: Jobs, name: str) -> None:
    created(jobs, name)
    waited = _in_namespace(jobs, "wait", "--for=condition=Finished", "--timeout=0", f"bgjob/{name}")
    assert "condition not met" in waited.stderr


def _unexplained(path: str, node: Mapping[str, Any]) -> Iterator[str]:
    """The paths of all fields from here down that say nothing of themselves."""
    if not node.get("description"):
        yield path
    for key, field in node.get("items", node).get("properties", {}).items():
        yield from _unexplained(f"{path}.{key}", field)


def test_every_field_is_explained(installed: Server) -> None:
    """As kubectl explain prints it: it reads the same OpenAPI document."""
    document = request(installed, "GET", "/openapi/v3/apis/bgjobs.dev/v1alpha1").body
    schema = document["components"]["schemas"]["dev.bgjobs.v1alpha1.BackgroundJob"]

    fields = schema["properties"]
    assert [*_unexplained("spec", fields["spec"]), *_unexplained("status", fields["status"])] == []


def test_kubectl_explains_a_field(installed: Server) -> None:
    explained = kubectl(installed, "explain", "bgjob.spec.delay")
    assert "How long to wait after creation" in explained.stdout, explained.stderr


def test_kubectl_prints_every_broken_rule_at_once(jobs: Jobs, name: str) -> None:
    job = {
        "apiVersion": "bgjobs.dev/v1alpha1",
        "kind": "BackgroundJob",
        "metadata": {"name": name, "namespace": jobs.namespace},
        "spec": {"class": "Sample", "delay": "soon"},
    }
    applied = kubectl(jobs.server, "apply", "-f", "-", standard_input=json.dumps(job))
    assert ("class must be" in applied.stderr, "delay must be" in applied.stderr) == (True, True)
