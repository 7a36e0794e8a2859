"""Dispatches background jobs from an application, and looks after them.

    from bgjobs.client import dispatch

    handle = dispatch("shop.jobs.SyncStock", warehouse=7, priority="High", key="stock-7")
    print(handle.result(timeout_seconds=60))

`bgjobs.client.aio` has the same to be awaited, `bgjobs.client.outbox` a table that keeps what is
dispatched until the API server has it.
"""

from bgjobs.client.blocking import Client, Handle, dispatch, handle
from bgjobs.client.errors import (
    BadParametersError,
    ClientError,
    JobFailedError,
    NameTakenError,
    NoClusterError,
    NoSuchJobError,
    NotFinishedError,
    RefusedError,
    ResultTooLargeError,
    UnreachableError,
)
from bgjobs.client.inlining import InlineContext, inline
from bgjobs.client.state import State
from bgjobs.client.submission import Submission, submission
from bgjobs.domain.resource import Phase

__all__ = [
    "BadParametersError",
    "Client",
    "ClientError",
    "Handle",
    "InlineContext",
    "JobFailedError",
    "NameTakenError",
    "NoClusterError",
    "NoSuchJobError",
    "NotFinishedError",
    "Phase",
    "RefusedError",
    "ResultTooLargeError",
    "State",
    "Submission",
    "UnreachableError",
    "dispatch",
    "handle",
    "inline",
    "submission",
]
