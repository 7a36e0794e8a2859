"""A Kubernetes control plane: how each part is started, and one of its own for tests."""

import base64
import contextlib
import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import yaml

from bgjobs_local import api, binaries, pki
from bgjobs_local.errors import LocalError
from bgjobs_local.processes import ENVIRONMENT, Component, accepts, last_lines

# Above what two cores can do, or a benchmark measures the clients' own limits.
_CLIENT_LIMITS = ("--kube-api-qps=1000", "--kube-api-burst=2000")
_KWOK_OPTIONS = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "options": {
        "podPlayStageParallelism": 64,
        # Its own defaults, which it forgets once an option is given.
        "nodePlayStageParallelism": 4,
        "nodeLeaseParallelism": 4,
        "podsOnNodeSyncParallelism": 1,
    },
}
_READY_WITHIN_S = 90


@dataclass(frozen=True)
class Plan:
    """What the parts of one control plane have to agree on."""

    binaries: Mapping[str, Path]
    directory: Path
    address: str  # of the API server, for its clients
    port: int
    etcd_port: int
    services: str  # the range of Service addresses
    first_service: str  # the address of the Service "kubernetes", first in that range


@dataclass(frozen=True)
class Credentials:
    """The certificates of one control plane, and kubeconfigs that use them."""

    authority: pki.Authority
    admin: pki.Pair
    kubeconfig: Path


@dataclass(frozen=True)
class ControlPlane:
    """A control plane for tests, without a node that runs anything (kwok only pretends to)."""

    kubeconfig: Path
    server: str
    ca: Path
    client: pki.Pair
    kubectl: Path
    logs: Path
    pids: Mapping[str, int]  # by the component's name


def issue_credentials(plan: Plan) -> Credentials:
    """Write every certificate and kubeconfig that the components below name."""
    certificates = plan.directory / "pki"
    certificates.mkdir(parents=True, exist_ok=True)
    authority = pki.new_authority(certificates)
    pki.server_pair(
        authority,
        certificates / "kube-apiserver",
        dns=[
            "localhost",
            "kubernetes",
            "kubernetes.default",
            "kubernetes.default.svc",
            "kubernetes.default.svc.cluster.local",
        ],
        addresses=sorted({"127.0.0.1", plan.address, plan.first_service}),
    )
    pki.client_pair(
        authority,
        certificates / "kubelet-client",
        user="kube-apiserver-kubelet-client",
        group="system:masters",
    )
    pki.signing_key(certificates / "service-accounts.key")
    for name in ("kube-controller-manager", "kube-scheduler"):
        component_kubeconfig(plan, authority, name, user=f"system:{name}")
    admin = pki.client_pair(
        authority, certificates / "admin", user="bgjobs-local-admin", group="system:masters"
    )
    kubeconfig = plan.directory / "kubeconfig"
    write_kubeconfig(kubeconfig, plan, authority, admin)
    return Credentials(authority, admin, kubeconfig)


def component_kubeconfig(
    plan: Plan, authority: pki.Authority, name: str, *, user: str, group: str | None = None
) -> pki.Pair:
    """A client certificate for one component, and `<name>.kubeconfig` that uses it."""
    pair = pki.client_pair(authority, plan.directory / "pki" / name, user=user, group=group)
    write_kubeconfig(plan.directory / f"{name}.kubeconfig", plan, authority, pair)
    return pair


def write_kubeconfig(path: Path, plan: Plan, authority: pki.Authority, client: pki.Pair) -> None:
    """A kubeconfig that needs no other file."""

    def inline(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    name = "bgjobs-local"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [
            {
                "name": name,
                "cluster": {
                    "server": f"https://{plan.address}:{plan.port}",
                    "certificate-authority-data": inline(authority.certificate),
                },
            }
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": inline(client.certificate),
                    "client-key-data": inline(client.key),
                },
            }
        ],
    }
    path.touch(mode=0o600)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def etcd(plan: Plan) -> Component:
    """The store. It skips fsync: its data outlives the process, though not a power cut."""
    url = f"http://127.0.0.1:{plan.etcd_port}"
    return Component(
        "etcd",
        (
            str(plan.binaries["etcd"]),
            f"--data-dir={plan.directory / 'etcd'}",
            f"--listen-client-urls={url}",
            f"--advertise-client-urls={url}",
            # It has no peers, but insists on listening for them.
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=warn",
        ),
    )


