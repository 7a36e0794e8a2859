"""The start window: it bounds how many child Jobs exist whose pod has not begun to run.

A few in flight keep busy all that starts them; more only lengthen the queues of the scheduler and
the kubelets, in which an urgent job would stand last. How many that is differs from cluster to
cluster and from hour to hour, so the window follows how long starts take.
"""

from datetime import datetime, timedelta

from bgjobs.domain.observation import Observation, PodPhase

FIRST_SIZE = 20.0
"""Its size before it was seen how long starts take."""

_SMALLEST, _LARGEST = 10, 500
_QUEUES_FOR_SECONDS = 0.3
"""How much longer than alone an attempt may take to start because others start, too."""
_SLOWER_WEIGHS = 0.05
"""Of a new one among those that start alone; what was faster counts at once."""

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


def alone(before_seconds: float | None, seconds: float) -> float:
    """How long starts take that have hardly any others beside them, once one took so long."""
    if before_seconds is None or seconds < before_seconds:
        return seconds
    return before_seconds + _SLOWER_WEIGHS * (seconds - before_seconds)


def resized(size: float, seconds: float, alone_seconds: float) -> float:
    """The window, after an attempt that was started while it was full took so long until it ran.

    By Little's law (L = throughput x time), a full window whose starts take too long by a factor
    is too large by that factor; as many starts as it holds bring it there.
    """
    change = (alone_seconds + _QUEUES_FOR_SECONDS) / max(seconds, 0.001) - 1
    return max(_SMALLEST, min(_LARGEST, size + max(-1.0, min(0.5, change))))
