"""What the local cluster's command says when it cannot do what is asked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def test_up_without_root_names_the_alternative(tmp_path: Path) -> None:
    # In a user namespace without a mapping nobody is root.
    enter = ["unshare", "--user"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*enter, sys.executable, "-m", "bgjobs_local", "--state", str(tmp_path), "up"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "CLUSTER=current" in done.stderr


@pytest.mark.parametrize("command", ["load", "status"])
def test_a_command_for_a_cluster_that_does_not_run_says_so(command: str, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.touch()
    arguments = [command, str(archive)] if command == "load" else [command]
    done = subprocess.run(
        [sys.executable, "-m", "bgjobs_local", "--state", str(tmp_path), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"No cluster of {tmp_path} is running" in done.stdout + done.stderr
