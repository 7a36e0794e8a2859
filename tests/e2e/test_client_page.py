"""The commands of docs/client.md, from an empty folder to the result of a job."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import ROOT, STATE
from tests.unit.test_client_page import PAGE, write_files
from tests.unit.test_runner_readme import blocks, commands, pattern, steady

from bgjobs_local.kubectl import Kubectl

_WITHIN_S = 600


def test_from_zero_to_a_first_job(kubectl: Kubectl, tmp_path: Path) -> None:
    assert kubectl("get", "namespaces")
    application, printed = tmp_path / "application", tmp_path / "printed"
    application.mkdir()
    printed.mkdir()
    write_files(application)
    script: list[str] = []
    shown: dict[Path, tuple[str, str]] = {}
    for language, body in blocks(PAGE.read_text()):
        if language == "sh":
            script.append(_for_the_tests_cluster(body))
        for command, output in commands(body) if language == "console" else ():
            file = printed / str(len(shown))
            # Some fail on purpose.
            script.append(f"{{ {command.rstrip()}; }} > {shlex.quote(str(file))} 2>&1 || true")
            shown[file] = (command, output)
    try:
        _run("\n".join(script), application)
    finally:
        subprocess.run(
            ["buildah", "rmi", "localhost/teashop/jobs:1", "localhost/bgjobs/job:dev"],
            capture_output=True,
            check=False,
        )
    for file, (command, output) in shown.items():
        said = file.read_text()
        assert re.fullmatch(pattern(output), steady(said)), f"$ {command}\n{said}"


def _for_the_tests_cluster(commands: str) -> str:
    """The tests' cluster is in a folder of its own; its images are where make demo's are."""
    load = f"{sys.executable} -m bgjobs_local --state {STATE} load "
    for name in ("bin", "kubeconfig"):
        commands = commands.replace(f"$BGJOBS/.local/{name}", str(STATE / name))
    return commands.replace("make -C $BGJOBS load IMAGE=", load)


def _run(script: str, folder: Path) -> None:
    # The versions of the lock; pip could not have its hashes beside packages from a folder.
    lock = (ROOT / "deploy" / "requirements.lock").read_text()
    constraints = folder.parent / "constraints.txt"
    constraints.write_text("\n".join(re.findall(r"^\S+==\S+", lock, re.MULTILINE)))
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={
            **os.environ,
            "BGJOBS": str(ROOT),
            "PIP_CONSTRAINT": str(constraints),
        },
        capture_output=True,
        text=True,
        timeout=_WITHIN_S,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"
