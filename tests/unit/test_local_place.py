"""Where a local cluster lives on the machine."""

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from bgjobs_local.place import Place, cgroup, interface

HERE = Place(Path("/checkout/.local"), IPv4Network("198.18.16.0/20"))


def test_every_address_lies_in_the_one_network_that_the_machine_routes_to() -> None:
    singles = [HERE.host_address, HERE.node_address, HERE.dns_address]
    assert all(IPv4Address(each) in HERE.network for each in singles)
    assert HERE.services.subnet_of(HERE.network)
    assert HERE.pods.subnet_of(HERE.network)


def test_services_and_pods_and_the_node_do_not_share_addresses() -> None:
    assert not HERE.services.overlaps(HERE.pods)
    for address in (HERE.host_address, HERE.node_address):
        assert IPv4Address(address) not in HERE.services
        assert IPv4Address(address) not in HERE.pods


def test_two_checkouts_get_names_of_their_own() -> None:
    here, there = Path("/a/.local"), Path("/b/.local")
    assert interface(here) != interface(there)
    assert cgroup(here) != cgroup(there)


def test_both_ends_of_the_wire_have_names_that_linux_takes() -> None:
    assert len(f"{interface(HERE.state)}-in") <= 15
