"""An address and a filter are the same thing; what is no filter is refused with what to write."""

from datetime import datetime
from urllib.parse import parse_qsl

import pytest

from bgjobs.dashboard.filters import Cursor, Filter, FilterError
from bgjobs.dashboard.states import STATES, state_of
from bgjobs.domain.phase import phase_of
from bgjobs.domain.resource import Reason

_UID = "0f4f8d1e-3b7c-4c0d-9a53-2a7a5b1f6c11"


def test_a_filter_is_the_same_read_from_its_own_address() -> None:
    query = {
        "state": "Scheduled",
        "reason": "BackingOff",
        "priority": "High",
        "class": "shop.jobs.Sync",
        "namespace": "shop",
        "name": "sync-",
        "labels": "customer=42,example.org/team=a",
        "error": "0123456789ab",
        "created": "24h",
        "until": "2030-01-31T12:05",
        "before": f"20300131T120307-{_UID}",
    }
    wanted = Filter.parse(query)
    assert wanted.before == Cursor(datetime(2030, 1, 31, 12, 3, 7), _UID)
    address = wanted.query(before=wanted.before)
    assert Filter.parse(dict(parse_qsl(address[1:]))) == wanted


def test_what_is_left_empty_does_not_matter() -> None:
    assert Filter.parse({"class": "", "priority": " ", "labels": ","}).is_empty


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("2030-01-31", datetime(2030, 1, 31)),
        ("2030-01-31T12:05:59.9", datetime(2030, 1, 31, 12, 5)),
        ("2030-01-31T12:05+02:00", datetime(2030, 1, 31, 10, 5)),
    ],
)
def test_a_time_is_in_utc_unless_it_says_its_zone(text: str, want: datetime) -> None:
    assert Filter.parse({"until": text}).until == want


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"colour": "red"}, "There is no filter 'colour'"),
        ({"state": "Sleeping"}, "use one of Scheduled, Queued"),
        ({"state": "Queued", "reason": "Paused"}, "No job is Queued for the reason Paused."),
        ({"priority": "0"}, "use one of High, Medium, Low"),
        ({"created": "1y"}, "use one of 1h, 24h"),
        ({"until": "yesterday"}, "write it as 2030-01-31"),
        ({"until": "0001-01-01T00:00+14:00"}, "write it as 2030-01-31"),
        ({"labels": "customer"}, "write name=value"),
        ({"labels": "a=1,b=2,c=3,d=4,e=5"}, "At most 4 labels"),
        ({"error": "' OR 1=1 --"}, "is no error group"),
        ({"before": "-1"}, "There is no such page"),
        ({"before": f"20301331T120307-{_UID}"}, "There is no such page"),
        ({"before": f"20300131T120307-{_UID}' --"}, "There is no such page"),
        ({"name": "x" * 254}, "name is too long"),
    ],
)
def test_what_is_no_filter_is_refused_with_what_to_write(query: dict[str, str], says: str) -> None:
    with pytest.raises(FilterError, match=says.replace("|", "")):
        Filter.parse(query)


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_belongs_to_the_state_of_its_phase(reason: Reason) -> None:
    for attempt in (1, 2):
        phase = phase_of(reason, attempt)
        state = state_of(phase, reason)
        assert (phase, reason) in state.pairs
        assert [each for each in STATES.values() if (phase, reason) in each.pairs] == [state]
