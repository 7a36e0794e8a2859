"""Only allow-listed methods of allow-listed classes can be submitted."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.server import (
    ALLOWLIST,
    CLASS,
    METHODS,
    Answer,
    Jobs,
    Server,
    allow,
    await_true,
    create,
    created,
    manifest,
    patch_spec,
    request,
)

_ASK = (
    "is not on the allowlist: check the spelling, or ask your platform engineers to add it to the "
    "ConfigMap bgjobs-allowlist in the namespace bgjobs-system"
)
_MERGE = "application/merge-patch+json"


@pytest.fixture(autouse=True)
def _own_entries(installed: Server, jobs: Jobs) -> Iterator[None]:
    """Each test finds the same entries, whatever the one before did to them."""
    allow(installed, {CLASS: " ".join(METHODS)})
    await_true("the allowlist as it was", lambda: _submit(jobs).status == 201)
    yield
    allow(installed, {CLASS: " ".join(METHODS)})


def _submit(jobs: Jobs, **spec: Any) -> Answer:
    """Whether this would be accepted, without anything being created."""
    body = manifest("dry-run", **spec)
    return request(jobs.server, "POST", f"{jobs.path}?dryRun=All", body)


@pytest.mark.parametrize("method", METHODS)
def test_listed_methods_are_accepted(jobs: Jobs, method: str) -> None:
    answer = _submit(jobs, method=method)
    assert answer.status == 201, answer.message


@pytest.mark.parametrize(
    "class_",
    [
        pytest.param("contract.jobs.Unknown", id="another class"),
        pytest.param("os.system", id="the standard library"),
        pytest.param("builtins.eval", id="a built-in"),
        pytest.param("contract.jobs.sample", id="another case"),
        pytest.param("contract.jobs.Sample.Inner", id="below a listed class"),
        pytest.param("contract.jobs", id="above a listed class"),
        pytest.param("contract.jobs.Sampl", id="the beginning of a listed class"),
        pytest.param("contract.jobs.SampIe", id="a look-alike in ASCII"),
    ],
)
def test_another_class_is_refused_by_name(jobs: Jobs, class_: str) -> None:
    answer = _submit(jobs, class_=class_)
    assert answer.status == 403
    assert answer.message.endswith(f"class {class_} (method handle) {_ASK}")


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("unknown", id="another method"),
        pytest.param("Handle", id="another case"),
        pytest.param("handl", id="the beginning of a listed method"),
        pytest.param("handle2", id="longer than a listed method"),
    ],
)
def test_another_method_is_refused_with_those_that_are_listed(jobs: Jobs, method: str) -> None:
    answer = _submit(jobs, method=method)
    assert answer.status == 403
    listed = _ASK.replace("allowlist:", "allowlist (only handle, other):")
    assert answer.message.endswith(f"method {method} of class {CLASS} {listed}")


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("handle third", id="spaces"),
        pytest.param("handle\nthird\n", id="lines"),
        pytest.param("  third\t\n\n  handle ", id="any white space"),
        pytest.param("handle, third", id="commas"),
    ],
)
def test_methods_can_be_listed_in_every_usual_way(
    installed: Server, jobs: Jobs, value: str
) -> None:
    allow(installed, {CLASS: value})
    await_true("the new method accepted", lambda: _submit(jobs, method="third").status == 201)


def test_a_class_without_methods_takes_none(installed: Server, jobs: Jobs) -> None:
    allow(installed, {CLASS: " \n"})
    await_true(
        "the method refused",
        lambda: _submit(jobs).message.endswith(f"method handle of class {CLASS} {_ASK}"),
    )


def test_a_class_taken_off_is_refused(installed: Server, jobs: Jobs) -> None:
    allow(installed, {"contract.jobs.Second": "handle"})
    await_true("the class refused", lambda: _submit(jobs).status == 403)


def test_a_job_whose_class_was_taken_off_can_still_be_cancelled(
    installed: Server, jobs: Jobs, name: str
) -> None:
    created(jobs, name)
    allow(installed, {"contract.jobs.Second": "handle"})
    await_true("the class refused", lambda: _submit(jobs).status == 403)
    answer = patch_spec(jobs, name, cancelled=True)
    assert answer.status == 200, answer.message


@pytest.fixture
def stored(installed: Server) -> Iterator[Answer]:
    """The whole ConfigMap, of which others own entries too, put back afterwards."""
    before = request(installed, "GET", ALLOWLIST)
    yield before
    restored = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "bgjobs-allowlist"},
        "data": before.body["data"],
    }
    request(installed, "DELETE", ALLOWLIST)
    answer = request(installed, "POST", ALLOWLIST.rpartition("/")[0], restored)
    assert answer.status == 201, answer.message


@pytest.mark.usefixtures("stored")
def test_without_the_configmap_nothing_is_accepted(installed: Server, jobs: Jobs) -> None:
    assert request(installed, "DELETE", ALLOWLIST).status == 200
    await_true(
        "everything refused",
        lambda: "no params found for policy binding with `Deny`" in _submit(jobs).message,
    )


@pytest.mark.usefixtures("stored")
def test_with_an_empty_configmap_nothing_is_accepted(installed: Server, jobs: Jobs) -> None:
    emptied = request(installed, "PATCH", ALLOWLIST, {"data": None}, content_type=_MERGE)
    assert emptied.status == 200
    await_true(
        "everything refused",
        lambda: _submit(jobs).message.endswith(f"class {CLASS} (method handle) {_ASK}"),
    )


def test_a_configmap_of_the_same_name_elsewhere_allows_nothing(
    installed: Server, jobs: Jobs
) -> None:
    own = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "bgjobs-allowlist"},
        "data": {"os.system": "handle"},
    }
    path = f"/api/v1/namespaces/{jobs.namespace}/configmaps"
    assert request(installed, "POST", path, own).status == 201
    assert create(jobs, "elsewhere", class_="os.system").status == 403
