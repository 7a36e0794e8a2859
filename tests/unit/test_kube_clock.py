"""The API server's time."""

from datetime import timedelta
from email.utils import format_datetime

import pytest
from tests.unit.builders import NOW, Time, seconds

from bgjobs.kube.clock import ServerClock


class Clock(ServerClock):
    """A server clock whose node's clock the test moves."""

    def __init__(self) -> None:
        self.node = Time()
        super().__init__(self.node.now, lambda: (self.node.now() - NOW).total_seconds())

    def hear(self, ahead: float) -> None:
        """The server says a time so many seconds ahead of the node's."""
        self.observe(format_datetime(self.node.now() + seconds(ahead), usegmt=True))


def test_without_a_server_it_is_the_nodes_time() -> None:
    assert Clock().now() == NOW


@pytest.mark.parametrize("ahead", [3600, -3600, 3, -3])
def test_a_wrong_clock_of_the_node_is_corrected(ahead: float) -> None:
    clock = Clock()
    clock.hear(ahead)
    assert clock.now() == NOW + timedelta(seconds=ahead)


@pytest.mark.parametrize("ahead", [2, -2, 1, -1])
def test_the_grain_of_the_header_moves_nothing(ahead: float) -> None:
    clock = Clock()
    clock.hear(ahead)
    assert clock.now() == NOW


def test_the_corrected_time_goes_on() -> None:
    clock = Clock()
    clock.hear(3600)
    clock.node.pass_seconds(5)
    assert clock.now() == NOW + seconds(3605)


def test_it_listens_only_every_ten_seconds() -> None:
    clock = Clock()
    clock.hear(0)
    clock.node.pass_seconds(9)
    clock.hear(3600)
    assert clock.now() == NOW + seconds(9)
    clock.node.pass_seconds(1)
    clock.hear(3600)
    assert clock.now() == NOW + seconds(3610)


def test_a_clock_that_was_set_right_is_followed_back() -> None:
    clock = Clock()
    clock.hear(3600)
    clock.node.pass_seconds(10)
    clock.hear(0)
    assert clock.now() == NOW + seconds(10)


def test_an_answer_without_a_date_says_nothing() -> None:
    clock = Clock()
    clock.observe(None)
    clock.hear(3600)
    assert clock.now() == NOW + seconds(3600)
