"""Charts: round axes, gaps where nothing is known, and attempts to scale."""

from datetime import datetime, timedelta

import pytest

from bgjobs.dashboard import charts
from bgjobs.dashboard.charts import Series
from bgjobs.dashboard.view import Stretch

_NOW = datetime(2030, 1, 31, 12, 0)
_STEP = timedelta(minutes=5)


@pytest.mark.parametrize(
    ("highest", "unit", "want"),
    [
        pytest.param(0, "count", 2, id="nothing"),
        pytest.param(1, "count", 2, id="no half of a job"),
        pytest.param(10, "count", 10, id="just fits"),
        pytest.param(56, "count", 60, id="sixty"),
        pytest.param(101, "count", 200, id="the next hundred"),
        pytest.param(0.12, "seconds", 0.2, id="parts of a second"),
        pytest.param(61, "seconds", 120, id="minutes"),
        pytest.param(200_000, "seconds", 3 * 86_400, id="days"),
    ],
)
def test_an_axis_ends_at_a_round_figure(highest: float, unit: str, want: float) -> None:
    assert charts.top(highest, unit) == pytest.approx(want)


def test_a_line_breaks_where_nothing_is_known() -> None:
    series = Series("p95", "running", "line", [1.0, 2.0, None, 4.0])
    chart = charts.over_time(_NOW, _STEP, [series], "Wait")
    lines = [mark.attributes["d"] for mark in chart.marks if mark.attributes["class"].endswith("g")]
    assert [line.count("L") for line in lines] == [1, 0]
    titles = [mark.title for mark in chart.marks if mark.title]
    assert [":" in title.partition("\n")[2] for title in titles] == [True, True, False, True]
    assert ["so far" in title for title in titles] == [False, False, False, True]


def test_a_timeline_tells_those_who_do_not_see_it() -> None:
    first = [Stretch("failed", _NOW, _NOW + _STEP, "ran")]
    second = [Stretch("queued", _NOW + _STEP, _NOW + 2 * _STEP, "queued")]
    chart = charts.timeline([first, second], 1, _NOW + 2 * _STEP)
    assert chart is not None
    assert chart.label == "attempt 1: ran 5 m; attempt 2: queued 5 m"
    assert [mark.text for mark in chart.marks if mark.attributes["class"] == "nowt"] == ["now"]


@pytest.mark.parametrize(
    ("end", "want"),
    [
        (datetime(2999, 1, 31), ["Jan 2280", "Jan 2530", "Jan 2780"]),
        (datetime(9999, 12, 31, 23, 59), ["Jan 4530", "Jan 7030", "Jan 9530"]),
    ],
)
def test_a_job_of_a_far_future_has_a_few_marks(end: datetime, want: list[str]) -> None:
    chart = charts.timeline([[Stretch("scheduled", _NOW, end, "delay or backoff")]], 1, _NOW)
    assert chart is not None
    assert [mark.text for mark in chart.marks if mark.attributes["class"] == "ax"] == want


def test_without_an_attempt_there_is_no_timeline() -> None:
    assert charts.timeline([], 1, _NOW) is None
