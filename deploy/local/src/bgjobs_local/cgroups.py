"""The control group that a cluster keeps its pods in."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from bgjobs_local.errors import LocalError
from bgjobs_local.place import cgroup

_EMPTY_WITHIN_S = 30


def create(state: Path) -> None:
    """Make it in every hierarchy (cgroup v2 has one, v1 one per controller)."""
    for hierarchy in _hierarchies():
        group = hierarchy / cgroup(state)
        group.mkdir(exist_ok=True)
        available = hierarchy / "cgroup.controllers"
        if available.exists():
            # v2: the kubelet wants to find its controllers there, and says which one is missing.
            for name in available.read_text().split():
                with contextlib.suppress(OSError):
                    (hierarchy / "cgroup.subtree_control").write_text(f"+{name}")


def remove(state: Path) -> None:
    """Remove it and what is below; waits a little for processes that are just ending."""
    deadline = time.monotonic() + _EMPTY_WITHIN_S
    for hierarchy in _hierarchies():
        group = hierarchy / cgroup(state)
        while group.exists():
            # Deepest first: a group is a folder that can be removed once it has no child.
            for child in [*sorted(group.rglob("*/"), reverse=True), group]:
                with contextlib.suppress(OSError):
                    child.rmdir()
            if time.monotonic() > deadline:
                raise LocalError(f"{group} still has processes: {_processes(group)}")
            time.sleep(0.05)


def _hierarchies() -> Iterator[Path]:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, *_ = line.split()
        if kind in ("cgroup", "cgroup2"):
            yield Path(point)


def _processes(group: Path) -> str:
    return ", ".join(
        line for file in group.rglob("cgroup.procs") for line in file.read_text().splitlines()
    )
