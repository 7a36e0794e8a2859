"""The operator as a process: everything behind kopf, and a stand-in for kopf's watching."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError
from tests.faults.apiserver import Object
from tests.faults.network import Client, Network

from bgjobs.controller import handlers
from bgjobs.controller.election import REQUEST_SECONDS, Elector
from bgjobs.domain.queue_report import LEASE
from bgjobs.kube import paths
from bgjobs.kube.api import REQUEST_ERRORS, ApiError
from bgjobs.main import assemble, loops
from bgjobs.mirror.writer import LiveRows, MirrorWriter
from bgjobs.settings import Settings

_MIRROR_PAUSE_SECONDS = 2.0
_KOPF_PAUSE_SECONDS = 0.1
_KOPF_INACTIVITY_SECONDS = 70.0

Deliver = Callable[[str | None, Object], None]


class Database:
    """The mirror's database, which outlives the operator and may be down."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self.down = False


class Mirror(MirrorWriter):
    """Writes where its thread would, in virtual time."""

    def __init__(self, database: Database) -> None:
        super().__init__(database.engine)
        self._database = database

    async def run(self) -> None:
        while True:
            await asyncio.sleep(_MIRROR_PAUSE_SECONDS)
            if self.pending and not self._database.down:
                self.write_oldest()

    def live_rows(self) -> LiveRows:
        if self._database.down:
            raise OperationalError("SELECT", {}, ConnectionError("the database is down"))
        return super().live_rows()


class Operator:
    """One process from its start to its death."""

    def __init__(
        self,
        process: str,
        pod: str,
        network: Network,
        database: Database,
        settings: Settings,
        skew: timedelta,
    ) -> None:
        self.client = Client(network, process)
        self._network = network
        self._mirror = Mirror(database)
        self._settings = settings
        self._skew = skew
        self._elector = Elector(
            Client(network, process, timeout_seconds=REQUEST_SECONDS),
            settings.namespace,
            LEASE,
            pod,
            seconds=network.server.seconds,
            now=self.now,
            random=network.rng.random,
        )
        self.client.may_write = self._elector.may_write

    def now(self) -> datetime:
        """The API server's time, as far as its Date header tells it."""
        return self._network.server.now() + self._skew

    async def run(self) -> None:
        """As main.py does. Raises what ends the process."""
        parts = assemble(self._settings, self.client, self._mirror, self.now)
        views, queue = parts.views, parts.queue

        def background_job(type_: str | None, raw: Object) -> None:
            handlers.background_job_seen(views, queue, type_, raw, self.now())

        of_jobs = {"fieldSelector": paths.UNSUCCEEDED}
        async with asyncio.TaskGroup() as group:
            for coroutine in (
                *loops(self._settings, self.client, parts, self._elector.elected, self.now),
                self._elector.run(dict),
                self._mirror.run(),
                _follow(self.client, background_job, paths.ALL_BACKGROUND_JOBS, of_jobs),
            ):
                group.create_task(coroutine)


async def _follow(client: Client, deliver: Deliver, path: str, selectors: dict[str, str]) -> None:
    """Watches as kopf does: a relist tells nothing of what vanished before it."""
    while True:
        try:
            version = (await client.get_list(path, limit="1"))["metadata"]["resourceVersion"]
            items = [item async for item in client.every(path, **selectors)]
            await asyncio.sleep(client.network.lag())
            for item in items:
                deliver(None, item)
            while True:
                version = await _watch(client, deliver, path, version, selectors)
        except REQUEST_ERRORS:
            await asyncio.sleep(_KOPF_PAUSE_SECONDS)


async def _watch(
    client: Client, deliver: Deliver, path: str, version: str, selectors: dict[str, str]
) -> str:
    """One connection, until it ends; the version to go on from. Raises ApiError."""
    try:
        async with asyncio.timeout(_KOPF_INACTIVITY_SECONDS) as timeout:
            async for event in client.watch(path, resourceVersion=version, **selectors):
                version = event["object"]["metadata"]["resourceVersion"]
                deliver(event["type"], event["object"])
                timeout.reschedule(asyncio.get_running_loop().time() + _KOPF_INACTIVITY_SECONDS)
    except ApiError:
        raise
    except REQUEST_ERRORS:
        await asyncio.sleep(_KOPF_PAUSE_SECONDS)
    return version
