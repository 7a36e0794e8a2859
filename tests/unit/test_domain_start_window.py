"""The start window: which attempts are in it, and until when."""

import pytest
from tests.unit.builders import NOW, background_job, child_job, pod, running, seconds, see

from bgjobs.domain.observation import ChildJob, Pod, PodPhase
from bgjobs.domain.start_window import leaves_at


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
