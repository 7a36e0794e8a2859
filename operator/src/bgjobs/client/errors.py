"""What can go wrong between an application and its jobs, in one plain sentence each."""

from bgjobs.domain.resource import Phase


class ClientError(Exception):
    """Any of the errors below."""


class BadParametersError(ClientError):
    """The job was not sent: no fit for its method, no JSON, or a wrong option."""


class NoClusterError(ClientError):
    """There is no cluster to talk to, or its kubeconfig cannot be used."""


class UnreachableError(ClientError):
    """The API server gave no answer, or was too busy for one: what was asked may have been done.

    To dispatch again is safe with a key or a name; without, it may make a second job, as another
    retry() may ask for another run.
    """


class RefusedError(ClientError):
    """The API server refused, in its own words; `status` is its HTTP status."""

    def __init__(self, status: int, message: str, *, is_final: bool) -> None:
        super().__init__(message)
        self.status = status
        self.is_final = is_final
        """Whether the same will be refused again until somebody changes the allowlist or the job.

        Else it may be accepted later as it is: a right or a quota may be granted.
        """


class NameTakenError(RefusedError):
    """There is a job of that name or key already, with another class, method or parameters."""


class NoSuchJobError(ClientError):
    """There is no job of that name: not yet, or no longer."""


class NotFinishedError(ClientError, TimeoutError):
    """The job had not finished when the time to wait was over. It goes on."""


class JobFailedError(ClientError):
    """The job has failed, or was cancelled or rejected.

    `reason` is one of the finite reasons of the resource (OOMKilled, BadParameters, ...).
    """

    def __init__(self, phase: Phase, reason: str, message: str) -> None:
        super().__init__(f"{phase} ({reason}): {message}")
        self.phase = phase
        self.reason = reason
        self.message = message


class ResultTooLargeError(ClientError):
    """The job succeeded, but its result was above 3 KiB, which are not kept."""
