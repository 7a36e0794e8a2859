"""Who created, cancelled, started or retried a job is on record, and cannot be forged."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.server import (
    Answer,
    Jobs,
    created,
    kubectl,
    manifest,
    patch,
    patch_spec,
    patch_status,
    request,
)

CREATED = "bgjobs.dev/created-by"
CANCELLED = "bgjobs.dev/cancelled-by"
STARTED = "bgjobs.dev/started-by"
RETRIED = "bgjobs.dev/retried-by"


def _who(job: Mapping[str, Any]) -> dict[str, str]:
    annotations = job["metadata"].get("annotations", {})
    return {key: annotations[key] for key in annotations if key.startswith("bgjobs.dev/")}


def _annotate(jobs: Jobs, name: str, annotations: Mapping[str, str | None], *, user: str) -> Answer:
    return patch(jobs, name, {"metadata": {"annotations": annotations}}, user=user)


def _failed(jobs: Jobs, name: str, **spec: Any) -> None:
    created(jobs, name, user="alice", **spec)
    answer = patch_status(jobs, name, {"phase": "Failed", "reason": "Error"})
    assert answer.status == 200, answer.message


def test_creating(jobs: Jobs, name: str) -> None:
    assert _who(created(jobs, name, user="alice")) == {CREATED: "alice"}


def test_creating_beside_other_annotations(jobs: Jobs, name: str) -> None:
    job = created(jobs, name, user="alice", annotations={"team": "shop"})
    assert job["metadata"]["annotations"] == {CREATED: "alice", "team": "shop"}


def test_a_service_account(jobs: Jobs, name: str) -> None:
    account = "system:serviceaccount:shop:web"
    assert _who(created(jobs, name, user=account)) == {CREATED: account}


def test_cancelling(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    answer = patch_spec(jobs, name, user="bob", cancelled=True)
    assert _who(answer.body) == {CREATED: "alice", CANCELLED: "bob"}


def test_starting(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice", delay="1h")
    answer = patch_spec(jobs, name, user="bob", startRequests=1)
    assert _who(answer.body) == {CREATED: "alice", STARTED: "bob"}


def test_retrying(jobs: Jobs, name: str) -> None:
    _failed(jobs, name)
    answer = patch_spec(jobs, name, user="bob", retryRequests=1)
    assert _who(answer.body) == {CREATED: "alice", RETRIED: "bob"}


def test_retrying_a_cancelled_job_keeps_who_cancelled_it(jobs: Jobs, name: str) -> None:
    _failed(jobs, name, cancelled=True)
    answer = patch_spec(jobs, name, user="bob", cancelled=False, retryRequests=1)
    assert _who(answer.body) == {CREATED: "alice", CANCELLED: "alice", RETRIED: "bob"}


def test_the_latest_one_is_kept(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice", delay="1h")
    patch_spec(jobs, name, user="bob", startRequests=1)
    answer = patch_spec(jobs, name, user="carol", startRequests=2)
    assert _who(answer.body)[STARTED] == "carol"


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"cancelled": True}, {CREATED: "alice", CANCELLED: "alice"}, id="cancelled"),
        pytest.param({"startRequests": 2}, {CREATED: "alice", STARTED: "alice"}, id="started"),
        pytest.param({"retryRequests": 2}, {CREATED: "alice"}, id="retried, which does nothing"),
    ],
)
def test_creating_with_requests(
    jobs: Jobs, name: str, spec: dict[str, Any], want: dict[str, str]
) -> None:
    assert _who(created(jobs, name, user="alice", **spec)) == want


def test_other_changes_leave_no_name(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    answer = patch_spec(jobs, name, user="bob", priority="High", suspend=True)
    assert _who(answer.body) == {CREATED: "alice"}


@pytest.mark.parametrize("annotation", [CREATED, CANCELLED, STARTED, RETRIED])
def test_writing_by_hand_is_refused(jobs: Jobs, name: str, annotation: str) -> None:
    created(jobs, name, user="alice")
    answer = _annotate(jobs, name, {annotation: "mallory"}, user="bob")
    assert answer.status == 403
    assert answer.message.endswith(
        f"the cluster itself writes who did it: take the annotation(s) {annotation} out of your "
        "change or manifest"
    )


def test_writing_ones_own_name_without_doing_it_is_refused(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    assert _annotate(jobs, name, {CREATED: "bob"}, user="bob").status == 403


def test_doing_it_in_another_name_records_the_one_who_did_it(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    body = {"metadata": {"annotations": {CANCELLED: "mallory"}}, "spec": {"cancelled": True}}
    assert _who(patch(jobs, name, body, user="bob").body)[CANCELLED] == "bob"


def test_a_new_job_loses_the_names_that_it_brings_along(jobs: Jobs, name: str) -> None:
    brought = dict.fromkeys((CREATED, CANCELLED, STARTED, RETRIED), "mallory")
    assert _who(created(jobs, name, user="alice", annotations=brought)) == {CREATED: "alice"}


def test_taking_a_name_out_puts_it_back(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    answer = _annotate(jobs, name, {CREATED: None}, user="bob")
    assert _who(answer.body) == {CREATED: "alice"}, answer.message


def test_replacing_with_the_original_manifest_keeps_the_names(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice", delay="1h")
    started = patch_spec(jobs, name, user="bob", startRequests=1).body
    body = manifest(name, delay="1h", startRequests=1)
    body["metadata"]["resourceVersion"] = started["metadata"]["resourceVersion"]
    answer = request(jobs.server, "PUT", f"{jobs.path}/{name}", body, user="carol")
    assert _who(answer.body) == {CREATED: "alice", STARTED: "bob"}, answer.message


def test_applying_an_exported_manifest_again_is_no_forgery(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    selected = ("--namespace", jobs.namespace)
    exported = kubectl(jobs.server, "get", "bgjob", name, *selected, "-o", "yaml").stdout
    applied = kubectl(
        jobs.server,
        "apply",
        *selected,
        "--as=bob",
        "--as-group=system:masters",
        "-f",
        "-",
        standard_input=exported,
    )
    assert applied.returncode == 0, applied.stderr


def test_the_operators_status_writes_leave_no_name(jobs: Jobs, name: str) -> None:
    created(jobs, name, user="alice")
    answer = patch_status(jobs, name, {"phase": "Running", "reason": "Running"})
    assert _who(answer.body) == {CREATED: "alice"}
