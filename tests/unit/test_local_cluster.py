"""What the local cluster's command says when it cannot do what is asked."""

import os
import subprocess
import sys
from pathlib import Path


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


def test_a_load_into_a_cluster_that_does_not_run_says_so(tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.touch()
    done = subprocess.run(
        [sys.executable, "-m", "bgjobs_local", "--state", str(tmp_path), "load", str(archive)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"No cluster of {tmp_path} is running" in done.stderr
