"""The client of threads: each call returns when the API server has answered."""

import functools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

from kubernetes import config
from kubernetes.client import ApiClient, ApiException, Configuration
from urllib3.exceptions import HTTPError

from bgjobs.client import connecting, inlining, operations, signatures
from bgjobs.client.connecting import Where
from bgjobs.client.errors import UnreachableError
from bgjobs.client.operations import Answer, Operation, Request, Target
from bgjobs.client.state import State, result_of, state_of
from bgjobs.client.submission import Submission, object_name, submission

_CONNECTIONS_KEPT = 64

P = ParamSpec("P")
Result = TypeVar("Result")


class Client:
    """Dispatches jobs to one cluster, whatever the default one is. Threads may share it.

    Every request is given up after a few seconds without an answer, and tried three times.
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self._where = Where(kubeconfig, context, namespace)
        self._lock = threading.Lock()
        self._connection: tuple[ApiClient, str] | None = None

    def submit(self, submission: Submission) -> "Handle":
        """Creates the job, or finds the one that was created by the same before.

        Raises RefusedError, NameTakenError, UnreachableError, NoClusterError.
        """
        job = self.run(operations.create(submission))
        metadata = job["metadata"]
        return Handle(
            client=self,
            name=metadata["name"],
            namespace=metadata["namespace"],
            uid=metadata["uid"],
        )

    def handle(self, name: str, namespace: str | None = None) -> "Handle":
        """Of a job that was dispatched elsewhere, or is yet to be. Nothing is asked."""
        return Handle(
            client=self, name=object_name(name), namespace=namespace and object_name(namespace)
        )

    def run(self, operation: Operation[Result]) -> Result:
        return operations.run(operation, inlining.current() or self._answer)

    def _answer(self, request: Request) -> Answer:
        time.sleep(request.after_seconds)
        client, namespace = self._connected()
        try:
            parts = client.param_serialize(
                request.method,
                connecting.path(request, namespace),
                query_params=list(request.query.items()),
                header_params=connecting.headers(request),
                body=request.body,
                auth_settings=["BearerToken"],
            )
            timeout = (connecting.CONNECT_SECONDS, connecting.answer_seconds(request))
            response = client.call_api(*parts, _request_timeout=timeout).response
            try:
                # The official client reads nothing by itself.
                body = response.data if request.watch_seconds is None else next(response, b"")
            finally:
                response.close()
        # The last one for what TLS refuses.
        except (HTTPError, OSError, ApiException) as error:
            raise UnreachableError(
                f"The API server {client.configuration.host} gave no answer:"
                f" {connecting.in_words(error)}"
            ) from error
        return Answer(response.status, body, response.headers.get("Retry-After"))

    def _connected(self) -> tuple[ApiClient, str]:
        with self._lock:
            if self._connection is None:
                self._connection = _connect(self._where)
            return self._connection


def _connect(where: Where) -> tuple[ApiClient, str]:
    settings = Configuration()
    settings.retries = False
    settings.connection_pool_maxsize = _CONNECTIONS_KEPT
    try:
        if where.is_own_pods:
            config.load_incluster_config(client_configuration=settings)
        else:
            config.load_kube_config(where.file, where.context, settings)
        return ApiClient(settings), connecting.namespace(where)
    except connecting.CONFIGURATION_ERRORS as error:
        raise connecting.no_cluster(error) from error


@dataclass(frozen=True, kw_only=True)
class Handle(Target):
    """One job, wherever it was dispatched.

    Each method asks the API server, and raises NoSuchJobError where there is no such job,
    RefusedError with the API server's words, UnreachableError where it gives no answer.
    """

    client: Client

    def state(self) -> State:
        """How far the job is now."""
        return state_of(self.client.run(operations.get(self)))

    def wait(self, timeout_seconds: float | None = None) -> State:
        """The state once the job has finished, well or not.

        Raises NotFinishedError when the time is over. An API server that is away is waited for,
        up to a minute.
        """
        return self.client.run(operations.wait(self, timeout_seconds, time.monotonic))

    def result(self, timeout_seconds: float | None = None) -> Any:
        """What the method returned, once the job has finished.

        Raises JobFailedError where it did not succeed, ResultTooLargeError, and what wait() does.
        """
        return result_of(self.wait(timeout_seconds))

    def cancel(self, reason: str = "") -> None:
        """Asks the job to stop for good; it is Cancelling until its pod is gone.

        Raises RefusedError where it has finished.
        """
        self.client.run(operations.cancel(self, reason))

    def start(self) -> None:
        """Starts a waiting job now, whatever delay, time or backoff it waits for."""
        self.client.run(operations.start(self))

    def retry(self) -> None:
        """Runs a job again that has failed, was cancelled or rejected."""
        self.client.run(operations.retry(self))


@functools.lru_cache(maxsize=1)
def _client_of(_process: int) -> Client:
    return Client()


def default_client() -> Client:
    """The process's own: a fork must not share its parent's connections."""
    return _client_of(os.getpid())


def handle(name: str, namespace: str | None = None) -> Handle:
    """Of a job that was dispatched elsewhere, or is yet to be. Nothing is asked."""
    return default_client().handle(name, namespace)


def _dispatching(compose: Callable[P, Submission]) -> Callable[P, Handle]:
    @functools.wraps(compose, assigned=("__doc__",))
    def dispatch(*args: P.args, **kwargs: P.kwargs) -> Handle:
        return default_client().submit(compose(*args, **kwargs))

    signatures.show_as_own(dispatch, compose)
    return dispatch


dispatch = _dispatching(submission)
