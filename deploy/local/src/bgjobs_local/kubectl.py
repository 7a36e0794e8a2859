"""kubectl against the cluster that a command is meant for, and no other."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bgjobs_local.errors import LocalError


@dataclass(frozen=True)
class Kubectl:
    """How to call kubectl: the program with the options that name the cluster."""

    argv: tuple[str, ...]

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """What kubectl prints. Raises LocalError with what it complains of."""
        done = subprocess.run(
            [*self.argv, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise LocalError(done.stderr.strip() or f"kubectl {' '.join(arguments)} failed")
        return done.stdout

    def objects(self, *arguments: str) -> Sequence[dict[str, Any]]:
        """The objects that `kubectl get` with these arguments lists."""
        items: Sequence[dict[str, Any]] = json.loads(self("get", *arguments, "-o", "json"))["items"]
        return items


def of_local_cluster(state: Path) -> Kubectl:
    return Kubectl((str(state / "bin" / "kubectl"), "--kubeconfig", str(state / "kubeconfig")))


def of_current_context() -> Kubectl:
    """The user's own kubectl. Raises LocalError where there is none."""
    program = shutil.which("kubectl")
    if program is None:
        raise LocalError("CLUSTER=current needs kubectl on the PATH: install it.")
    return Kubectl((program,))


def node_address(kubectl: Kubectl) -> str:
    """Where the cluster's first node answers for Services with a node port."""
    node = kubectl.objects("nodes")[0]
    addresses = {each["type"]: each["address"] for each in node["status"]["addresses"]}
    return str(addresses["InternalIP"])
