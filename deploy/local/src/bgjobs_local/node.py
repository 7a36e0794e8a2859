"""Everything that runs in a local cluster's namespaces, and the files that configure it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bgjobs_local import controlplane, pki
from bgjobs_local.controlplane import Plan
from bgjobs_local.place import API_PORT, ETCD_PORT, NODE, Place, cgroup, cluster_folder
from bgjobs_local.processes import Component

BINARIES = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "coredns",
)
DAEMONS = ("containerd", *BINARIES)
PAUSE_IMAGE = "localhost/bgjobs-pause:local"
# Where the state folder is seen from inside: the kubelet's sockets need a short path.
STATE_INSIDE = Path("/run/bgjobs/state")
_CONTAINERD_SOCKET = "/run/containerd/containerd.sock"


def plan(place: Place, binaries: Mapping[str, Path]) -> Plan:
    return Plan(
        binaries=binaries,
        directory=place.directory,
        address=place.node_address,
        port=API_PORT,
        etcd_port=ETCD_PORT,
        services=str(place.services),
        first_service=str(place.services[1]),
    )


def configure(place: Place, shared: Plan) -> None:
    """Write the certificates and configuration files that the components below name."""
    credentials = controlplane.issue_credentials(shared)
    authority = credentials.authority
    controlplane.component_kubeconfig(
        shared, authority, "kubelet", user=f"system:node:{NODE}", group="system:nodes"
    )
    controlplane.component_kubeconfig(shared, authority, "kube-proxy", user="system:kube-proxy")
    controlplane.component_kubeconfig(shared, authority, "coredns", user="coredns")
    pki.server_pair(
        authority, shared.directory / "pki" / "kubelet-server", addresses=[place.node_address]
    )
    directory = place.directory
    (directory / "kubelet.yaml").write_text(yaml.safe_dump(_kubelet_configuration(place)))
    (directory / "containerd.toml").write_text(_containerd_configuration(place))
    network = directory / "cni"
    network.mkdir()
    (network / "bgjobs.conflist").write_text(json.dumps(_pod_network(place)))
    (directory / "Corefile").write_text(_corefile(place))
    # Pods that ask for the node's own DNS get none, instead of the machine's.
    (directory / "resolv.conf").touch()


def components(place: Place, shared: Plan) -> tuple[Component, ...]:
    """In the order in which they can start."""
    directory = place.directory
    api_server = (place.node_address, API_PORT)
    return (
        controlplane.etcd(shared),
        Component("containerd", ("containerd", f"--config={directory / 'containerd.toml'}")),
        controlplane.api_server(shared, f"--advertise-address={place.node_address}"),
        *controlplane.controllers(shared),
        Component(
            "kubelet",
            (
                str(shared.binaries["kubelet"]),
                f"--config={directory / 'kubelet.yaml'}",
                f"--kubeconfig={directory / 'kubelet.kubeconfig'}",
                f"--root-dir={cluster_folder(STATE_INSIDE) / 'kubelet'}",
                f"--cert-dir={directory / 'pki'}",
                f"--hostname-override={NODE}",
                f"--node-ip={place.node_address}",
            ),
            after=api_server,
        ),
        Component(
            "kube-proxy",
            (
                str(shared.binaries["kube-proxy"]),
                f"--kubeconfig={directory / 'kube-proxy.kubeconfig'}",
                f"--hostname-override={NODE}",
                f"--cluster-cidr={place.pods}",
                "--proxy-mode=iptables",
                # The limit belongs to the machine and cannot be set from a namespace.
                "--conntrack-max-per-core=0",
            ),
            after=api_server,
        ),
        Component(
            "coredns",
            (str(shared.binaries["coredns"]), "-conf", str(directory / "Corefile")),
            after=api_server,
        ),
    )


def manifests(place: Place) -> dict[str, dict[str, Any]]:
    """Objects of the cluster itself, by the path at which they are applied.

    CoreDNS runs beside the kubelet, not in a pod, so its Service names its address by hand.
    """
    rbac = "rbac.authorization.k8s.io"
    name = "bgjobs-local-coredns"
    ports = [
        {"name": f"dns-{kind.lower()}", "port": 53, "protocol": kind} for kind in ("UDP", "TCP")
    ]
    return {
        f"/apis/{rbac}/v1/clusterroles/{name}": {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": name},
            "rules": [
                {
                    "apiGroups": [""],
                    "resources": ["services", "namespaces"],
                    "verbs": ["list", "watch"],
                },
                {
                    "apiGroups": ["discovery.k8s.io"],
                    "resources": ["endpointslices"],
                    "verbs": ["list", "watch"],
                },
            ],
        },
        f"/apis/{rbac}/v1/clusterrolebindings/{name}": {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
            "subjects": [{"apiGroup": rbac, "kind": "User", "name": "coredns"}],
        },
        "/api/v1/namespaces/kube-system/services/kube-dns": {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {"name": "kube-dns", "namespace": "kube-system"},
            "spec": {"clusterIP": place.dns_address, "ports": ports},
        },
        "/apis/discovery.k8s.io/v1/namespaces/kube-system/endpointslices/kube-dns": {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": "kube-dns",
                "namespace": "kube-system",
                "labels": {"kubernetes.io/service-name": "kube-dns"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": [place.node_address]}],
            "ports": ports,
        },
    }


def _kubelet_configuration(place: Place) -> dict[str, Any]:
    certificates = place.directory / "pki"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": place.node_address,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(certificates / "kubelet-server.key"),
        "containerRuntimeEndpoint": f"unix://{_CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroup(place.state)}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [place.dns_address],
        "clusterDomain": "cluster.local",
        "resolvConf": str(place.directory / "resolv.conf"),
        "volumePluginDir": str(place.directory / "volume-plugins"),
        "kubeAPIQPS": 1000,
        "kubeAPIBurst": 2000,
        # Images are loaded by hand and could not be pulled again, and a full disk of the machine
        # is not the cluster's to mend: nothing is evicted or cleaned up for space.
        "imageGCHighThresholdPercent": 100,
        "evictionHard": dict.fromkeys(
            (
                "memory.available",
                "nodefs.available",
                "nodefs.inodesFree",
                "imagefs.available",
                "imagefs.inodesFree",
            ),
            "0%",
        ),
    }


def _containerd_configuration(place: Place) -> str:
    # restrict_oom_score_adj: without it every pod fails where the machine itself is restricted.
    return f"""\
version = 2
root = "{place.directory / "containerd"}"
state = "/run/containerd"
[grpc]
  address = "{_CONTAINERD_SOCKET}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{place.directory / "cni"}"
"""


def _pod_network(place: Place) -> dict[str, Any]:
    """Each pod gets a wire of its own to the node, so that all traffic passes its rules."""
    return {
        "cniVersion": "0.4.0",
        "name": "bgjobs",
        "plugins": [
            {
                "type": "ptp",
                "ipam": {
                    "type": "host-local",
                    "ranges": [[{"subnet": str(place.pods)}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                    # Forgotten with the namespaces, as the pods are.
                    "dataDir": "/run/cni",
                },
            }
        ],
    }


def _corefile(place: Place) -> str:
    # Names outside the cluster do not exist: saying so at once beats a timeout. A block of its
    # own, because within one block `template` comes before `kubernetes`.
    return f"""\
cluster.local:53 in-addr.arpa:53 {{
    bind {place.node_address}
    errors
    kubernetes {{
        kubeconfig {place.directory / "coredns.kubeconfig"}
    }}
}}
.:53 {{
    bind {place.node_address}
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""
