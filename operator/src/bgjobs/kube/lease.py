"""The Lease that says which of the operator's processes leads."""

from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from bgjobs.kube.api import Object

_MAX_TRANSITIONS = 2**31 - 1
"""The API server takes no more, and by hand somebody may have written that."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """A Lease, reduced to what an election needs. An empty holder: nobody leads."""

    holder: str
    acquired: str
    renewed: str
    """Of times that others wrote only a change means something, so they stay text."""
    duration_seconds: int
    transitions: int
    resource_version: str
    annotations: dict[str, str]


def read(raw: Object, duration_seconds: int) -> Lease:
    """Takes what people may have emptied by hand for a Lease that nobody holds."""
    metadata, spec = raw["metadata"], raw.get("spec") or {}
    return Lease(
        holder=spec.get("holderIdentity") or "",
        acquired=spec.get("acquireTime") or "",
        renewed=spec.get("renewTime") or "",
        duration_seconds=spec.get("leaseDurationSeconds") or duration_seconds,
        transitions=spec.get("leaseTransitions") or 0,
        resource_version=metadata["resourceVersion"],
        annotations=metadata.get("annotations") or {},
    )


def manifest(
    name: str, holder: str, duration_seconds: int, annotations: Mapping[str, str], now: datetime
) -> Object:
    """A new Lease."""
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "annotations": {**annotations}},
        "spec": {
            "holderIdentity": holder,
            "leaseDurationSeconds": duration_seconds,
            "acquireTime": _micro_time(now),
            "renewTime": _micro_time(now),
            "leaseTransitions": 0,
        },
    }


def held_by(
    lease: Lease,
    holder: str,
    duration_seconds: int,
    annotations: Mapping[str, str],
    now: datetime,
) -> list[Object]:
    """The JSON patch by which its holder renews the Lease, or another one takes it.

    It conflicts if the Lease has changed since it was read.
    """
    changes_hands = holder != lease.holder
    is_kept = lease.acquired and not changes_hands
    return [
        {"op": "replace", "path": "/metadata/resourceVersion", "value": lease.resource_version},
        {
            "op": "add",
            "path": "/metadata/annotations",
            "value": {**lease.annotations, **annotations},
        },
        {
            "op": "add",
            "path": "/spec",
            "value": {
                "holderIdentity": holder,
                "leaseDurationSeconds": duration_seconds,
                "acquireTime": lease.acquired if is_kept else _micro_time(now),
                "renewTime": _micro_time(now),
                "leaseTransitions": min(lease.transitions + changes_hands, _MAX_TRANSITIONS),
            },
        },
    ]


def _micro_time(time: datetime) -> str:
    return f"{time.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
