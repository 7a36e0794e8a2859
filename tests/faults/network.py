"""What lies between the operator and the API server, and what goes wrong there."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import aiohttp
import msgspec
from tests.faults.apiserver import ApiServer, Object, Selection, Write, selection

from bgjobs.kube.api import Api, ApiError, FencedError

_USUAL_SECONDS = 0.02
SLOW_SECONDS = 3.0
LONGEST_LAG_SECONDS = 25.0
"""How old a watch's news may be. A start relies on the names of Jobs that stay 60 s."""


@dataclass(frozen=True)
class Weather:
    """Shares, from 0 to 1, of the requests or watches that something happens to."""

    slow: float = 0.0
    lost: float = 0.0
    """Never arrive."""
    refused: float = 0.0
    """Arrive, and are answered with an error at once."""
    unanswered: float = 0.0
    """Are carried out, and the answer is lost or a wrong one."""
    lagging: float = 0.0
    silent: float = 0.0
    """Watches of which nothing is heard any more, not even that they broke."""
    watch_seconds: float = 300.0
    """How long a watch lives at most."""


CALM = Weather()


class Network:
    """One for a whole simulation; every client's requests go through it."""

    def __init__(self, server: ApiServer, rng: random.Random) -> None:
        self.server = server
        self.weather = CALM
        self.injected: Counter[str] = Counter()
        self.rng = rng
        self._watches: dict[_Watch, None] = {}
        server.listeners.append(self._tell)

    def break_watches(self) -> None:
        self.injected["broken watches"] += 1
        for watch in self._watches:
            watch.end()

    def open(self, of: Selection, since: int) -> "_Watch":
        watch = _Watch(of, since)
        rng, weather = self.rng, self.weather
        if rng.random() < weather.lagging:
            self.injected["lagging watch"] += 1
            watch.lag_seconds = rng.uniform(0.5, LONGEST_LAG_SECONDS)
        if rng.random() < weather.silent:
            self.injected["silent watch"] += 1
            watch.lag_seconds = float("inf")
        life = rng.uniform(weather.watch_seconds / 10, weather.watch_seconds)
        asyncio.get_running_loop().call_later(life, watch.end)
        self._watches[watch] = None
        return watch

    def close(self, watch: "_Watch") -> None:
        del self._watches[watch]

    def say_goodbye(self) -> None:
        """A watch ends in order, or it does not."""
        if self.rng.random() < 0.5:
            raise aiohttp.ClientPayloadError("the connection broke")

    def latency(self) -> float:
        if self.rng.random() < self.weather.slow:
            self.injected["slow request"] += 1
            return self.rng.uniform(_USUAL_SECONDS, SLOW_SECONDS)
        return self.rng.uniform(0.0005, _USUAL_SECONDS)

    def carry(
        self,
        who: str,
        request: "Request",
        arrived: Callable[[], None] | None = None,
    ) -> "asyncio.Future[Object]":
        """Sends a request on its way. It arrives even if its sender dies meanwhile.

        Where somebody wants to know that it `arrived`, it is sure to.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Object] = loop.create_future()
        fate = self._fate(request.method) if arrived is None else None

        def arrive() -> None:
            answer: Object | Exception
            try:
                if isinstance(fate, ApiError):
                    raise fate
                if fate == "lost":
                    raise self._silence()
                answer = self.server.handle(who, *request)
                if fate == "unanswered":
                    raise self._silence()
            except (ApiError, OSError, aiohttp.ClientError) as error:
                answer = error
            if arrived:
                arrived()
            if not isinstance(answer, TimeoutError):
                loop.call_later(self.latency(), deliver, answer)

        def deliver(answer: Object | Exception) -> None:
            if future.done():
                return
            if isinstance(answer, Exception):
                future.set_exception(answer)
            else:
                future.set_result(answer)

        loop.call_later(self.latency(), arrive)
        return future

    def _silence(self) -> Exception:
        """What a client makes of an answer that does not come."""
        return self.rng.choice(
            (
                TimeoutError(),  # there is none, until the client gives up
                aiohttp.ServerDisconnectedError(),
                ApiError(500, "InternalError", "etcdserver: request timed out"),
                ApiError(504, "Timeout", "the request did not complete in time"),
            )
        )

    def _fate(self, method: str) -> str | ApiError | None:
        draw, weather = self.rng.random(), self.weather
        for fate in ("lost", "unanswered", "refused"):
            draw -= getattr(weather, fate)
            if draw < 0:
                self.injected[fate] += 1
                return fate if fate != "refused" else self._refusal(method)
        return None

    def _refusal(self, method: str) -> ApiError:
        statuses = {
            429: "TooManyRequests",
            500: "InternalError",
            503: "ServiceUnavailable",
            **({409: "Conflict"} if method in ("POST", "PATCH", "DELETE") else {}),
            **({422: "Invalid"} if method == "POST" else {}),
        }
        status = self.rng.choice(list(statuses))
        return ApiError(status, statuses[status], "as the simulation wants it")

    def _tell(self, write: Write) -> None:
        for watch in self._watches:
            if watch.of.kind == write.key.kind:
                watch.news.set()


class Request(NamedTuple):
    method: str
    path: str
    params: Mapping[str, str]
    body: Any

    @property
    def writes(self) -> bool:
        """Events are for people: nothing hangs on them."""
        return self.method != "GET" and not self.path.endswith("/events")


class _Watch:
    """One connection that tells, with its lag, what happens to a selection."""

    def __init__(self, of: Selection, since: int) -> None:
        self.of = of
        self.version = since
        self.lag_seconds = 0.0
        self.ended = False
        self.news = asyncio.Event()

    def end(self) -> None:
        self.ended = True
        self.news.set()


class Client(Api):
    """The operator's client: the real one down to the single request.

    `crash_at` is the number, from 1, of a write (Events apart) and whether it is
    still carried out when the operator dies of it.
    """

    def __init__(self, network: Network, who: str, timeout_seconds: float = 30.0) -> None:
        self._network = network
        self._who = who
        self._timeout_seconds = timeout_seconds
        self.may_write: Callable[[], bool] = lambda: True
        self.dead = False
        self.writes = 0
        self.crash_at: tuple[int, bool] | None = None
        self.crash: Callable[[], None] = lambda: None

    async def _request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> Object:
        del content_type
        request = Request(
            method, path, params or {}, msgspec.json.decode(msgspec.json.encode(body))
        )
        self.writes += request.writes
        number, carried_out = self.crash_at or (0, False)
        crashes = request.writes and self.writes == number
        if crashes and not carried_out:
            self.crash()
        if self.dead:
            await asyncio.Event().wait()
        if method != "GET" and not self.may_write():
            raise FencedError("this operator does not lead")
        async with asyncio.timeout(self._timeout_seconds):
            return await self._network.carry(
                self._who, request, arrived=self.crash if crashes else None
            )

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        """A pod's log."""
        await self._request("GET", path, params=params)
        yield b"the log"

    async def watch(self, path: str, **params: str) -> AsyncIterator[Object]:
        network, server, loop = self._network, self._network.server, asyncio.get_running_loop()
        await asyncio.sleep(network.latency())
        since = int(params["resourceVersion"])
        if since < server.compacted:
            raise ApiError(410, "Expired", "too old resource version")
        watch = network.open(selection(path, params), since)
        try:
            while True:
                watch.news.clear()
                for write, event in server.events(watch.version, watch.of):
                    if event is not None:
                        due = write.at + network.latency() + watch.lag_seconds
                        while not watch.ended and loop.time() < due:
                            watch.news.clear()
                            await _wait(watch.news, due - loop.time())
                    if watch.ended:
                        break
                    watch.version = write.version
                    if event is not None:
                        yield event
                if watch.ended:
                    network.say_goodbye()
                    return
                if watch.version == server.version:
                    await watch.news.wait()
        finally:
            network.close(watch)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(None if seconds == float("inf") else seconds):
            await event.wait()
    except TimeoutError:
        pass
