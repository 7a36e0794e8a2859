"""The last good configuration stays in force, and what is wrong with a newer one is said."""

from typing import Any

import pytest
from tests.unit.builders import CLASS, Time

from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.events import EventPoster
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.decision import Event


class Events(EventPoster):
    """Events about ConfigMaps, kept instead of posted."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def post_about_config_map(
        self, namespace: str, name: str, uid: str, event: Event, now: Any
    ) -> None:
        assert now == Time().now()
        self.messages.append(f"{namespace}/{name} {uid} {event.reason}: {event.message}")


class Keeper(ConfigurationKeeper):
    def __init__(self, *, leads: bool = True) -> None:
        self.events = Events()
        self.changes: list[None] = []
        super().__init__(self.events, Time().now, changed=lambda: self.changes.append(None))
        if leads:
            self.lead()


def config_map(**data: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "bgjobs-system", "uid": "c"}, "data": data}


def test_before_anything_was_read_nothing_is_in_force_and_both_are_named() -> None:
    current = Keeper().current
    assert (current.allowlist, current.runtimes) == (None, None)
    assert set(current.problems) == {ALLOWLIST, RUNTIMES}


def test_both_are_read_once_each_was_seen_or_found_absent() -> None:
    keeper = Keeper()
    keeper.seen(ALLOWLIST, config_map())
    assert not keeper.read.is_set()
    keeper.seen(RUNTIMES, None)
    assert keeper.read.is_set()


def test_a_standby_tells_what_is_wrong_once_it_leads_and_only_what_still_is() -> None:
    keeper = Keeper(leads=False)
    keeper.seen(ALLOWLIST, config_map(**{"no class": "handle"}))
    keeper.seen(RUNTIMES, config_map(default="["))
    keeper.seen(ALLOWLIST, config_map())
    assert keeper.events.messages == []
    keeper.lead()
    [message] = keeper.events.messages
    assert message.startswith("bgjobs-system/bgjobs-runtimes c ConfigurationInvalid: ")


def test_what_a_watch_tells_again_when_it_begins_anew_is_no_change() -> None:
    keeper = Keeper()
    keeper.seen(ALLOWLIST, config_map(**{CLASS: "handle"}))
    keeper.seen(RUNTIMES, None)
    before = len(keeper.changes), keeper.current
    keeper.seen(ALLOWLIST, config_map(**{CLASS: "handle"}))
    keeper.seen(RUNTIMES, None)
    assert (len(keeper.changes), keeper.current) == before
    assert keeper.current is before[1]


def test_a_good_config_map_is_in_force_and_its_problem_gone() -> None:
    keeper = Keeper()
    keeper.seen(ALLOWLIST, config_map(**{CLASS: "handle"}))
    assert keeper.current.allowlist == {CLASS: frozenset({"handle"})}
    assert set(keeper.current.problems) == {RUNTIMES}


def test_an_empty_allowlist_is_a_good_one() -> None:
    keeper = Keeper()
    keeper.seen(ALLOWLIST, {"metadata": {"namespace": "bgjobs-system", "uid": "c"}})
    assert keeper.current.allowlist == {}


@pytest.mark.parametrize(
    ("newer", "problem"),
    [
        (config_map(default="image: ["), "'default' is no valid YAML"),
        (config_map(), "the key default is missing"),
        (None, "it does not exist: apply it"),
    ],
    ids=["broken", "emptied", "deleted"],
)
def test_the_last_good_version_stays_in_force(newer: dict[str, Any] | None, problem: str) -> None:
    keeper = Keeper()
    keeper.seen(RUNTIMES, config_map(default="image: shop:1"))
    keeper.seen(RUNTIMES, newer)
    assert keeper.current.runtimes is not None
    assert keeper.current.runtimes["default"].settings.image == "shop:1"
    assert problem in keeper.current.problems[RUNTIMES]


def test_a_broken_config_map_gets_an_event() -> None:
    keeper = Keeper()
    keeper.seen(RUNTIMES, config_map(default="image: shop:1"))
    keeper.seen(RUNTIMES, config_map())
    assert keeper.events.messages == [
        "bgjobs-system/bgjobs-runtimes c ConfigurationInvalid: the key default is missing: every "
        "class falls back to it. The last good version stays in force."
    ]


def test_the_event_says_when_there_never_was_a_good_one() -> None:
    keeper = Keeper()
    keeper.seen(RUNTIMES, config_map())
    assert keeper.events.messages[0].endswith("falls back to it. No job starts until it is mended.")


def test_a_deleted_config_map_gets_an_event_too() -> None:
    keeper = Keeper()
    keeper.seen(RUNTIMES, config_map(default="image: shop:1"))
    keeper.seen(RUNTIMES, None)
    assert keeper.events.messages == [
        "bgjobs-system/bgjobs-runtimes c ConfigurationInvalid: it does not exist: apply it. "
        "The last good version stays in force."
    ]


def test_every_change_is_told() -> None:
    keeper = Keeper()
    for seen in (config_map(default="image: shop:1"), config_map(), None):
        keeper.seen(RUNTIMES, seen)
    assert len(keeper.changes) == 3
