"""What keeps the attempt under way from starting, or from ending."""

from datetime import datetime, timedelta

from bgjobs.domain.observation import ChildJob, Observation, Pod
from bgjobs.domain.resource import MAX_QUOTED_CHARACTERS, Reason, Spec, cut

_WAITING_REASONS = {
    "Unschedulable": Reason.UNSCHEDULABLE,
    "SchedulingGated": Reason.UNSCHEDULABLE,
    "ErrImagePull": Reason.IMAGE_PULL_BACK_OFF,
    "ImagePullBackOff": Reason.IMAGE_PULL_BACK_OFF,
    "ErrImageNeverPull": Reason.IMAGE_PULL_BACK_OFF,
    "InvalidImageName": Reason.IMAGE_PULL_BACK_OFF,
    "CreateContainerConfigError": Reason.CONTAINER_CONFIG_ERROR,
    "CreateContainerError": Reason.CONTAINER_CONFIG_ERROR,
}
CANNOT_START = frozenset(
    {*_WAITING_REASONS.values(), Reason.QUOTA_EXCEEDED, Reason.CONFIGURATION_INVALID}
)
_KILLED_WITHIN = timedelta(seconds=30)
"""How long a kubelet that answers may need for a pod whose grace period is over."""


def obstacle(seen: Observation) -> tuple[Reason, str] | None:
    """Why the attempt's pod does not start, as a reason and in words; None if nothing is known."""
    if seen.pod is None:
        if seen.failure is None:
            return None
        quota = "exceeded quota" in seen.failure
        reason = Reason.QUOTA_EXCEEDED if quota else Reason.CONFIGURATION_INVALID
        return reason, _quoted(f"its Job gets no pod: {seen.failure}")
    if seen.failure is not None and may_lack_volumes(seen.pod):
        return Reason.CONTAINER_CONFIG_ERROR, _quoted(seen.failure)
    waiting = seen.pod.waiting
    if waiting is None or waiting.reason not in _WAITING_REASONS:
        return None
    return _WAITING_REASONS[waiting.reason], _quoted(waiting.message or waiting.reason)


def given_up_at(spec: Spec, child: ChildJob, pod: Pod | None) -> tuple[datetime, str] | None:
    """When an attempt that does not start is ended, and the field of the spec that says so."""
    limits = []
    if spec.pending_deadline_seconds:
        limits.append((pending_until(spec, child), "pendingDeadlineSeconds"))
    if pod is not None and pod.deadline is not None:
        limits.append((pod.deadline, "activeDeadlineSeconds"))
    return min(limits, default=None)


def pending_until(spec: Spec, child: ChildJob) -> datetime:
    return child.created + timedelta(seconds=spec.pending_deadline_seconds)


def may_lack_volumes(pod: Pod) -> bool:
    """Whether a volume may keep the pod from starting: of that, only Events tell."""
    is_creating = pod.waiting is not None and pod.waiting.reason == "ContainerCreating"
    return is_creating and not pod.has_sandbox


def lost_node(seen: Observation, now: datetime) -> str | None:
    """What to say and do about a node that has fallen silent; None where it has not."""
    pod = seen.pod
    if pod is None or pod.gone or pod.ended or pod.node_name is None:
        return None
    overdue = pod.to_be_gone_at is not None and now > pod.to_be_gone_at + _KILLED_WITHIN
    if not (pod.lost or overdue):
        return None
    return (
        f"Node {pod.node_name} does not answer: attempt {pod.attempt} may still run there, so no "
        "other is started. If the node is off for good: kubectl taint nodes "
        f"{pod.node_name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
    )


def orphan(seen: Observation) -> str | None:
    """What to say and do about a pod whose Job was deleted without it; None where it was not."""
    pod = seen.pod
    if pod is None or not pod.is_orphan or pod.ended or pod.gone or pod.told_to_end:
        return None
    return (
        f"Attempt {pod.attempt} goes on although its Job was deleted, so no other is started. To "
        f"end it: kubectl delete pod {pod.name} -n {seen.job.metadata.namespace}"
    )


def out_of_reach(seen: Observation, now: datetime) -> str | None:
    """Why deleting the child Job does not end its pod, and what does; None where it may."""
    return lost_node(seen, now) or orphan(seen)


def _quoted(text: str) -> str:
    return cut(text, MAX_QUOTED_CHARACTERS).rstrip(". ")
