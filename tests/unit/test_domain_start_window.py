"""The start window: which attempts are in it, until when, and how many may be."""

import pytest
from tests.unit.builders import NOW, background_job, child_job, pod, running, seconds, see

from bgjobs.domain.observation import ChildJob, Pod, PodPhase
from bgjobs.domain.start_window import alone, leaves_at, resized


@pytest.mark.parametrize(
    ("child", "of_child", "inside"),
    [
        pytest.param(None, None, False, id="nothing was started"),
        pytest.param(child_job(), None, True, id="its pod is not there yet"),
        pytest.param(child_job(), pod(PodPhase.PENDING), True, id="its pod does not run yet"),
        pytest.param(child_job(), running(), False, id="its pod runs"),
        pytest.param(child_job(), pod(PodPhase.FAILED), False, id="its pod has ended"),
        pytest.param(child_job(succeeded=True), None, False, id="it has succeeded"),
        pytest.param(child_job(failed_message="no"), None, False, id="it has failed"),
        pytest.param(child_job(gone=True), None, False, id="it is gone"),
    ],
)
def test_an_attempt_is_in_the_window_until_its_pod_runs_but_ten_seconds_at_most(
    child: ChildJob | None, of_child: Pod | None, inside: bool
) -> None:
    want = NOW + seconds(10) if inside else None
    assert leaves_at(see(background_job(), child, of_child)) == want


@pytest.mark.parametrize(
    ("before_seconds", "seconds", "want"),
    [
        pytest.param(None, 2.0, 2.0, id="the first"),
        pytest.param(2.0, 0.5, 0.5, id="a faster one counts at once"),
        pytest.param(2.0, 4.0, 2.1, id="a slower one counts a little"),
    ],
)
def test_how_long_a_start_takes_alone(
    before_seconds: float | None, seconds: float, want: float
) -> None:
    assert alone(before_seconds, seconds) == pytest.approx(want)


def test_the_window_comes_to_hold_what_starts_within_the_time_it_may_take() -> None:
    """Whatever it holds, a cluster that starts so many a second takes so long for each."""
    for per_second, alone_seconds in ((100, 0.2), (200, 2.0)):
        for size in (10.0, 500.0):
            for _ in range(5000):
                seconds = max(alone_seconds, size / per_second)
                size = resized(size, seconds, alone_seconds)
            assert size == pytest.approx(per_second * (alone_seconds + 0.3), rel=0.05)


@pytest.mark.parametrize(("seconds", "want"), [(0.0, 500), (0.2, 500), (9.0, 10)])
def test_the_window_has_bounds(seconds: float, want: float) -> None:
    size = 20.0
    for _ in range(2000):
        size = resized(size, seconds, alone_seconds=0.2)
    assert size == want