def api_server(plan: Plan, *flags: str) -> Component:
    """The API server, with real authentication and authorization."""
    certificates = plan.directory / "pki"
    return Component(
        "kube-apiserver",
        (
            str(plan.binaries["kube-apiserver"]),
            f"--secure-port={plan.port}",
            f"--etcd-servers=http://127.0.0.1:{plan.etcd_port}",
            f"--service-cluster-ip-range={plan.services}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={certificates / 'ca.crt'}",
            f"--tls-cert-file={certificates / 'kube-apiserver.crt'}",
            f"--tls-private-key-file={certificates / 'kube-apiserver.key'}",
            f"--kubelet-certificate-authority={certificates / 'ca.crt'}",
            f"--kubelet-client-certificate={certificates / 'kubelet-client.crt'}",
            f"--kubelet-client-key={certificates / 'kubelet-client.key'}",
            # A node's name is in no DNS.
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-account-key-file={certificates / 'service-accounts.key'}",
            f"--service-account-signing-key-file={certificates / 'service-accounts.key'}",
            *flags,
        ),
        after=("127.0.0.1", plan.etcd_port),
    )


def controllers(plan: Plan) -> tuple[Component, ...]:
    """The controller manager and the scheduler."""
    return (
        _controller(
            plan,
            "kube-controller-manager",
            "--use-service-account-credentials=true",
            f"--root-ca-file={plan.directory / 'pki' / 'ca.crt'}",
            "--concurrent-job-syncs=50",
        ),
        _controller(plan, "kube-scheduler"),
    )


def _controller(plan: Plan, name: str, *flags: str) -> Component:
    return Component(
        name,
        (
            str(plan.binaries[name]),
            f"--kubeconfig={plan.directory / f'{name}.kubeconfig'}",
            "--leader-elect=false",
            "--secure-port=0",
            *_CLIENT_LIMITS,
            *flags,
        ),
        after=(plan.address, plan.port),
    )


@contextlib.contextmanager
def control_plane(
    directory: Path, extra_stages: Sequence[Path] = (), audit_policy: Path | None = None
) -> Iterator[ControlPlane]:
    """Run a control plane on free loopback ports, with one pretended node, until the block ends.

    Everything it writes lies under the directory. `extra_stages` are kwok Stage files beside
    kwok's own ones for nodes and pods. What `audit_policy` says is written to audit.log beside
    the other logs. Raises LocalError, with the log's end, where a part fails.
    """
    port, etcd_port = _free_ports(2)
    plan = Plan(
        binaries=ensure_binaries(),
        directory=directory,
        address="127.0.0.1",
        port=port,
        etcd_port=etcd_port,
        services="10.96.0.0/16",
        first_service="10.96.0.1",
    )
    credentials = issue_credentials(plan)
    logs = directory / "logs"
    logs.mkdir()
    client = api.connect(
        plan.address, plan.port, credentials.authority.certificate, credentials.admin
    )
    components = (
        etcd(plan),
        api_server(
            plan,
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            # No pod will look for the API server, so it need not publish where it is; and it
            # refuses to publish a loopback address.
            "--endpoint-reconciler-type=none",
            *_audit_flags(audit_policy, logs),
        ),
        *controllers(plan),
        _kwok(plan, credentials, extra_stages),
    )
    with contextlib.ExitStack() as stack:
        running: dict[str, subprocess.Popen[bytes]] = {}
        for component in components:
            _wait_until(
                partial(accepts, component.after), f"let {component.name} start", running, logs
            )
            if component.after == (plan.address, plan.port):
                # The controllers give up on an API server that does not know them within seconds.
                _wait_until(lambda: api.ready(client), "answer at /readyz", running, logs)
            running[component.name] = stack.enter_context(_running(component, logs))
        _add_node(client)
        _wait_until(lambda: _takes_pods(client), "have a node and accounts", running, logs)
        yield ControlPlane(
            kubeconfig=credentials.kubeconfig,
            server=f"https://{plan.address}:{plan.port}",
            ca=credentials.authority.certificate,
            client=credentials.admin,
            kubectl=plan.binaries["kubectl"],
            logs=logs,
            pids={name: process.pid for name, process in running.items()},
        )


