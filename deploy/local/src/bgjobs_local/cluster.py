"""Brings a local cluster up, heals it, takes it down, and loads images into it."""

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Network
from pathlib import Path

from bgjobs_local import api, binaries, cgroups, network, node, packages, program_image
from bgjobs_local.errors import LocalError
from bgjobs_local.locks import locked
from bgjobs_local.pki import Pair
from bgjobs_local.place import API_PORT, KUBELET_PORT, NODE, Place, cluster_folder
from bgjobs_local.processes import last_lines, run

_PACKAGES = {
    "containerd": "runs the containers",
    "runc": "starts each container",
    "containernetworking-plugins": "connects pods to the network",
    "iptables": "carries Service addresses to pods",
    "iproute2": "connects the cluster to this machine",
}
_PLUGIN = ("kubectl-bgjob", "kubectl_complete-bgjob")
"""The programs of kubectl's plugin, which are installed beside this one."""
_READY_WITHIN_S = 180
_ENDED_WITHIN_S = 30
_LOOK_EVERY_S = 0.1
_OTHER = "another `up` or `down`"
_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP})


@dataclass(frozen=True)
class Running:
    """The processes of a cluster, by their ids on the machine."""

    holder: int  # `unshare`, in whose namespaces the others run
    supervisor: int | None
    daemons: Mapping[str, int]


def up(state: Path) -> None:
    """Bring the cluster of a state folder up, or mend what has died of it.

    Returns when the node takes pods and its DNS answers. Where it fails or is interrupted, it
    stops what it has started; what had been running before goes on.
    """
    if os.geteuid() != 0:
        raise LocalError(
            "The local cluster makes network and mount namespaces, for which it must run as root."
            f" {packages.OTHERWISE}"
        )
    packages.ensure(_PACKAGES)
    paths = binaries.ensure((*node.BINARIES, "kubectl", "pause"))
    with locked(state, _OTHER):
        started = time.monotonic()
        running = find(state)
        has_data = _network_file(state).exists()
        if running and has_data:
            place = _place(state)
            network.ensure_wire(place, running.holder)
            _wait_until_ready(place, paths, since=None)
            _publish(place, paths["kubectl"])
        else:
            with _undone(state, has_data=has_data):
                place = _start(state, paths)
                _wait_until_ready(place, paths, since=datetime.now(UTC))
                _publish(place, paths["kubectl"])
    print(
        f"Kubernetes is up after {time.monotonic() - started:.0f} s, its node is"
        f" {place.node_address}:\n  {environment(state)}",
        flush=True,
    )


def environment(state: Path) -> str:
    """The command that points a shell at the cluster of a state folder."""
    kubeconfig, programs = (shlex.quote(str(state / name)) for name in ("kubeconfig", "bin"))
    return f"export KUBECONFIG={kubeconfig} PATH={programs}:$PATH"


def down(state: Path) -> None:
    """Remove the cluster of a state folder: its processes, its traces on the machine, its data."""
    with locked(state, _OTHER):
        ran = find(state) is not None
        had_data = cluster_folder(state).exists()
        _remove(state)
    if ran:
        what = "Stopped the cluster and removed its data"
    elif had_data:
        what = "Removed the data of a cluster that did not run"
    else:
        what = "There is no cluster to remove"
    print(f"{what}: {state}", flush=True)


@contextlib.contextmanager
def without_api_server(state: Path) -> Iterator[None]:
    """Kills it; it is back when the block has ended."""
    running = find(state)
    assert running is not None
    os.kill(running.daemons["kube-apiserver"], signal.SIGKILL)
    try:
        yield
    finally:
        up(state)


def load(state: Path, archives: Sequence[Path]) -> None:
    """Give the node the images of archives in the Docker or OCI format."""
    for archive in archives:
        if not archive.is_file():
            raise LocalError(f"{archive} is not there: build the images first.")
        print(f"Loaded {', '.join(_import(state, archive))}", flush=True)


def find(state: Path) -> Running | None:
    """The running cluster of a state folder, as the machine's process table shows it."""
    command = ["-m", "bgjobs_local.supervisor", str(state)]
    for process in Path("/proc").glob("[0-9]*"):
        argv = _argv(int(process.name))
        if argv[:1] == ["unshare"] and argv[-3:] == command:
            holder = int(process.name)
            supervisor = next(iter(_children(holder)), None)
            daemons = _children(supervisor) if supervisor else []
            names = {pid: argv[0] for pid in daemons if (argv := _argv(pid))}
            return Running(
                holder, supervisor, {Path(name).name: pid for pid, name in names.items()}
            )
    return None


