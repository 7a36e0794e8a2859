"""bgjobs deployed as a user deploys it, in a cluster of the tests' own."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.plugin import PROGRAM

from bgjobs_local import cluster
from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl, of_local_cluster

ROOT = Path(__file__).parents[2]
STATE = ROOT / ".local" / "e2e"
_ALLOWED_WITHIN_SECONDS = 30


@dataclass(frozen=True)
class Demo:
    """What the command of `make demo` printed, and how it ended."""

    exit_code: int
    printed: str


@pytest.fixture(scope="session")
def demo(request: pytest.FixtureRequest) -> Iterator[Demo]:
    """The demo, run in a real cluster with real pods, which lives as long as the tests."""
    command = [sys.executable, "-m", "bgjobs_local", "--state", str(STATE), "demo"]
    capture = request.config.pluginmanager.getplugin("capturemanager")
    printed = []
    try:
        # It takes minutes where it builds: let its progress be seen.
        with (
            capture.global_and_fixture_disabled(),
            subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
            ) as process,
        ):
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                printed.append(line)
        yield Demo(process.returncode, "".join(printed))
    finally:
        cluster.down(STATE)


def once_allowed(kubectl: Kubectl, *arguments: str, stdin: str | None = None) -> str:
    """Calls kubectl until it succeeds: the API server takes a moment to see a changed allowlist."""
    deadline = time.monotonic() + _ALLOWED_WITHIN_SECONDS
    while True:
        try:
            return kubectl(*arguments, stdin=stdin)
        except LocalError:
            if time.monotonic() > deadline:
                raise


def manifest(name: str, spec: Mapping[str, Any]) -> str:
    """A BackgroundJob as kubectl reads it."""
    return json.dumps(
        {
            "apiVersion": "bgjobs.dev/v1alpha1",
            "kind": "BackgroundJob",
            "metadata": {"name": name},
            "spec": spec,
        }
    )


def patch_data(kubectl: Kubectl, config_map: str, data: Mapping[str, str | None]) -> None:
    """Changes keys of one of the operator's ConfigMaps; None takes one away."""
    patch = json.dumps({"data": data})
    kubectl("patch", f"configmap/{config_map}", "-n", "bgjobs-system", "--type=merge", "-p", patch)


def environment() -> dict[str, str]:
    """Of commands that name neither the cluster nor where kubectl and its plugin are."""
    programs = f"{STATE / 'bin'}:{PROGRAM.parent}:{os.environ['PATH']}"
    return {**os.environ, "PATH": programs, "KUBECONFIG": str(STATE / "kubeconfig")}


def shell(script: str) -> str:
    """What such commands print."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return done.stdout


def explained(namespace: str, name: str) -> Any:
    """What `kubectl bgjob explain` says."""
    return json.loads(shell(f"kubectl bgjob explain {name} -n {namespace} -o json"))


@pytest.fixture(scope="session")
def kubectl(demo: Demo) -> Kubectl:
    """kubectl for the cluster in which bgjobs is installed."""
    assert "Waiting for the database" in demo.printed, "bgjobs was not installed, see above"
    return of_local_cluster(STATE)
