"""What an operator that may not write does send: nothing; and what it makes of broken answers."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bgjobs.kube import answers
from bgjobs.kube.api import REQUEST_ERRORS, Api, FencedError, fenced
from bgjobs.kube.clock import ServerClock


class Server:
    """An API server that takes everything, but answers reads only once it is let."""

    def __init__(self) -> None:
        self.writes: list[str] = []
        self.reading = asyncio.Event()
        self.answering = asyncio.Event()
        self.queued = asyncio.Event()
        """Set once a request waits for a connection."""
        self.may_write = True
        self.answer = "{}"

    async def take(self, request: web.Request) -> web.Response:
        if request.method == "GET":
            self.reading.set()
            await self.answering.wait()
        else:
            self.writes.append(request.method)
        return web.Response(text=self.answer)


@pytest.fixture
async def server() -> Server:
    return Server()


@pytest.fixture
async def api(server: Server) -> AsyncIterator[Api]:
    """On a single connection."""
    trace = aiohttp.TraceConfig()

    async def queued(*_: object) -> None:
        server.queued.set()

    trace.on_connection_queued_start.append(queued)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.take)
    async with (
        TestServer(app) as http,
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1),
            request_class=fenced(lambda: server.may_write),
            response_class=answers.Response,
            trace_configs=[trace],
        ) as session,
    ):
        yield Api(session, str(http.make_url("")).rstrip("/"), ServerClock())


async def test_what_may_write_writes(server: Server, api: Api) -> None:
    await api.create("/jobs", {})
    await api.patch("/jobs/a", [])
    await api.delete("/jobs/a", {})
    assert server.writes == ["POST", "PATCH", "DELETE"]


async def test_what_may_not_write_still_reads(server: Server, api: Api) -> None:
    server.may_write = False
    server.answering.set()
    assert await api.get("/jobs/a") == {}
    with pytest.raises(FencedError):
        await api.create("/jobs", {})
    with pytest.raises(FencedError):
        await api.patch("/jobs/a", [])
    with pytest.raises(FencedError):
        await api.delete("/jobs/a", {})
    assert server.writes == []


async def test_a_write_that_waited_for_a_connection_asks_again_before_it_is_sent(
    server: Server, api: Api
) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(api.get("/jobs/a"))
        await server.reading.wait()
        write = group.create_task(_outcome(api))
        await server.queued.wait()
        server.may_write = False
        server.answering.set()
    assert isinstance(write.result(), FencedError)
    assert server.writes == []


async def test_an_answer_that_breaks_off_is_an_error_of_the_request(
    server: Server, api: Api
) -> None:
    server.answering.set()
    server.answer = '{"type": "MODIFIED", "object": {"meta'
    with pytest.raises(REQUEST_ERRORS):
        await api.get("/jobs/a")
    with pytest.raises(REQUEST_ERRORS):
        [event async for event in api.watch("/jobs")]


async def test_a_watch_goes_on_past_an_object_that_is_nine_megabytes_of_json(
    server: Server, api: Api
) -> None:
    """A pod of the size that the API server takes, once each < in it is written as six bytes."""
    server.answering.set()
    large = '{"type": "MODIFIED", "object": {"env": "' + "\\u003c" * 1_500_000 + '"}}'
    server.answer = large + '\n{"type": "MODIFIED", "object": {"name": "next"}}\n'
    _, after = [event["object"] async for event in api.watch("/jobs")]
    assert after == {"name": "next"}


async def _outcome(api: Api) -> Exception | None:
    try:
        await api.create("/jobs", {})
    except FencedError as error:
        return error
    return None