def ensure_binaries() -> dict[str, Path]:
    """The cache's, or those of the folder that envtest's KUBEBUILDER_ASSETS names."""
    names = (
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kubectl",
        "kwok",
    )
    assets = Path(os.environ.get("KUBEBUILDER_ASSETS") or os.devnull)
    given = {name: assets / name for name in names if (assets / name).exists()}
    return binaries.ensure(name for name in names if name not in given) | given


def _free_ports(count: int) -> list[int]:
    """Loopback ports that nothing listens on; held together, so that they differ."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]


def _kwok(plan: Plan, credentials: Credentials, extra_stages: Sequence[Path]) -> Component:
    files = [*sorted(binaries.kwok_stages().glob("*.yaml")), *extra_stages]
    config = plan.directory / "kwok.yaml"
    parts = [yaml.safe_dump(_KWOK_OPTIONS), *(file.read_text() for file in files)]
    config.write_text("\n---\n".join(parts))
    return Component(
        "kwok",
        (
            str(plan.binaries["kwok"]),
            f"--kubeconfig={credentials.kubeconfig}",
            f"--config={config}",
            "--manage-all-nodes=true",
            "--node-lease-duration-seconds=40",
        ),
        after=(plan.address, plan.port),
    )


def _audit_flags(policy: Path | None, logs: Path) -> tuple[str, ...]:
    if policy is None:
        return ()
    return (f"--audit-policy-file={policy}", f"--audit-log-path={logs / 'audit.log'}")


@contextlib.contextmanager
def _running(component: Component, logs: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run it until the block ends, or this process does, however it does."""
    with (logs / f"{component.name}.log").open("wb") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", *component.argv],
            env=ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        # Nothing of it is kept, so nothing has to be shut down in order.
        process.kill()
        process.wait()


def _wait_until(
    condition: Callable[[], bool],
    what: str,
    running: Mapping[str, subprocess.Popen[bytes]],
    logs: Path,
) -> None:
    deadline = time.monotonic() + _READY_WITHIN_S
    while not condition():
        for name, process in running.items():
            if process.poll() is not None:
                raise LocalError(
                    f"{name} ended with exit code {process.returncode} while the control plane"
                    f" started.{last_lines(logs / f'{name}.log')}"
                )
        if time.monotonic() > deadline:
            raise LocalError(
                f"The control plane did not {what} within {_READY_WITHIN_S} s."
                + "".join(last_lines(logs / f"{name}.log") for name in running)
            )
        time.sleep(0.05)


def _add_node(client: api.Api) -> None:
    name = "kwok"
    node = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
    }
    api.apply(client, f"/api/v1/nodes/{name}", node)


def _takes_pods(client: api.Api) -> bool:
    """Whether the node is untainted and the default service account is there."""
    status, node = api.request(client, "GET", "/api/v1/nodes/kwok")
    account, _ = api.request(client, "GET", "/api/v1/namespaces/default/serviceaccounts/default")
    if (status, account) != (200, 200):
        return False
    seen = json.loads(node)
    conditions = {each["type"]: each["status"] for each in seen["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and not seen["spec"].get("taints")
