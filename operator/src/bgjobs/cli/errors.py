"""What goes wrong, in one plain sentence each."""

from typing import Any

from kubernetes.client import ApiException
from urllib3.exceptions import HTTPError

from bgjobs.kube import refusals


class CommandError(Exception):
    """A command ends with this sentence and its exit code."""

    exit_code = 1


class UsageError(CommandError):
    """The command line itself makes no sense."""

    exit_code = 2


API_ERRORS = (ApiException, HTTPError)
"""What the Kubernetes client raises."""


def is_refusal(error: Exception) -> bool:
    """Whether the API server would say the same again."""
    return isinstance(error, ApiException) and error.status in range(400, 429)


def sentence(error: Exception, server: str) -> str:
    """What an API error means to whoever typed the command."""
    if not isinstance(error, ApiException):
        return f"The API server {server} cannot be reached: {_root(error)}"
    said = message(error)
    if error.status == 0:
        return f"The API server {server} cannot be reached: {said}"
    if error.status == 401:
        return f"The API server {server} does not know you: sign in again ({said})."
    if error.status == 404 and status_object(error) is None:
        return (
            "This cluster has no BackgroundJobs: install bgjobs first, or choose another cluster "
            "with --context."
        )
    causes = refusals.causes(status_object(error))
    if error.status == 403 and not causes:
        return f"{said}: ask the platform team for a role that may."
    return "; ".join(causes) or said


def message(error: ApiException) -> str:
    """The API server's own words."""
    status = status_object(error)
    said = (status or {}).get("message") or error.body or error.reason or f"HTTP {error.status}"
    return " ".join(str(said).split())


def status_object(error: ApiException) -> dict[str, Any] | None:
    """The Status in the body of a refusal; None where something else answered."""
    return refusals.status_object(error.body)


def _root(error: BaseException) -> str:
    """The innermost cause: urllib3 wraps it several times."""
    while (inner := getattr(error, "reason", None) or error.__cause__) is not None:
        if not isinstance(inner, BaseException):
            break
        error = inner
    text = str(error)
    if "[SSL: " in text:
        return text.rpartition("] ")[2]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return text.rpartition(": ")[2] or type(error).__name__
