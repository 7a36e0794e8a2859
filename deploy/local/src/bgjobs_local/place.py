"""Where one local cluster lives: its folders, addresses and names on the machine."""

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

API_PORT = 6443
ETCD_PORT = 2379
KUBELET_PORT = 10250
NODE = "local"


@dataclass(frozen=True)
class Place:
    """All of it follows from the state folder and a network of 4,096 addresses (a /20).

    The machine reaches node, pods and Services alike by one route into that network.
    """

    state: Path
    network: IPv4Network

    @property
    def directory(self) -> Path:
        """What belongs to the cluster alone and goes with it."""
        return cluster_folder(self.state)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def host_address(self) -> str:
        """The machine's end of the wire into the cluster."""
        return str(self.network[1])

    @property
    def node_address(self) -> str:
        """The node's end of it; the API server and NodePorts listen there."""
        return str(self.network[2])

    @property
    def services(self) -> IPv4Network:
        return IPv4Network((int(self.network[0x100]), 24))

    @property
    def dns_address(self) -> str:
        return str(self.services[10])

    @property
    def pods(self) -> IPv4Network:
        return IPv4Network((int(self.network[0x400]), 22))


def cluster_folder(state: Path) -> Path:
    return state / "cluster"


def interface(state: Path) -> str:
    """The name of the machine's end of the wire (at most 15 characters)."""
    return f"bgj-{_short(state)}"


def cgroup(state: Path) -> str:
    return f"bgjobs-{_short(state)}"


def _short(state: Path) -> str:
    return hashlib.sha256(str(state).encode()).hexdigest()[:8]
