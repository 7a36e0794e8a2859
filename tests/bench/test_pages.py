"""The benchmark of the pages fails on one that takes seconds, however few they are."""

import pytest
from tests.bench.figures import Verdict
from tests.bench.pages import figures


@pytest.mark.parametrize(
    ("slow", "fails"),
    [
        pytest.param([40.0] * 4, False, id="as quick as it is to be"),
        pytest.param([400.0] * 4, False, id="slower, but no more than a moment"),
        pytest.param([3000.0] * 4, True, id="seconds"),
    ],
)
def test_a_page_of_seconds_fails(slow: list[float], fails: bool) -> None:
    times = {f"/jobs?name={number}": [10.0] * 4 for number in range(1000)}
    found = figures({**times, "/jobs?name=slow": slow}, jobs=1000)
    assert any(figure.verdict is Verdict.FAILED for figure in found) is fails
    assert any("/jobs?name=slow" in figure.name for figure in found)
