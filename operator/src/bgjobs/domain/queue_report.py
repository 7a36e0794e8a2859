"""What the operator's leader tells about its queue, in an annotation of its Lease."""

import msgspec

LEASE = "bgjobs-operator"
"""The Lease of the leader, in the operator's namespace."""
ANNOTATION = "bgjobs.dev/queue"


class QueueReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The admission queue's figures as of the Lease's renewTime. A limit of 0 is none."""

    max_concurrent: int
    running: int
    """Jobs that hold one of the `max_concurrent` slots."""
    waiting: int
    start_window: int
    starting: int
    """Child Jobs that take a place in the start window."""
    ageing_seconds: int
    starts_since_aged: int
    """Starts by rank since one last went to the job that had waited longest."""


def encode(report: QueueReport) -> str:
    return msgspec.json.encode(report).decode()


def decode(text: str) -> QueueReport:
    """Raises ValueError where the text is no report; what a newer operator adds is ignored."""
    return msgspec.json.decode(text, type=QueueReport)
