"""The load: objects created by one client, and when watches showed what became of them."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
from tests.server import Server

_REQUESTS_AT_ONCE = 32
_LONGEST_LINE_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Client:
    session: aiohttp.ClientSession
    url: str


@dataclass(frozen=True)
class Kind:
    """Where the objects of a kind are, and how a watch selects those that have finished."""

    path: str
    finished: str


@dataclass(frozen=True)
class Burst:
    """When each object's request was sent and when its end was seen, in seconds, by its name."""

    sent: Mapping[str, float]
    finished: Mapping[str, float]

    @property
    def seconds(self) -> float:
        return max(self.finished.values()) - min(self.sent.values())

    @property
    def each_seconds(self) -> list[float]:
        return [self.finished[name] - sent for name, sent in self.sent.items()]


@dataclass
class Sightings:
    """When a watch first showed each object, in seconds, by its name."""

    at: dict[str, float] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, name: str) -> None:
        if name not in self.at:
            self.at[name] = time.monotonic()
            self._changed.set()

    async def wait(self, names: Iterable[str], within_s: float) -> None:
        """Until all of them were seen; fails, naming some that were not."""
        wanted = set(names)
        try:
            async with asyncio.timeout(within_s):
                while not wanted <= self.at.keys():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            missing = sorted(wanted - self.at.keys())
            raise AssertionError(
                f"{len(missing)} of {len(wanted)} not seen within {within_s:.0f} s: {missing[:3]}"
            ) from None


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[Client]:
    """As the administrator."""
    control_plane = server.control_plane
    tls = ssl.create_default_context(cafile=str(control_plane.ca))
    tls.load_cert_chain(control_plane.client.certificate, control_plane.client.key)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=tls)) as session:
        yield Client(session, server.url)


async def create(client: Client, path: str, body: bytes) -> None:
    await _send(client, "POST", path, body, "application/json")


async def patch(client: Client, path: str, body: bytes) -> None:
    await _send(client, "PATCH", path, body, "application/merge-patch+json")


async def for_each(
    names: Mapping[str, bytes], send: Callable[[str, bytes], Awaitable[None]]
) -> dict[str, float]:
    """Sends every body, some at once; when each was sent, by its name."""
    sent: dict[str, float] = {}
    waiting = iter(names.items())

    async def work() -> None:
        for name, body in waiting:
            sent[name] = time.monotonic()
            await send(name, body)

    async with asyncio.TaskGroup() as group:
        for _ in range(_REQUESTS_AT_ONCE):
            group.create_task(work())
    return sent


async def burst(client: Client, kind: Kind, bodies: Mapping[str, bytes], within_s: float) -> Burst:
    """Creates them all as fast as the API server takes them, and waits until all have finished."""
    async with watching(client, kind.path, kind.finished) as finished:
        sent = await for_each(bodies, lambda _, body: create(client, kind.path, body))
        await finished.wait(bodies, within_s)
    return Burst(sent, finished.at)


def own_name(item: Any) -> str:
    return str(item["metadata"]["name"])


@asynccontextmanager
async def watching(
    client: Client, path: str, selector: str, name_of: Callable[[Any], str] = own_name
) -> AsyncIterator[Sightings]:
    """What a watch shows from now on, until the block ends."""
    sightings = Sightings()
    async with client.session.get(f"{client.url}{path}", params={"limit": "1"}) as response:
        version = (await response.json())["metadata"]["resourceVersion"]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(_watch(client, path, selector, version, sightings, name_of))
        yield sightings
        task.cancel()


async def _watch(
    client: Client,
    path: str,
    selector: str,
    version: str,
    sightings: Sightings,
    name_of: Callable[[Any], str],
) -> None:
    """The server ends the watch of a client that is too slow for it: it goes on from there."""
    while True:
        async with client.session.get(
            f"{client.url}{path}",
            params={"watch": "true", "fieldSelector": selector, "resourceVersion": version},
            timeout=aiohttp.ClientTimeout(total=None),
            read_bufsize=_LONGEST_LINE_BYTES,
        ) as response:
            async for line in response.content:
                event = orjson.loads(line)
                assert event["type"] != "ERROR", event["object"].get("message")
                version = event["object"]["metadata"]["resourceVersion"]
                sightings.add(name_of(event["object"]))


async def _send(client: Client, method: str, path: str, body: bytes, content_type: str) -> None:
    async with client.session.request(
        method, f"{client.url}{path}", data=body, headers={"Content-Type": content_type}
    ) as response:
        answer = await response.read()
        assert response.status < 300, f"{method} {path}: {response.status} {answer.decode()}"
