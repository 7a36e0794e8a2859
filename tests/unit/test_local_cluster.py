"""What the local cluster's command says when it cannot do what is asked, and leaves behind."""

import os
import resource
import subprocess
import sys
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from bgjobs_local import cluster
from bgjobs_local.place import Place


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


def test_a_start_on_a_full_disk_leaves_no_half_of_a_cluster(tmp_path: Path) -> None:
    place = Place(tmp_path, IPv4Network("198.18.0.0/20"))
    place.directory.mkdir()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            cluster._keep_network(place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not cluster._network_file(tmp_path).exists()
    cluster._keep_network(place)
    assert cluster._place(tmp_path) == place
