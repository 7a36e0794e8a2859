"""How the pages write times, durations and counts."""

from datetime import datetime

import pytest

from bgjobs.dashboard import words

_NOW = datetime(2030, 1, 31, 12, 3, 7)


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        (0, "0 s"),
        (0.44, "0.4 s"),
        (18.4, "18 s"),
        (100, "1 m 40 s"),
        (3600, "1 h"),
        (63_480, "17 h 38 m"),
        (86_400 * 3 + 7200 + 60, "3 d 2 h"),
        (-5, "0 s"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, want: str) -> None:
    assert words.duration(seconds) == want


@pytest.mark.parametrize(
    ("time", "want"),
    [
        (datetime(2030, 1, 31, 9, 5, 1), "09:05:01"),
        (datetime(2030, 1, 30, 18, 24), "30 Jan 18:24"),
        (datetime(2028, 1, 30, 18, 24), "30 Jan 2028"),
    ],
)
def test_a_time_is_as_short_as_it_is_clear(time: datetime, want: str) -> None:
    assert words.clock(time, _NOW) == want


def test_counting_stops_where_it_is_not_known() -> None:
    assert words.plural(812_345, "job") == "812,345 jobs"
    assert (words.counted(10_000), words.counted(10_001)) == ("10,000", "10,000+")
    assert words.counted(1_204, is_exact=False) == "1,204+"


@pytest.mark.parametrize(
    ("part", "whole", "want"), [(0, 0, "0 %"), (14, 12_444, "0.11 %"), (1, 3, "33 %")]
)
def test_shares(part: float, whole: float, want: str) -> None:
    assert words.share(part, whole) == want


def test_sizes() -> None:
    assert [words.size(n) for n in (17, 131 * 2**20, 1.7 * 2**30)] == [
        "17 bytes",
        "131 Mi",
        "1.7 Gi",
    ]