def _argv(pid: int) -> list[str]:
    """Empty for a process that is gone or a zombie."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")[:-1]
    except OSError:
        return []


def _children(pid: int) -> list[int]:
    try:
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    except OSError:
        return []


def _start(state: Path, paths: Mapping[str, Path]) -> Place:
    """Start the namespaces and everything in them, which outlive this process."""
    _clear_remains(state)
    with locked(binaries.cache(), "another cluster's start"):
        if has_data := _network_file(state).exists():
            place = _place(state)
        else:
            shutil.rmtree(cluster_folder(state), ignore_errors=True)
            place = Place(state, network.free_network())
        network.connect(place)
    if not has_data:
        place.logs.mkdir(parents=True)
        node.configure(place, node.plan(place, paths))
        _keep_network(place)
    cgroups.create(state)
    print(f"Starting Kubernetes; its logs are in {place.logs}.", flush=True)
    holder = _unshare(place)
    network.ensure_wire(place, holder)
    return place


def _unshare(place: Place) -> int:
    argv = ["unshare", "--mount", "--net", "--pid", "--fork", "--mount-proc", "--kill-child"]
    log = place.logs / "supervisor.log"
    with log.open("ab") as output, _signals_held():
        process = subprocess.Popen(
            [*argv, sys.executable, "-m", "bgjobs_local.supervisor", str(place.state)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    # It starts the supervisor when the namespaces are made.
    while process.poll() is None:
        if _children(process.pid):
            return process.pid
        time.sleep(_LOOK_EVERY_S)
    raise LocalError(f"The cluster's namespaces could not be made.{last_lines(log)}")


def _wait_until_ready(place: Place, paths: Mapping[str, Path], *, since: datetime | None) -> None:
    """Finish the cluster's set-up and wait for each part to work.

    `since`: when the node was started, so that what it said in an earlier life does not count.
    """
    certificates = place.directory / "pki"
    admin = Pair(certificates / "admin.crt", certificates / "admin.key")
    ca = certificates / "ca.crt"
    client = api.connect(place.node_address, API_PORT, ca, admin)
    kubelet = api.connect(place.node_address, KUBELET_PORT, ca, admin)
    pause = place.directory / "pause.tar"
    program_image.write(paths["pause"], node.PAUSE_IMAGE, pause)
    steps: Sequence[tuple[str, str, Callable[[], bool]]] = (
        ("the API server", "kube-apiserver", lambda: api.ready(client)),
        ("the DNS Service", "kube-apiserver", lambda: _apply_manifests(client, place)),
        ("containerd", "containerd", lambda: bool(_import(place.state, pause))),
        ("the kubelet", "kubelet", lambda: api.request(kubelet, "GET", "/healthz")[0] == 200),
        ("the node", "kubelet", lambda: _node_is_ready(client, since)),
        ("DNS", "coredns", lambda: _resolves(place)),
        ("every daemon", "supervisor", lambda: _all_run(place.state)),
    )
    deadline = time.monotonic() + _READY_WITHIN_S
    for what, log, works in steps:
        while problem := _problem(works):
            if find(place.state) is None:
                raise LocalError(f"The cluster ended.{last_lines(place.logs / 'supervisor.log')}")
            if time.monotonic() > deadline:
                raise LocalError(
                    f"Waited {_READY_WITHIN_S} s in vain for {what}: {problem}."
                    + last_lines(place.logs / f"{log}.log")
                )
            time.sleep(_LOOK_EVERY_S)
        print(f"  {what} works", flush=True)


def _problem(works: Callable[[], bool]) -> str | None:
    """What speaks against it, as long as it does not work."""
    try:
        return None if works() else "not yet"
    except LocalError as error:
        return str(error)


def _apply_manifests(client: api.Api, place: Place) -> bool:
    for path, manifest in node.manifests(place).items():
        api.apply(client, path, manifest)
    return True


def _node_is_ready(client: api.Api, since: datetime | None) -> bool:
    code, answer = api.request(client, "GET", f"/api/v1/nodes/{NODE}")
    if code != 200:
        return False
    for condition in json.loads(answer)["status"].get("conditions", []):
        if condition["type"] == "Ready":
            seen = datetime.fromisoformat(condition["lastHeartbeatTime"])
            # The API keeps whole seconds.
            fresh = since is None or seen >= since.replace(microsecond=0)
            return fresh and condition["status"] == "True"
    return False


def _resolves(place: Place) -> bool:
    """Whether the DNS Service finds the API server's: asks as a pod would, kube-proxy included."""
    name = "kubernetes.default.svc.cluster.local"
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    # RFC 1035: id, flags (recursion desired), one question; name, type A, class IN.
    question = b"bg\1\0\0\1\0\0\0\0\0\0" + labels + b"\0\0\1\0\1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(1)
        try:
            client.sendto(question, (place.dns_address, 53))
            answer = client.recv(512)
        except OSError:
            return False
    return answer[:2] == b"bg" and socket.inet_aton(str(place.services[1])) in answer


