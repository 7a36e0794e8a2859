"""The local cluster: what it runs, what it survives, and that it leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from bgjobs_local import binaries, cluster, program_image

# An image with one program, which can ask the API server something from inside a pod.
IMAGE = "localhost/kubectl:test"


def command(state: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "bgjobs_local", "--state", str(state), *arguments]


def bgjobs_local(state: Path, *arguments: str) -> str:
    """What it says."""
    done = subprocess.run(command(state, *arguments), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kubectl(state: Path, *arguments: str, stdin: str = "") -> str:
    done = subprocess.run(
        [state / "bin" / "kubectl", "--kubeconfig", state / "kubeconfig", *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def restricted_pod(*arguments: str, memory: str = "200Mi") -> dict[str, object]:
    """A pod spec that the restricted Pod Security profile admits."""
    return {
        "restartPolicy": "Never",
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            {
                "name": "main",
                "image": IMAGE,
                "args": arguments,
                # Looked up by name, so that DNS, the Service's address and kube-proxy take part.
                "env": [{"name": "KUBERNETES_SERVICE_HOST", "value": "kubernetes.default.svc"}],
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "readOnlyRootFilesystem": True,
                    "capabilities": {"drop": ["ALL"]},
                },
                "resources": {"limits": {"cpu": "1", "memory": memory}},
            }
        ],
    }


def create(state: Path, kind: str, name: str, spec: dict[str, object]) -> None:
    version = {"Job": "batch/v1", "Pod": "v1"}[kind]
    manifest = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, "spec": spec}
    kubectl(state, "create", "-f", "-", stdin=yaml.safe_dump(manifest))


def wait_for(state: Path, condition: str, name: str) -> None:
    kubectl(state, "wait", f"--for={condition}", name, "--timeout=60s")


def run_job(state: Path, name: str) -> str:
    """Run a Job that asks the API server for its version, and give what it logged."""
    pod = restricted_pod("get", "--raw", "/version")
    create(state, "Job", name, {"backoffLimit": 0, "template": {"spec": pod}})
    wait_for(state, "condition=Complete", f"job/{name}")
    return kubectl(state, "logs", f"job/{name}")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("image") / "kubectl.tar"
    program_image.write(binaries.ensure(["kubectl"])["kubectl"], IMAGE, target)
    return target


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> Iterator[Path]:
    """A running cluster of these tests' own, in which every namespace demands restricted pods."""
    folder = tmp_path_factory.mktemp("cluster")
    try:
        bgjobs_local(folder, "up")
        bgjobs_local(folder, "load", str(archive))
        kubectl(folder, "label", "ns/default", "pod-security.kubernetes.io/enforce=restricted")
        yield folder
    finally:
        bgjobs_local(folder, "down")


def test_a_restricted_pod_finds_services_by_name(state: Path) -> None:
    assert '"gitVersion"' in run_job(state, "asks-by-name")


def test_a_process_above_its_memory_limit_is_reported_as_oom_killed(state: Path) -> None:
    # A line without an end is kept as a whole. A limit below the program's own size would not do:
    # its code would be read from the disk again and again, and nothing killed.
    endless = restricted_pod("create", "--dry-run=client", "-f", "/dev/zero", memory="100Mi")
    create(state, "Pod", "greedy", endless)
    wait_for(state, "jsonpath={.status.phase}=Failed", "pod/greedy")
    reason = "jsonpath={.status.containerStatuses[0].state.terminated.reason}"
    assert kubectl(state, "get", "pod/greedy", "-o", reason) == "OOMKilled"


def test_a_command_can_be_run_in_a_pod(state: Path) -> None:
    create(state, "Pod", "server", restricted_pod("proxy"))
    wait_for(state, "condition=Ready", "pod/server")
    answer = kubectl(state, "exec", "server", "--", "/kubectl", "version", "--client")
    assert "Client Version" in answer


def test_up_ends_with_the_line_that_points_kubectl_at_the_cluster(state: Path) -> None:
    *_, is_up, export = bgjobs_local(state, "up").splitlines()
    address = kubectl(state, "get", "node", "-o", "jsonpath={..addresses[0].address}")
    assert re.fullmatch(rf"Kubernetes is up after \d+ s, its node is {address}:", is_up)
    script = f"{export}; kubectl get nodes -o name; kubectl bgjob --version"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert re.fullmatch(r"node/local\nbgjobs [\d.]+\n", done.stdout), done.stderr


