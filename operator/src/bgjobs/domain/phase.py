"""The phase follows from the reason, and a waiting job's from whether it has been tried."""

from bgjobs.domain.resource import Phase, Reason

_PHASES = {
    Reason.RUNNING: Phase.RUNNING,
    Reason.NODE_UNREACHABLE: Phase.RUNNING,
    Reason.CANCELLING: Phase.CANCELLING,
    Reason.SUCCEEDED: Phase.SUCCEEDED,
    Reason.CANCELLED: Phase.CANCELLED,
    Reason.ERROR: Phase.FAILED,
    Reason.PERMANENT_FAILURE: Phase.FAILED,
    Reason.BAD_PARAMETERS: Phase.FAILED,
    Reason.NOT_IN_IMAGE: Phase.FAILED,
    Reason.OOM_KILLED: Phase.FAILED,
    Reason.DEADLINE_EXCEEDED: Phase.FAILED,
    Reason.PENDING_DEADLINE_EXCEEDED: Phase.FAILED,
    Reason.DISRUPTED: Phase.FAILED,
    Reason.JOB_DELETED: Phase.FAILED,
    Reason.NOT_ALLOWED: Phase.REJECTED,
    Reason.NAMESPACE_NOT_ALLOWED: Phase.REJECTED,
    Reason.PARAMETERS_TOO_LARGE: Phase.REJECTED,
}


def phase_of(reason: Reason, next_attempt: int) -> Phase:
    """The phase of a job whose `next_attempt` (from 1 in its run) is under way or comes next."""
    return _PHASES.get(reason) or (Phase.PENDING if next_attempt == 1 else Phase.RETRYING)
