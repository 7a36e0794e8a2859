"""The commands of README.md, run as they stand there."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import yaml
from tests.e2e.conftest import ROOT, STATE, Demo, once_allowed, shell
from tests.unit.test_runner_readme import README as JOB_IMAGE_README
from tests.unit.test_runner_readme import blocks as blocks_of

from bgjobs_local.kubectl import Kubectl

_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[str]:
    """The shell commands of README.md, those for the demo's cluster pointed at the tests' own."""
    state = str(STATE.relative_to(ROOT))
    return [
        block.replace("/.local/", f"/{state}/")
        for block in _BLOCK.findall((ROOT / "README.md").read_text())
    ]


def run(script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_the_two_commands_are_targets_of_make() -> None:
    commands = [line.partition("#")[0].strip() for line in blocks()[0].splitlines()]
    assert commands == ["make demo", "make test"]
    for command in commands:
        assert run(f"{command} --dry-run")


def test_make_demo_ends_with_the_same_rows_from_both_sides(demo: Demo) -> None:
    assert demo.exit_code == 0
    assert "All as expected." in demo.printed


def test_a_first_job_and_a_cancelled_one(kubectl: Kubectl) -> None:
    assert kubectl("get", "namespaces")
    _, first, cancelled = blocks()
    printed = run(first + cancelled)
    assert re.search(r"^hello .* Succeeded ", printed, re.MULTILINE), printed
    assert re.search(r"^nap .* Cancelled .*slept enough", printed, re.MULTILINE), printed


def test_an_image_of_ones_own_runs_in_the_cluster(kubectl: Kubectl, tmp_path: Path) -> None:
    """The commands and entries of job-image/README.md, from its files to a job that succeeds."""
    for language, body in blocks_of(JOB_IMAGE_README.read_text()):
        if language == "sh":
            _build_and_load(body, tmp_path)
        elif named := re.match(r"# (\S+)\n", body):
            file = tmp_path / named[1]
            file.parent.mkdir(exist_ok=True)
            file.write_text(body)
    for name in ("allowlist", "runtimes"):
        patch = json.dumps({"data": yaml.safe_load((tmp_path / name).read_text())})
        config_map = ("configmap", f"bgjobs-{name}", "-n", "bgjobs-system")
        kubectl("patch", *config_map, "--type=merge", "-p", patch)
    once_allowed(kubectl, "apply", "-f", str(tmp_path / "stock-7.yaml"))
    kubectl("wait", "bgjob/stock-7", "--for=condition=Finished", "--timeout=60s")
    result = kubectl("get", "bgjob/stock-7", "-o", "jsonpath={.status.phase} {.status.result}")
    assert result == 'Succeeded {"updated":12}'


def _build_and_load(commands: str, folder: Path) -> None:
    # The tests' cluster is in a folder of its own.
    load = f"{sys.executable} -m bgjobs_local --state {STATE} load"
    script = commands.replace("make -C $BGJOBS load IMAGE=", f"{load} ")
    try:
        run(f"export BGJOBS={ROOT}; cd {folder}; {script}")
    finally:
        run("buildah rmi localhost/shop/jobs:1 localhost/bgjobs/job:dev")


def test_what_the_platform_engineers_page_says_to_look_at_is_there(kubectl: Kubectl) -> None:
    page = (ROOT / "deploy" / "README.md").read_text()
    rows = "\n".join(line for line in page.splitlines() if line.startswith("| "))
    commands = re.findall(r"`(kubectl .*?)`", rows)
    assert len(commands) == 6
    name = "fails-for-good"
    attempts = "jsonpath={.status.attempts[0].jobName}"
    job = kubectl("get", f"bgjob/{name}", "-n", "demo", "-o", attempts)
    for command in commands:
        assert shell(command.replace("NAME", f"{name} -n demo").replace("JOB", f"{job} -n demo"))


def test_the_demos_admin_gets_a_token_as_the_platform_engineers_page_says(kubectl: Kubectl) -> None:
    assert kubectl("get", "serviceaccount/admin", "-n", "demo")
    page = (ROOT / "deploy" / "README.md").read_text()
    [command] = re.findall(r"`(kubectl create token .*?)`", page)
    token = shell(command.replace("NAMESPACE", "demo").replace("NAME", "admin"))
    assert len(token.split(".")) == 3
