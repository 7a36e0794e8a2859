"""The wire between the machine and a cluster: one veth pair and one route."""

import json
from ipaddress import IPv4Network
from pathlib import Path

from bgjobs_local.errors import LocalError
from bgjobs_local.place import Place, interface
from bgjobs_local.processes import run

# Reserved for benchmarks of network devices (RFC 2544): hardly any real network uses it.
_POOL = IPv4Network("198.18.0.0/15")


def free_network() -> IPv4Network:
    """A network that no route of this machine leads into yet."""
    taken = _routed()
    for candidate in _POOL.subnets(new_prefix=20):
        if not any(candidate.overlaps(network) for network in taken):
            return candidate
    raise LocalError(f"Every network of {_POOL} is in use on this machine (see `ip route`).")


def connect(place: Place) -> None:
    """Make the wire, both ends on the machine's side, and claim the network with its route."""
    near = interface(place.state)
    if any(place.network.overlaps(network) for network in _routed()):
        raise LocalError(
            f"Something else on this machine now uses the cluster's network {place.network}."
            " Take the cluster down and up again: it will choose another one."
        )
    run("ip", "link", "add", near, "type", "veth", "peer", "name", _far(place.state))
    run("ip", "address", "add", f"{place.host_address}/24", "dev", near)
    run("ip", "link", "set", near, "up")
    run("ip", "route", "add", str(place.network), "via", place.node_address, "dev", near)


def ensure_wire(place: Place, namespace: int) -> None:
    """Make the wire where it is missing, its far end in the network namespace of a process.

    It gets no default route: pods have no way out, and learn it at once instead of by timeouts.
    """
    if not _exists(interface(place.state)):
        connect(place)
    far = _far(place.state)
    if _exists(far):
        inside = ("nsenter", "--target", str(namespace), "--net", "ip")
        run("ip", "link", "set", far, "netns", str(namespace))
        run(*inside, "link", "set", "lo", "up")
        run(*inside, "address", "add", f"{place.node_address}/24", "dev", far)
        run(*inside, "link", "set", far, "name", "eth0", "up")


def disconnect(state: Path) -> None:
    """Remove the wire, and with it its addresses and route."""
    near = interface(state)
    if _exists(near):
        try:
            run("ip", "link", "delete", near)
        except LocalError:
            # It goes by itself, a moment after the namespace that holds its other end.
            if _exists(near):
                raise


def _exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def _far(state: Path) -> str:
    return f"{interface(state)}-in"


def _routed() -> list[IPv4Network]:
    """Without what leads to more than the pool, as a VPN's halves of all addresses do."""
    routes = json.loads(run("ip", "-4", "-json", "route", "show", "table", "all"))
    networks = [IPv4Network(route["dst"]) for route in routes if route["dst"] != "default"]
    return [network for network in networks if network.prefixlen >= _POOL.prefixlen]
