"""How a control plane reports that it did not start."""

from pathlib import Path

import pytest

from bgjobs_local.controlplane import control_plane
from bgjobs_local.errors import LocalError

PROGRAMS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubectl",
    "kwok",
)


@pytest.fixture
def broken_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs that end at once, where envtest's convention looks for them."""
    folder = tmp_path / "assets"
    folder.mkdir()
    for name in PROGRAMS:
        (folder / name).write_text("#!/bin/sh\necho the disk is full\nexit 3\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(folder))


@pytest.mark.usefixtures("broken_programs")
def test_a_failed_start_names_the_component_and_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(LocalError, match=r"etcd ended with exit code 3(.|\n)*the disk is full"),
        control_plane(tmp_path),
    ):
        pass