def _all_run(state: Path) -> bool:
    running = find(state)
    return running is not None and set(node.DAEMONS) <= set(running.daemons)


def _import(state: Path, archive: Path) -> list[str]:
    """Give an archive to containerd; the names of its images."""
    running = find(state)
    if running is None:
        raise LocalError(f"No cluster of {state} is running: bring it up first.")
    enter = ("nsenter", "--target", str(running.holder), "--mount")
    said = run(*enter, "ctr", "--namespace", "k8s.io", "images", "import", "-", stdin=archive)
    return re.findall(r"^unpacking (\S+)", said, re.MULTILINE)


def _publish(place: Place, kubectl: Path) -> None:
    """Put what the user needs where it is easy to find."""
    *links, kubeconfig = _published(place.state)
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_bytes((place.directory / "kubeconfig").read_bytes())
    for link in links:
        link.parent.mkdir(exist_ok=True)
        link.unlink(missing_ok=True)
        is_plugin = link.name in _PLUGIN
        link.symlink_to(Path(sys.executable).with_name(link.name) if is_plugin else kubectl)


def _published(state: Path) -> list[Path]:
    """kubectl and its plugin, and last the kubeconfig."""
    return [*(state / "bin" / name for name in ("kubectl", *_PLUGIN)), state / "kubeconfig"]


@contextlib.contextmanager
def _undone(state: Path, *, has_data: bool) -> Iterator[None]:
    """Stop what was started where it does not get to its end.

    A cluster that had data before keeps it; one that failed keeps its logs, which say why.
    """
    try:
        yield
    except BaseException as reason:
        with _signals_held():
            if not has_data and not isinstance(reason, Exception):
                print("Interrupted: removing what was started.", flush=True)
                _remove(state)
            else:
                _clear_remains(state)
        raise


def _remove(state: Path) -> None:
    _clear_remains(state)
    folder = cluster_folder(state)
    if folder.exists():
        shutil.rmtree(folder)
    for path in _published(state):
        path.unlink(missing_ok=True)
        # Of a folder that holds nothing else, nothing stays.
        with contextlib.suppress(OSError):
            path.parent.rmdir()


def _clear_remains(state: Path) -> None:
    """End the cluster's processes and remove what it has on the machine outside its folder."""
    running = find(state)
    if running:
        # The end of a namespace's first process waits for the end of all others in it.
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.supervisor or running.holder, signal.SIGKILL)
        deadline = time.monotonic() + _ENDED_WITHIN_S
        while _argv(running.holder):
            if time.monotonic() > deadline:
                raise LocalError(f"Process {running.holder} does not end. Try again.")
            time.sleep(_LOOK_EVERY_S)
    network.disconnect(state)
    cgroups.remove(state)


def _place(state: Path) -> Place:
    return Place(state, IPv4Network(_network_file(state).read_text()))


def _keep_network(place: Place) -> None:
    """Last, and whole at once: the file says that all the others are there."""
    file = _network_file(place.state)
    partial = file.with_suffix(".partial")
    partial.write_text(str(place.network))
    partial.rename(file)


def _network_file(state: Path) -> Path:
    return cluster_folder(state) / "network"


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Nothing interrupts the block; what came meanwhile takes effect after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