def test_up_mends_a_killed_daemon(state: Path) -> None:
    running = cluster.find(state)
    assert running
    os.kill(running.daemons["kubelet"], signal.SIGKILL)
    bgjobs_local(state, "up")
    assert '"gitVersion"' in run_job(state, "after-kubelet")


def test_up_restarts_a_cluster_that_died_as_a_whole_with_its_data(state: Path) -> None:
    kubectl(state, "create", "configmap", "kept")
    running = cluster.find(state)
    assert running
    os.kill(running.holder, signal.SIGKILL)
    bgjobs_local(state, "up")
    kubectl(state, "get", "configmap", "kept")
    assert '"gitVersion"' in run_job(state, "after-death")


def traces() -> dict[str, set[str]]:
    """What a cluster could leave on the machine."""

    def lines(*argv: str) -> set[str]:
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return {line for line in said.splitlines() if line[:1] not in ("#", ":")}

    return {
        "interfaces": {path.name for path in Path("/sys/class/net").iterdir()},
        "routes": lines("ip", "route", "show", "table", "all"),
        "iptables rules": lines("iptables-save") | lines("ip6tables-save"),
        "mounts": set(Path("/proc/self/mounts").read_text().splitlines()),
        "control groups": {str(path) for path in Path("/sys/fs/cgroup").rglob("bgjobs-*")},
        "folders": {
            folder
            for folder in (
                "/etc/cni",
                "/opt/cni",
                "/run/cni",
                "/run/containerd",
                "/run/netns",
                "/var/lib/cni",
                "/var/lib/kubelet",
                "/var/log/pods",
                "/var/log/containers",
                "/usr/libexec/kubernetes",
            )
            if Path(folder).exists()
        },
        "settings": {
            f"{name} = {Path('/proc/sys', name).read_text().strip()}"
            for name in ("vm/overcommit_memory", "kernel/panic", "net/ipv4/ip_forward")
        },
    }


def processes_in(namespace: Path) -> list[str]:
    """Those in the process namespace with this identity."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "ns" / "pid").readlink() == namespace:
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def left_behind(before: dict[str, set[str]]) -> dict[str, set[str]]:
    return {kind: new for kind, now in traces().items() if (new := now - before[kind])}


def test_down_leaves_nothing_and_spares_another_cluster(
    state: Path, archive: Path, tmp_path: Path
) -> None:
    before = traces()
    other = tmp_path / "other"
    bgjobs_local(other, "up")
    bgjobs_local(other, "load", str(archive))
    create(other, "Pod", "server", restricted_pod("proxy"))
    wait_for(other, "condition=Ready", "pod/server")
    running = cluster.find(other)
    assert running
    namespace = Path(f"/proc/{running.supervisor}/ns/pid").readlink()

    said = bgjobs_local(other, "down")

    assert said == f"Stopped the cluster and removed its data: {other}\n"
    assert processes_in(namespace) == []
    assert left_behind(before) == {}
    assert not other.exists()
    kubectl(state, "get", "--raw", "/readyz")


def test_down_says_what_there_was_to_remove(tmp_path: Path) -> None:
    assert bgjobs_local(tmp_path, "down") == f"There is no cluster to remove: {tmp_path}\n"
    (tmp_path / "cluster").mkdir(parents=True)
    said = f"Removed the data of a cluster that did not run: {tmp_path}\n"
    assert bgjobs_local(tmp_path, "down") == said


@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("Starting Kubernetes", id="as the first process starts"),
        pytest.param("the node works", id="when nearly everything runs"),
    ],
)
def test_up_leaves_nothing_when_it_is_terminated(moment: str, tmp_path: Path) -> None:
    state = tmp_path / "state"
    before = traces()
    with subprocess.Popen(command(state, "up"), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert any(moment in line for line in process.stdout), "it ended too early"
        process.terminate()
        process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert cluster.find(state) is None
    assert left_behind(before) == {}
    assert not state.exists()
