"""deploy/base/rbac-users.yaml lets people do what they are there for, and nothing more."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import operating, plugin
from tests import server as api
from tests.recording import Answered, Call, recorder
from tests.server import CLASS, ROOT, Jobs, Server

_BACKGROUND_JOBS = ("bgjobs.dev", "backgroundjobs")
_ELSEWHERE = Call("list", *_BACKGROUND_JOBS)
"""Explain asks for the jobs of all namespaces first, then for those of its own."""


@pytest.fixture(scope="module")
def people(installed: Server) -> Jobs:
    """A namespace with accounts that are bound to the role they are named after, or to none."""
    operating.install(installed)
    for file in ("rbac-users", "allowlist"):
        _apply(installed, (ROOT / f"deploy/base/{file}.yaml").read_text())
    api.allow(installed, {CLASS: "handle other"})
    namespace = "rbac-users"
    documents: list[Any] = [_object("v1", "Namespace", namespace)]
    for name in ("bgjobs-viewer", "bgjobs-submitter", "bgjobs-admin", "view", "edit", "nobody"):
        documents.append(_object("v1", "ServiceAccount", name, namespace))
        if name != "nobody":
            documents.append(_binding(name, namespace))
    _apply(installed, yaml.safe_dump_all(documents))
    return Jobs(installed, namespace)


def _apply(server: Server, documents: str) -> None:
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    done = api.kubectl(server, *apply, standard_input=documents)
    assert done.returncode == 0, done.stderr


def _object(version: str, kind: str, name: str, namespace: str | None = None) -> Any:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _binding(name: str, namespace: str) -> Any:
    return {
        **_object("rbac.authorization.k8s.io/v1", "RoleBinding", name, namespace),
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": name,
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace}],
    }


@pytest.fixture
def answered(people: Jobs) -> Iterator[tuple[str, set[Answered]]]:
    """An address of the API server, and what is asked there."""
    with recorder(people.server) as recorded:
        yield recorded


Answering = tuple[str, set[Answered]]


def _as(
    account: str, people: Jobs, answered: Answering, directory: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    path = f"/api/v1/namespaces/{people.namespace}/serviceaccounts/{account}/token"
    request = _object("authentication.k8s.io/v1", "TokenRequest", account) | {"spec": {}}
    answer = api.request(people.server, "POST", path, request)
    assert answer.status == 201, answer.message
    content = {
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": answered[0]}}],
        "users": [{"name": "u", "user": {"token": answer.body["status"]["token"]}}],
    }
    kubeconfig = directory / "kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(content))
    return plugin.run(people.server, *arguments, "-n", people.namespace, kubeconfig=kubeconfig)


def _forbidden(answered: Answering) -> set[Call]:
    return {call for call, status in answered[1] if status == 403}


def test_a_submitter_may_do_all_that_the_plugin_does_with_jobs(
    people: Jobs, answered: Answering, tmp_path: Path, name: str
) -> None:
    def does(*arguments: str) -> None:
        done = _as("bgjobs-submitter", people, answered, tmp_path, *arguments)
        assert done.returncode == 0, done.stderr

    does("submit", CLASS, "--name", name, "--delay", "1h")
    does("list")
    does("explain", name)
    does("suspend", name)
    does("resume", name)
    does("start", name)
    failed = {"phase": "Failed", "reason": "Error", "message": "set by a test"}
    assert api.patch_status(people, name, failed).status == 200
    does("retry", "--class", CLASS, "--yes")
    does("cancel", name)
    said = _as("bgjobs-submitter", people, answered, tmp_path, "logs", name).stderr
    assert said == f"error: BackgroundJob {name} has made no attempt yet: set by a test\n"
    assert _forbidden(answered) == {_ELSEWHERE}


def test_a_viewer_may_look_and_is_told_what_is_hidden(
    people: Jobs, answered: Answering, tmp_path: Path, name: str
) -> None:
    api.created(people, name)
    listed = _as("bgjobs-viewer", people, answered, tmp_path, "list", "-o", "name")
    assert f"backgroundjob.bgjobs.dev/{name}" in listed.stdout.splitlines()
    done = _as("bgjobs-viewer", people, answered, tmp_path, "explain", name, "-o", "json")
    assert json.loads(done.stdout)["unreadable"] == [
        f"You may not see Jobs in namespace {people.namespace}.",
        "You may not see BackgroundJobs of other namespaces.",
        "You may not see which jobs have only just begun.",
    ]
    jobs = {Call(verb, "batch", "jobs") for verb in ("get", "list")}
    assert _forbidden(answered) == {_ELSEWHERE, *jobs}


@pytest.mark.parametrize("arguments", [("submit", CLASS), ("cancel", "{}"), ("suspend", "{}")])
def test_a_viewer_may_change_nothing(
    people: Jobs, answered: Answering, tmp_path: Path, name: str, arguments: tuple[str, ...]
) -> None:
    api.created(people, name)
    words = [word.format(name) for word in arguments]
    done = _as("bgjobs-viewer", people, answered, tmp_path, *words)
    assert done.returncode == 1
    assert f'is forbidden: User "system:serviceaccount:{people.namespace}:bgjobs-viewer"' in (
        done.stderr
    )


@pytest.mark.parametrize(
    ("account", "verb", "resource", "may"),
    [
        ("bgjobs-viewer", "watch", "backgroundjobs", True),
        ("bgjobs-viewer", "create", "backgroundjobs", False),
        ("bgjobs-viewer", "get", "pods", False),
        ("bgjobs-submitter", "watch", "backgroundjobs", True),
        ("bgjobs-submitter", "delete", "backgroundjobs", False),
        ("bgjobs-submitter", "patch", "backgroundjobs --subresource=status", False),
        ("bgjobs-submitter", "get", "pods --subresource=log", True),
        ("bgjobs-viewer", "get", "pods --subresource=log", False),
        ("bgjobs-submitter", "create", "pods", False),
        ("bgjobs-submitter", "get", "secrets", False),
        ("bgjobs-admin", "watch", "backgroundjobs", True),
        ("bgjobs-admin", "create", "backgroundjobs", True),
        ("bgjobs-admin", "patch", "backgroundjobs", True),
        ("bgjobs-admin", "delete", "backgroundjobs", False),
        ("bgjobs-admin", "patch", "backgroundjobs --subresource=status", False),
        ("bgjobs-admin", "get", "pods --subresource=log", True),
        ("bgjobs-admin", "create", "pods", False),
        ("bgjobs-admin", "get", "secrets", False),
        ("view", "list", "backgroundjobs", True),
        ("view", "create", "backgroundjobs", False),
        ("edit", "create", "backgroundjobs", True),
        ("edit", "patch", "backgroundjobs", True),
        ("edit", "delete", "backgroundjobs", True),
        ("edit", "patch", "backgroundjobs --subresource=status", False),
        ("nobody", "list", "backgroundjobs", False),
    ],
)
def test_what_a_role_grants_in_a_namespace(
    people: Jobs, account: str, verb: str, resource: str, may: bool
) -> None:
    # The roles view and edit take over ours a moment after these are there.
    api.await_true(
        f"{account} may {verb} {resource}: {may}",
        lambda: _may(people, account, people.namespace, verb, resource) is may,
    )


@pytest.mark.parametrize(
    ("verb", "resource", "may"),
    [
        ("get", "leases.coordination.k8s.io/bgjobs-operator", True),
        ("get", "configmaps/bgjobs-allowlist", True),
        ("get", "configmaps/bgjobs-runtimes", True),
        ("get", "configmaps/other", False),
        ("list", "configmaps", False),
        ("patch", "configmaps/bgjobs-runtimes", False),
        ("update", "leases.coordination.k8s.io/bgjobs-operator", False),
        ("get", "secrets/bgjobs-database", False),
    ],
)
def test_what_everybody_who_is_signed_in_may_read_of_the_operator(
    people: Jobs, verb: str, resource: str, may: bool
) -> None:
    assert _may(people, "nobody", "bgjobs-system", verb, resource) is may


def _may(people: Jobs, account: str, namespace: str, verb: str, resource: str) -> bool:
    who = f"system:serviceaccount:{people.namespace}:{account}"
    done = api.kubectl(
        people.server,
        *("auth", "can-i", verb, *resource.split(), "-n", namespace),
        *(f"--as={who}", "--as-group=system:authenticated"),
    )
    return done.stdout.strip() == "yes"
