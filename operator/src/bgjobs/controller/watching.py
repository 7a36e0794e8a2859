"""Runs kopf as a watcher only: it neither posts, nor patches, nor looks for other resources."""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import aiohttp
import kopf
from kopf._core.engines.peering import Identity

from bgjobs.controller import handlers, stateless
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import GROUP, PLURAL, VERSION
from bgjobs.kube import paths
from bgjobs.kube.api import connect
from bgjobs.kube.clock import ServerClock
from bgjobs.kube.views import Views

_IDLE_SECONDS = 0.05
"""How long kopf keeps a worker per object: its default of 5 s would cap the throughput."""


@dataclass(frozen=True)
class Watching:
    tasks: Collection[asyncio.Task[Any]]
    """kopf's own: the first of them to end ends it all, on SIGTERM or on what kopf cannot mend."""
    watched: set[str]

    def has_listed(self) -> bool:
        """Whether all that there is has been seen: kopf watches once it has listed."""
        return paths.ALL_BACKGROUND_JOBS in self.watched


@asynccontextmanager
async def watching(
    views: Views, queue: WorkQueue, now: Callable[[], datetime]
) -> AsyncIterator[Watching]:
    """Lets kopf call the handler until the block ends. Raises what kopf could not mend."""
    registry = kopf.OperatorRegistry()
    handlers.register(registry, views, queue, now)
    watched: set[str] = set()

    async def note_watch(
        request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        if request.url.query.get("watch") == "true":
            watched.add(request.url.path)
        return await send(request)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        """A session of kopf's own, which it closes itself."""
        api = await connect(ServerClock(), may_write=lambda: False, middlewares=[note_watch])
        return kopf.AiohttpSession(aiohttp_session=api.session, server=api.server)

    others, stop = asyncio.all_tasks(), asyncio.Event()
    tasks = await kopf.spawn_tasks(
        registry=registry,
        settings=_settings(),
        clusterwide=True,
        stop_flag=stop,
        # Else kopf asks for the name of the user, whom a container need not know.
        identity=Identity("bgjobs-operator"),
    )
    try:
        yield Watching(tasks, watched)
    finally:
        stop.set()
        await kopf.run_tasks(tasks, ignored=others)


def _settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = stateless.DiffBase()
    settings.persistence.progress_storage = stateless.Progress()
    settings.persistence.finalizer = stateless.FINALIZER
    settings.queueing.idle_timeout = _IDLE_SECONDS
    # Finished jobs by the hundred thousand would cost minutes and a gigabyte at every start.
    settings.watching.field_selectors[GROUP, VERSION, PLURAL] = paths.UNSUCCEEDED
    return settings
