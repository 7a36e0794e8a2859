"""The commands of README.md, run as they stand there."""

import os
import re
import subprocess

from tests.e2e.conftest import ROOT, STATE, Demo

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
