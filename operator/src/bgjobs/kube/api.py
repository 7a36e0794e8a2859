"""Raw JSON requests to the API server: an object in, an object out, errors by status."""

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
import orjson
from aiohttp.connector import Connection
from kubernetes.aio import client, config
from kubernetes.aio.client.rest import RESTClientObject

from bgjobs.kube import answers
from bgjobs.kube.clock import ServerClock

_MAX_CONNECTIONS = 64
_IDLE_CONNECTION_SECONDS = 60
"""A new one costs more than many requests: both sides have to prove who they are."""
_REQUEST_TIMEOUT_SECONDS = 30.0
_PAGE_SIZE = 500

Object = dict[str, Any]


class ApiError(Exception):
    """The API server refused: its HTTP status, its reason and its message."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{status} {reason}: {message}")
        self.status = status
        self.message = message

    @property
    def is_of_ending_namespace(self) -> bool:
        """Whether nothing can be created any more since its namespace is being deleted."""
        return self.status == 403 and "because it is being terminated" in self.message


class FencedError(Exception):
    """A write that was not sent, since this process may not write: it does not lead."""


REQUEST_ERRORS = (ApiError, FencedError, aiohttp.ClientError, OSError, orjson.JSONDecodeError)
"""What a request raises that is not sent, refused or not answered in full.

Timeouts are OSErrors.
"""


def in_words(error: BaseException) -> str:
    """What to log of it: a timeout says nothing of its own."""
    return str(error) or type(error).__name__


class Api:
    """The API server behind one HTTP session."""

    def __init__(self, session: aiohttp.ClientSession, server: str, clock: ServerClock) -> None:
        self.session = session
        self.server = server
        self._clock = clock

    async def get(self, path: str) -> Object | None:
        """The object as a quorum read returns it, or None where there is none."""
        try:
            return await self._request("GET", path)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def get_list(self, path: str, **params: str) -> Object:
        """One page of a collection as a quorum read returns it."""
        return await self._request("GET", path, params=params)

    async def every(self, path: str, **selectors: str) -> AsyncIterator[Object]:
        """Every object of a collection, read page by page."""
        params = {"limit": str(_PAGE_SIZE), **selectors}
        while True:
            page = await self.get_list(path, **params)
            for item in page["items"]:
                yield item
            if not (token := page["metadata"].get("continue")):
                return
            params["continue"] = token

    async def create(self, path: str, body: Object) -> Object:
        return await self._request("POST", path, body=body)

    async def patch(self, path: str, operations: list[Object]) -> Object:
        """Applies a JSON patch (RFC 6902)."""
        return await self._request(
            "PATCH", path, body=operations, content_type="application/json-patch+json"
        )

    async def delete(self, path: str, options: Object) -> None:
        """Deletes; that it is gone already is no error."""
        try:
            await self._request("DELETE", path, body=options)
        except ApiError as error:
            if error.status != 404:
                raise

    async def watch(self, path: str, **params: str) -> AsyncIterator[Object]:
        """Watch events until the server ends the stream. Raises ApiError where it reports one."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=90)
        url = f"{self.server}{path}"
        query = {"watch": "true", "allowWatchBookmarks": "true", **params}
        async with self.session.get(url, params=query, timeout=timeout) as response:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            async for line in response.content:
                event = answers.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(
                        status.get("code", 500), status.get("reason", ""), status.get("message", "")
                    )
                yield event

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        """What the server sends until it ends, piece by piece; an empty piece once it answers."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
        url = f"{self.server}{path}"
        async with self.session.get(url, params=params, timeout=timeout) as response:
            if response.status >= 400:
                raise _error(response.status, await response.read())
            yield b""
            async for chunk in response.content.iter_any():
                yield chunk

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        async with self.session.request(
            method,
            f"{self.server}{path}",
            params=params,
            data=None if body is None else msgspec.json.encode(body),
            headers=None if body is None else {"Content-Type": content_type},
        ) as response:
            self._clock.observe(response.headers.get("Date"))
            payload = await response.read()
            if response.status >= 400:
                raise _error(response.status, payload)
            answer: Object = answers.loads(payload)
            return answer


def delete_options(uid: str, resource_version: str, propagation: str) -> Object:
    """Deletes only what is still as it was seen, else the answer is 409."""
    return {
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "propagationPolicy": propagation,
        "preconditions": {"uid": uid, "resourceVersion": resource_version},
    }


async def connect(
    clock: ServerClock,
    *,
    may_write: Callable[[], bool] = lambda: True,
    timeout_seconds: float = _REQUEST_TIMEOUT_SECONDS,
    middlewares: Sequence[aiohttp.ClientMiddlewareType] = (),
) -> Api:
    """Connects with the pod's service account, or with the current kubeconfig outside a pod.

    While `may_write` says no, whatever is no GET raises FencedError instead of being sent.
    """
    settings = client.Configuration()
    if "KUBERNETES_SERVICE_HOST" in os.environ and "KUBECONFIG" not in os.environ:
        config.load_incluster_config(client_configuration=settings)
    else:
        await config.load_kube_config(client_configuration=settings)

    async def authorize(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """The token is asked for at every request: the kubelet renews it in place."""
        token = await settings.get_api_key_with_prefix("authorization", "BearerToken")
        if token:
            request.headers["Authorization"] = token
        return await send(request)

    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=_MAX_CONNECTIONS,
            keepalive_timeout=_IDLE_CONNECTION_SECONDS,
            ssl=RESTClientObject(settings).ssl_context,
        ),
        timeout=aiohttp.ClientTimeout(total=timeout_seconds),
        # Or the API server would compress lists: within a cluster that costs more than it spares.
        headers={"User-Agent": "bgjobs-operator", "Accept-Encoding": "identity"},
        middlewares=(authorize, *middlewares),
        request_class=fenced(may_write),
        response_class=answers.Response,
    )
    return Api(session, settings.host, clock)


def fenced(may_write: Callable[[], bool]) -> type[aiohttp.ClientRequest]:
    """Requests that ask at the last moment whether they may write."""

    class Request(aiohttp.ClientRequest):
        async def send(self, conn: Connection) -> aiohttp.ClientResponse:
            # Not before there is a connection: the process may be stopped while it waits for one.
            if self.method != "GET" and not may_write():
                raise FencedError("this operator does not lead")
            return await super().send(conn)

    return Request


def _error(status: int, payload: bytes) -> ApiError:
    try:
        answer = orjson.loads(payload)
        return ApiError(status, answer.get("reason", ""), answer.get("message", ""))
    except (orjson.JSONDecodeError, AttributeError):
        return ApiError(status, "", payload[:200].decode(errors="replace"))
