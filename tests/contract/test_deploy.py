"""deploy/ as kubectl renders it and the API server takes it."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests import server as api
from tests import watching
from tests.plugin import in_shell
from tests.server import ROOT, Jobs, Server
from tests.unit.test_runner_readme import blocks

from bgjobs.dashboard.settings import Settings as DashboardSettings
from bgjobs.settings import FromEnvironment, Settings

_KUSTOMIZATIONS = ["base", *(f"overlays/{each.name}" for each in ROOT.glob("deploy/overlays/*"))]


def _render(server: Server, kustomization: str) -> list[Any]:
    done = api.kubectl(server, "kustomize", str(ROOT / "deploy" / kustomization))
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


@pytest.mark.parametrize("kustomization", _KUSTOMIZATIONS)
def test_the_api_server_accepts_it(installed: Server, kustomization: str) -> None:
    done = api.kubectl(
        installed,
        *("apply", "--server-side", "--force-conflicts", "--dry-run=server"),
        *("--validate=strict", f"--kustomize={ROOT}/deploy/{kustomization}"),
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kustomization", _KUSTOMIZATIONS)
def test_a_first_apply_makes_the_namespace_before_what_lies_in_it(
    installed: Server, kustomization: str
) -> None:
    kinds = [
        (each["kind"], each["metadata"].get("namespace"))
        for each in _render(installed, kustomization)
    ]
    first_namespaced = next(i for i, (_, namespace) in enumerate(kinds) if namespace)
    assert kinds.index(("Namespace", None)) < first_namespaced


def test_the_commands_of_the_platform_engineers_page_install_it(
    installed: Server, tmp_path: Path
) -> None:
    page = (ROOT / "deploy" / "README.md").read_text().partition("\n## Install it\n")[2]
    checkout = os.path.relpath(ROOT, tmp_path)
    script = f"cd {tmp_path}\n"
    for language, body in blocks(page.partition("\n## ")[0].replace("../bgjobs/", f"{checkout}/")):
        if language == "yaml":
            (tmp_path / body.partition("\n")[0].removeprefix("# ")).write_text(body)
        else:
            script += body
    # The tests' server has another allowlist, and keeps it; nothing runs there.
    script = script.replace("kubectl apply", "kubectl apply --dry-run=server --force-conflicts")
    script = script.replace("kubectl create", "kubectl create --dry-run=server")
    script = script.replace("kubectl wait", "kubectl kustomize # ")
    done = in_shell(installed, script)
    assert done.returncode == 0, done.stderr
    applied, _, rendered = done.stdout.partition("apiVersion: ")
    for each in ("secret/bgjobs-database", "secret/bgjobs-dashboard", "job.batch/bgjobs-migrate"):
        assert each in applied
    assert "image: registry.example/team/operator:0f3c6b1d92ae" in rendered
    assert "shop.jobs.SyncStock: handle" in rendered
    assert "image: registry.example/shop/jobs:1" in rendered


@pytest.fixture(scope="module")
def restricted(installed: Server) -> Jobs:
    """A namespace that takes pods of the restricted profile only."""
    profile = {"pod-security.kubernetes.io/enforce": "restricted"}
    return watching.new_namespace(installed, "deploy", profile)


@pytest.mark.parametrize("name", ["bgjobs-operator", "bgjobs-dashboard", "bgjobs-migrate"])
def test_its_pods_pass_restricted_pod_security(
    installed: Server, restricted: Jobs, name: str
) -> None:
    [template] = [
        each["spec"]["template"]
        for each in _render(installed, "base")
        if each["metadata"]["name"] == name and each["kind"] in ("Deployment", "Job")
    ]
    # The account is not in this namespace, and says nothing about Pod Security.
    spec = {key: value for key, value in template["spec"].items() if key != "serviceAccountName"}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
    path = f"{watching.pods_path(restricted)}?dryRun=All"
    answer = api.request(installed, "POST", path, pod)
    assert answer.status == 201, answer.message


@pytest.mark.parametrize("name", ["bgjobs-operator", "bgjobs-dashboard"])
def test_a_pod_that_leaves_in_order_always_leaves_one_to_take_over(
    installed: Server, name: str
) -> None:
    rendered = {
        each["kind"]: each
        for each in _render(installed, "base")
        if each["metadata"]["name"] == name
    }
    deployment, budget = rendered["Deployment"]["spec"], rendered["PodDisruptionBudget"]["spec"]
    assert deployment["replicas"] == 2
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert budget["maxUnavailable"] == 1
    assert budget["selector"] == deployment["selector"]
    [spread] = deployment["template"]["spec"]["affinity"]["podAntiAffinity"][
        "preferredDuringSchedulingIgnoredDuringExecution"
    ]
    assert spread["podAffinityTerm"]["labelSelector"] == deployment["selector"]


@pytest.mark.parametrize(
    ("name", "settings"),
    [("bgjobs-operator", Settings), ("bgjobs-dashboard", DashboardSettings)],
)
def test_the_deployment_sets_what_its_program_reads(
    installed: Server, name: str, settings: type[FromEnvironment]
) -> None:
    [deployment] = [
        each
        for each in _render(installed, "overlays/local")
        if each["kind"] == "Deployment" and each["metadata"]["name"] == name
    ]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    secret = "a value of 32 characters or more."
    settings.from_environment(
        {each["name"]: each.get("value", secret) for each in container["env"]}
    )
