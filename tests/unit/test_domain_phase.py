"""The phase of every reason, as the resource's documentation lists them."""

import pytest

from bgjobs.domain.phase import phase_of
from bgjobs.domain.resource import Phase, Reason

_WAITING = (
    "Queued Delayed BackingOff Suspended Paused ConfigurationInvalid QuotaExceeded Starting "
    "Unschedulable ImagePullBackOff ContainerConfigError AdoptionConflict"
)
_OTHERS = {
    Phase.RUNNING: "Running NodeUnreachable",
    Phase.CANCELLING: "Cancelling",
    Phase.SUCCEEDED: "Succeeded",
    Phase.CANCELLED: "Cancelled",
    Phase.FAILED: (
        "Error PermanentFailure BadParameters NotInImage OOMKilled DeadlineExceeded "
        "PendingDeadlineExceeded Disrupted JobDeleted"
    ),
    Phase.REJECTED: "NotAllowed NamespaceNotAllowed ParametersTooLarge",
}


@pytest.mark.parametrize("reason", _WAITING.split())
def test_a_waiting_job_is_pending_until_it_has_been_tried(reason: str) -> None:
    assert phase_of(Reason(reason), next_attempt=1) is Phase.PENDING
    assert phase_of(Reason(reason), next_attempt=2) is Phase.RETRYING


@pytest.mark.parametrize(
    ("phase", "reason"),
    [(phase, reason) for phase, reasons in _OTHERS.items() for reason in reasons.split()],
)
@pytest.mark.parametrize("next_attempt", [1, 2])
def test_any_other_reason_has_one_phase(phase: Phase, reason: str, next_attempt: int) -> None:
    assert phase_of(Reason(reason), next_attempt) is phase


def test_no_reason_is_left_out() -> None:
    listed = {*_WAITING.split(), *" ".join(_OTHERS.values()).split()}
    assert listed == {str(reason) for reason in Reason}
