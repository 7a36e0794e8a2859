"""Installs the Debian packages that something needs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from bgjobs_local.errors import LocalError
from bgjobs_local.processes import ENVIRONMENT

# Where a package's program is not named like the package.
_PROGRAMS = {
    "containernetworking-plugins": "/usr/lib/cni/ptp",
    "iproute2": "ip",
    "mariadb-client-core": "mariadb",
    "mariadb-server-core": "mariadbd",
}
OTHERWISE = "To use a cluster that you already have, set CLUSTER=current."


def ensure(purposes: Mapping[str, str]) -> None:
    """Install those of the named packages that are missing, after saying what each is for.

    Raises LocalError, with the alternative, where that cannot be done.
    """
    missing = [
        package
        for package in purposes
        if not shutil.which(_PROGRAMS.get(package, package), path=ENVIRONMENT["PATH"])
    ]
    if not missing:
        return
    if os.geteuid() != 0 or not Path("/usr/bin/apt-get").exists():
        raise LocalError(
            f"Missing: {', '.join(missing)}. Only as root on Debian can they be installed from"
            f" here. {OTHERWISE}"
        )
    for package in missing:
        print(f"Installing {package}: it {purposes[package]}.", flush=True)
    # An interrupted apt-get leaves half-installed packages: let it finish first.
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        for arguments in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", "-qq", *arguments],
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=False,
            )
            if done.returncode:
                raise LocalError(f"{done.stdout}apt-get {' '.join(arguments)} failed. {OTHERWISE}")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)
