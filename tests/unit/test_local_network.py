"""Which network a new local cluster takes."""

import json

import pytest

from bgjobs_local import network
from bgjobs_local.errors import LocalError


@pytest.mark.parametrize(
    ("routes", "free"),
    [
        pytest.param(["default", "192.168.1.0/24"], "198.18.0.0/20", id="the first"),
        pytest.param(["198.18.0.0/20", "198.18.17.9"], "198.18.32.0/20", id="none in use"),
        pytest.param(["0.0.0.0/1", "128.0.0.0/1"], "198.18.0.0/20", id="a VPN takes all traffic"),
    ],
)
def test_it_is_one_that_no_route_of_its_own_leads_into(
    monkeypatch: pytest.MonkeyPatch, routes: list[str], free: str
) -> None:
    _route(monkeypatch, routes)
    assert str(network.free_network()) == free


def test_a_pool_that_is_in_use_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    _route(monkeypatch, ["198.18.0.0/15"])
    with pytest.raises(LocalError, match="is in use on this machine"):
        network.free_network()


def _route(monkeypatch: pytest.MonkeyPatch, routes: list[str]) -> None:
    answer = json.dumps([{"dst": route} for route in routes])
    monkeypatch.setattr(network, "run", lambda *_: answer)
