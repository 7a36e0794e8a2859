"""What lies between the operator and the API server, and what goes wrong there."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from tests.faults.apiserver import ApiServer, Object, Request, Selection, Write, selection

from bgjobs.kube.api import Api, ApiError, FencedError

_USUAL_SECONDS = 0.02
SLOW_SECONDS = 3.0
LONGEST_LAG_SECONDS = 25.0
"""How old news may be. A start relies on the names of Jobs that stay for 60 s."""
_SILENCE_SECONDS = 90.0
"""How long the client hears nothing of a watch until it gives it up."""
_REPLAYED_VERSIONS = 20
FATES = KILLED_BEFORE, KILLED_AFTER, CUT_OFF = "killed before", "killed after", "cut off"
"""Of one write: the operator dies of it, before or after it is carried out, or is not answered."""


@dataclass(frozen=True)
class Weather:
    """Shares, from 0 to 1, of the requests or watches that something happens to."""

    slow: float = 0.0
    lost: float = 0.0
    """Never arrive."""
    unanswered: float = 0.0
    """Are carried out, and the answer is lost or a wrong one."""
    refused: float = 0.0
    """Arrive, and are answered with an error at once."""
    lagging: float = 0.0
    silent: float = 0.0
    """Watches of which nothing is heard any more, not even that they broke."""
    watch_seconds: float = 300.0
    """How long a watch lives at most."""


CALM = Weather()
_REFUSALS = {
    "GET": (429, 500, 503),
    "POST": (409, 422, 429, 500, 503),
    "PATCH": (409, 429, 500, 503),
    "DELETE": (409, 429, 500, 503),
}


class Network:
    """One for a whole simulation; every client's requests go through it."""

    def __init__(self, server: ApiServer, rng: random.Random) -> None:
        self.server = server
        self.rng = rng
        self.weather = CALM
        self.injected: Counter[str] = Counter()
        """Faults that happened."""
        self._watches: dict[_Watch, None] = {}
        server.listeners.append(self._tell)

    def latency(self) -> float:
        if self._happens("slow"):
            return self.rng.uniform(_USUAL_SECONDS, SLOW_SECONDS)
        return self.rng.uniform(0.0005, _USUAL_SECONDS)

    def lag(self) -> float:
        return self.rng.uniform(0.5, LONGEST_LAG_SECONDS) if self._happens("lagging") else 0.0

    def break_watches(self) -> None:
        for watch in self._watches:
            watch.end()

    def open(self, of: Selection, since: int) -> "_Watch":
        """Some watches begin with what was told before."""
        watch = _Watch(of, self.lag(), self._happens("silent"))
        if self.weather.lagging:
            since = max(self.server.compacted, since - self.rng.randrange(_REPLAYED_VERSIONS))
        for write in self.server.since(since):
            self._tell_of(watch, write)
        longest = self.weather.watch_seconds
        ends_after = _SILENCE_SECONDS if watch.silent else self.rng.uniform(longest / 10, longest)
        asyncio.get_running_loop().call_later(ends_after, watch.end)
        self._watches[watch] = None
        return watch

    def close(self, watch: "_Watch") -> None:
        """In order, or as a connection does that breaks."""
        del self._watches[watch]
        if watch.ended and self.rng.random() < 0.5:
            raise aiohttp.ClientPayloadError("the connection broke")

    def carry(
        self, who: str, request: Request, fate: str, kill: Callable[[], None]
    ) -> "asyncio.Future[Object]":
        """Sends a request on its way. It arrives even if its sender dies meanwhile.

        Where it has no fate of its own, the weather is its fate.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Object] = loop.create_future()
        wrong = fate or self._what_goes_wrong()

        def arrive() -> None:
            answer: Object | Exception
            try:
                if wrong == "refused":
                    status = self.rng.choice(_REFUSALS[request.method])
                    raise ApiError(status, "", "as the simulation wants it")
                answer = {} if wrong == "lost" else self.server.handle(who, request)
                if wrong == CUT_OFF:
                    raise aiohttp.ServerDisconnectedError
                if wrong in ("lost", "unanswered"):
                    raise self._silence()
            except (ApiError, OSError, aiohttp.ClientError) as error:
                answer = error
            if wrong == KILLED_AFTER:
                kill()
            if not isinstance(answer, TimeoutError):
                loop.call_later(self.latency(), _deliver, future, answer)

        loop.call_later(self.latency(), arrive)
        return future

    def _what_goes_wrong(self) -> str | None:
        return next((w for w in ("lost", "unanswered", "refused") if self._happens(w)), None)

    def _happens(self, what: str) -> bool:
        happens: bool = self.rng.random() < getattr(self.weather, what)
        self.injected[what] += happens
        return happens

    def _silence(self) -> Exception:
        """What a client makes of an answer that does not come."""
        return self.rng.choice(
            (
                TimeoutError(),  # not before the client gives up
                aiohttp.ServerDisconnectedError(),
                ApiError(500, "InternalError", "etcdserver: request timed out"),
                ApiError(504, "Timeout", "the request did not complete in time"),
            )
        )

    def _tell(self, write: Write) -> None:
        for watch in self._watches:
            self._tell_of(watch, write)

    def _tell_of(self, watch: "_Watch", write: Write) -> None:
        if (event := watch.of.event(write)) and not watch.silent:
            age = self.server.seconds() - write.at
            watch.tell(event, self.latency() + max(0.0, watch.lag - age))


def _deliver(future: "asyncio.Future[Object]", answer: Object | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)


class _Watch:
    """One connection that tells, in order and with its lag, what happens to a selection."""

    def __init__(self, of: Selection, lag: float, silent: bool) -> None:
        self.of = of
        self.lag = lag
        self.silent = silent
        self.ended = False
        self.events: asyncio.Queue[Object | None] = asyncio.Queue()
        self._told_until = 0.0

    def tell(self, event: Object, after: float) -> None:
        loop = asyncio.get_running_loop()
        self._told_until = max(loop.time() + after, self._told_until + 1e-6)
        loop.call_at(self._told_until, self.events.put_nowait, event)

    def end(self) -> None:
        self.ended = True
        self.events.put_nowait(None)


class Client(Api):
    """The operator's client: the real one down to the single request.

    `fate_at` is the number, from 1, of a write (Events apart), and its fate.
    """

    def __init__(self, network: Network, who: str, timeout_seconds: float = 30.0) -> None:
        self.network = network
        self._who = who
        self._timeout_seconds = timeout_seconds
        self.may_write: Callable[[], bool] = lambda: True
        self.dead = False
        self.writes = 0
        self.fate_at: tuple[int, str] | None = None
        self.kill: Callable[[], None] = lambda: None

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
        sent = msgspec.json.decode(msgspec.json.encode(body))
        fate = ""
        if method != "GET" and not path.endswith("/events"):
            self.writes += 1
            if self.fate_at and self.fate_at[0] == self.writes:
                fate = self.fate_at[1]
                self.network.injected[fate] += 1
        if fate == KILLED_BEFORE:
            self.kill()
        if self.dead:
            await asyncio.Event().wait()
        if method != "GET" and not self.may_write():
            raise FencedError("this operator does not lead")
        request = Request(method, path, params or {}, sent)
        async with asyncio.timeout(self._timeout_seconds):
            return await self.network.carry(self._who, request, fate, self.kill)

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        """A pod's log."""
        await self._request("GET", path, params=params)
        yield b"the log"

    async def watch(self, path: str, **params: str) -> AsyncIterator[Object]:
        await asyncio.sleep(self.network.latency())
        since = int(params["resourceVersion"])
        if since < self.network.server.compacted:
            raise ApiError(410, "Expired", "too old resource version")
        watch = self.network.open(selection(path, params), since)
        try:
            while (event := await watch.events.get()) is not None:
                yield event
        finally:
            self.network.close(watch)
