"""The first process in a local cluster's namespaces: prepares them, then keeps the daemons up.

Its end is the end of every other process, mount and interface in there.
"""

import contextlib
import os
import shlex
import signal
import sys
import time
from ipaddress import IPv4Network
from pathlib import Path

from bgjobs_local import binaries, node
from bgjobs_local.place import Place, cluster_folder
from bgjobs_local.processes import ENVIRONMENT, Component, accepts, run

_RESTART_AFTER_S = 1.0
_LOOK_EVERY_S = 0.1
# What the kubelet sets for the whole machine, although only its own pods would need it.
_SYSCTLS_OF_THE_MACHINE = (
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
)


def main(state: Path) -> None:
    """Never returns."""
    # Inherited from the command that started it, and inherited further by every container.
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    place = Place(state, IPv4Network(cluster_folder(state).joinpath("network").read_text()))
    _prepare_mounts(place)
    while not Path("/sys/class/net/eth0/address").exists():
        time.sleep(_LOOK_EVERY_S)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    shared = node.plan(place, binaries.ensure(node.BINARIES))
    _keep_running(node.components(place, shared), place.logs)


def _prepare_mounts(place: Place) -> None:
    """Give the daemons their own view of the folders that they write to or that mislead them."""
    # Network devices as the namespace has them; the control groups stay the machine's.
    run("mount", "--rbind", "/sys/fs/cgroup", "/mnt")
    run("mount", "-t", "sysfs", "sysfs", "/sys")
    run("mount", "--rbind", "/mnt", "/sys/fs/cgroup")
    run("umount", "--recursive", "/mnt")
    run("mount", "-t", "tmpfs", "tmpfs", "/run")
    # Paths that the programs have built in: the kubelet's logs, the CNI plugins' records.
    pod_logs = place.directory / "var-log"
    pod_logs.mkdir(exist_ok=True)
    run("mount", "--bind", str(pod_logs), "/var/log")
    upper, work = Path("/run/bgjobs/upper"), Path("/run/bgjobs/work")
    for folder in (node.STATE_INSIDE, upper, work):
        folder.mkdir(parents=True)
    run("mount", "--bind", str(place.state), str(node.STATE_INSIDE))
    layers = f"lowerdir=/var/lib,upperdir={upper},workdir={work}"
    run("mount", "-t", "overlay", "overlay", "-o", layers, "/var/lib")
    # A state folder below /var/lib stays the real one.
    run("mount", "--bind", str(node.STATE_INSIDE), str(place.state))
    for name in _SYSCTLS_OF_THE_MACHINE:
        real = Path("/proc/sys", name)
        copy = Path("/run/bgjobs", name.replace("/", "."))
        copy.write_text(real.read_text())
        run("mount", "--bind", str(copy), str(real))


def _keep_running(components: tuple[Component, ...], logs: Path) -> None:
    running: dict[int, Component] = {}
    due = dict.fromkeys(components, 0.0)
    while True:
        now = time.monotonic()
        for component in [each for each, when in due.items() if when <= now]:
            if accepts(component.after):
                try:
                    running[_start(component, logs)] = component
                    del due[component]
                except OSError as error:
                    _tell(f"{component.name} could not be started: {error}")
                    due[component] = now + _RESTART_AFTER_S
        for pid, code in _ended():
            # Others are what ended containers leave to the first process.
            if pid in running:
                component = running.pop(pid)
                _tell(f"{component.name} ended with {code}, starting it again.")
                due[component] = time.monotonic() + _RESTART_AFTER_S
        time.sleep(_LOOK_EVERY_S)


def _start(component: Component, logs: Path) -> int:
    _tell(f"Starting {shlex.join(component.argv)}")
    log = str(logs / f"{component.name}.log")
    # Not a Popen: this process reaps its children, and those that others leave to it, by itself.
    return os.posix_spawnp(
        component.argv[0],
        component.argv,
        ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigdef=[signal.SIGPIPE],
    )


def _tell(what: str) -> None:
    # On a full disk, too, the daemons stay up.
    with contextlib.suppress(OSError):
        print(what, flush=True)


def _ended() -> list[tuple[int, int]]:
    """Pid and exit code (negative: the signal) of each process that has ended since."""
    ended: list[tuple[int, int]] = []
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended.append((pid, os.waitstatus_to_exitcode(status)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
