"""The client of asyncio: the same names as in bgjobs.client, to be awaited."""

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, ParamSpec, Self, TypeVar
from weakref import WeakKeyDictionary

import aiohttp
from kubernetes.aio import config
from kubernetes.aio.client import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from bgjobs.client import connecting, inlining, operations, signatures
from bgjobs.client.connecting import Where
from bgjobs.client.errors import UnreachableError
from bgjobs.client.operations import Answer, Operation, Request, Target
from bgjobs.client.state import State, result_of, state_of
from bgjobs.client.submission import Submission, object_name, submission

__all__ = ["Client", "Handle", "close", "dispatch", "handle"]

_LINE_BYTES = 2**21
"""An object that etcd takes, in JSON."""

P = ParamSpec("P")
Result = TypeVar("Result")


@dataclass(frozen=True)
class _Connection:
    session: aiohttp.ClientSession
    settings: Configuration
    namespace: str


class Client:
    """Dispatches jobs to one cluster, whatever the default one is; of one event loop.

    Every request is given up after a few seconds without an answer, and tried three times.
    `async with` closes its connections, and so does close().
    """

    def __init__(
        self,
        *,
        kubeconfig: str | None = None,
        context: str | None = None,
        namespace: str | None = None,
    ) -> None:
        self._where = Where(kubeconfig, context, namespace)
        self._lock = asyncio.Lock()
        self._connection: _Connection | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        async with self._lock:
            if self._connection is not None:
                await self._connection.session.close()
                self._connection = None

    async def submit(self, submission: Submission) -> "Handle":
        """Creates the job, or finds the one that was created by the same before.

        Raises RefusedError, NameTakenError, UnreachableError, NoClusterError.
        """
        job = await self.run(operations.create(submission))
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

    async def run(self, operation: Operation[Result]) -> Result:
        if answer := inlining.current():
            return operations.run(operation, answer)
        try:
            request = next(operation)
            while True:
                try:
                    answered = await self._answer(request)
                except UnreachableError as error:
                    request = operation.throw(error)
                else:
                    request = operation.send(answered)
        except StopIteration as end:
            result: Result = end.value
            return result

    async def _answer(self, request: Request) -> Answer:
        await asyncio.sleep(request.after_seconds)
        connection = await self._connected()
        settings = connection.settings
        headers = connecting.headers(request)
        # Asked for at every request: the kubelet renews it in place.
        if token := await settings.get_api_key_with_prefix("authorization", "BearerToken"):
            headers["Authorization"] = token
        try:
            async with connection.session.request(
                request.method,
                settings.host + connecting.path(request, connection.namespace),
                params=request.query,
                json=request.body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(
                    sock_connect=connecting.CONNECT_SECONDS,
                    sock_read=connecting.answer_seconds(request),
                ),
            ) as response:
                is_watch = request.watch_seconds is not None
                body = await (response.content.readline() if is_watch else response.read())
                return Answer(response.status, body, response.headers.get("Retry-After"))
        except (aiohttp.ClientError, OSError) as error:
            raise UnreachableError(
                f"The API server {settings.host} gave no answer: {connecting.in_words(error)}"
            ) from error

    async def _connected(self) -> _Connection:
        async with self._lock:
            if self._connection is None:
                self._connection = await _connect(self._where)
            return self._connection


async def _connect(where: Where) -> _Connection:
    settings = Configuration()
    try:
        if where.is_own_pods:
            config.load_incluster_config(client_configuration=settings)
        else:
            await config.load_kube_config(where.file, where.context, settings)
        namespace = connecting.namespace(where)
        # Each wait() holds a connection: with a limit, some would keep others from asking anything.
        connector = aiohttp.TCPConnector(limit=0, ssl=RESTClientObject(settings).ssl_context)
    except (config.ConfigException, *connecting.CONFIGURATION_ERRORS) as error:
        raise connecting.no_cluster(error) from error
    session = aiohttp.ClientSession(connector=connector, read_bufsize=_LINE_BYTES)
    return _Connection(session, settings, namespace)


@dataclass(frozen=True, kw_only=True)
class Handle(Target):
    """One job, wherever it was dispatched.

    Each method asks the API server, and raises NoSuchJobError where there is no such job,
    RefusedError with the API server's words, UnreachableError where it gives no answer.
    """

    client: Client

    async def state(self) -> State:
        """How far the job is now."""
        return state_of(await self.client.run(operations.get(self)))

    async def wait(self, timeout_seconds: float | None = None) -> State:
        """The state once the job has finished, well or not.

        Raises NotFinishedError when the time is over. An API server that is away is waited for,
        up to a minute.
        """
        return await self.client.run(operations.wait(self, timeout_seconds, time.monotonic))

    async def result(self, timeout_seconds: float | None = None) -> Any:
        """What the method returned, once the job has finished.

        Raises JobFailedError where it did not succeed, ResultTooLargeError, and what wait() does.
        """
        return result_of(await self.wait(timeout_seconds))

    async def cancel(self, reason: str = "") -> None:
        """Asks the job to stop for good; it is Cancelling until its pod is gone.

        Raises RefusedError where it has finished.
        """
        await self.client.run(operations.cancel(self, reason))

    async def start(self) -> None:
        """Starts a waiting job now, whatever delay, time or backoff it waits for."""
        await self.client.run(operations.start(self))

    async def retry(self) -> None:
        """Runs a job again that has failed, was cancelled or rejected."""
        await self.client.run(operations.retry(self))


_clients: WeakKeyDictionary[asyncio.AbstractEventLoop, Client] = WeakKeyDictionary()


def default_client() -> Client:
    """That of the event loop that runs."""
    return _clients.setdefault(asyncio.get_running_loop(), Client())


async def close() -> None:
    """Closes the connections of dispatch() and handle() in this event loop, at its end."""
    await default_client().close()


def handle(name: str, namespace: str | None = None) -> Handle:
    """Of a job that was dispatched elsewhere, or is yet to be. Nothing is asked."""
    return default_client().handle(name, namespace)


def _dispatching(compose: Callable[P, Submission]) -> Callable[P, Coroutine[Any, Any, Handle]]:
    @functools.wraps(compose, assigned=("__doc__",))
    async def dispatch(*args: P.args, **kwargs: P.kwargs) -> Handle:
        return await default_client().submit(compose(*args, **kwargs))

    signatures.show_as_own(dispatch, compose)
    return dispatch


dispatch = _dispatching(submission)
