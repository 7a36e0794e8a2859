"""The start window: it bounds how many child Jobs exist whose pod has not begun to run.

A few dozen in flight keep every node busy; more only lengthen the queues of the
scheduler and the kubelets, in which an urgent job would stand last.
"""

from datetime import datetime, timedelta

from bgjobs.domain.observation import Observation, PodPhase

_STAYS = timedelta(seconds=10)
"""An attempt that cannot start (no room, no image) must not hold up the others."""


def leaves_at(seen: Observation) -> datetime | None:
    """When the attempt under way leaves the start window at the latest; None if it is not in it."""
    child, pod = seen.child, seen.pod
    if child is None or child.succeeded or child.failed_message is not None or child.gone:
        return None
    if pod is not None and pod.phase is not PodPhase.PENDING:
        return None
    return child.created + _STAYS
