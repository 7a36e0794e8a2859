"""kubectl bgjob as people run it: a program of its own, with a kubeconfig."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.server import ROOT, Jobs, Server

PROGRAM = Path(sys.executable).parent / "kubectl-bgjob"
_WITHIN_S = 60
_README_ROW = re.compile(r"^\| `(\w+.*?)` \| .*? \| (?:`(.*?)`(?: \|$|[:,]))?", re.MULTILINE)


def run(
    server: Server,
    *arguments: str,
    standard_input: str | None = None,
    kubeconfig: Path | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """As the administrator, unless another kubeconfig is given."""
    chosen = kubeconfig or server.control_plane.kubeconfig
    return subprocess.run(
        [str(PROGRAM), *arguments],
        input=standard_input,
        env={"HOME": str(chosen.parent), "KUBECONFIG": str(chosen), **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=_WITHIN_S,
    )


def in_shell(
    server: Server, command: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command as it is shown to people, with kubectl and its plugin on the PATH."""
    chosen = kubeconfig or server.control_plane.kubeconfig
    path = f"{PROGRAM.parent}:{server.control_plane.kubectl.parent}:{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euc", command],
        env={"PATH": path, "HOME": str(chosen.parent), "KUBECONFIG": str(chosen)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=_WITHIN_S,
    )


def bgjob(jobs: Jobs, *arguments: str, **more: Any) -> str:
    """What a command that succeeds prints, in the namespace of `jobs`."""
    done = run(jobs.server, *arguments, "--namespace", jobs.namespace, **more)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def explain(jobs: Jobs, name: str) -> Any:
    return json.loads(bgjob(jobs, "explain", name, "--output", "json"))


def commands(explanation: Any) -> list[str]:
    """Every command of an explanation, the plugin's and kubectl's."""
    return [
        remedy[kind]
        for remedy in explanation["remedies"]
        for kind in ("bgjob", "kubectl")
        if kind in remedy
    ]


def readme_rows() -> list[tuple[str, str]]:
    """Of README.md's table: each of the plugin's commands, and the one of kubectl beside it."""
    section = (ROOT / "README.md").read_text().partition("\n## kubectl bgjob\n")[2]
    return _README_ROW.findall(section.partition("\n## ")[0])
