"""Wires the operator together. Nothing else does."""

import asyncio
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import kopf
import sqlalchemy as sa
import uvloop
from kopf._core.engines.peering import Identity
from kubernetes.aio.config import ConfigException

from bgjobs import http, metrics
from bgjobs.controller import handlers, stateless
from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.events import EventPoster
from bgjobs.controller.hints import HintQueue
from bgjobs.controller.reconciler import Reconciler
from bgjobs.controller.resync import Resync, attempt, repeat
from bgjobs.controller.slow_starts import SlowStarts
from bgjobs.controller.worker import Workers
from bgjobs.controller.workqueue import URGENT, WorkQueue
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.resource import GROUP, PLURAL, VERSION
from bgjobs.domain.retention import Retention
from bgjobs.kube import configmaps, labels, paths
from bgjobs.kube.api import Api, ApiError, connect
from bgjobs.kube.clock import ServerClock
from bgjobs.kube.views import Views
from bgjobs.mirror.writer import MirrorWriter
from bgjobs.settings import Settings

_CHILD_JOBS_EVERY_SECONDS = 30
_SLOW_STARTS_EVERY_SECONDS = 3
_DELETIONS_EVERY_SECONDS = 1
_MIRROR_FLUSH_SECONDS = 5
_KOPF_IDLE_SECONDS = 0.05
"""How long kopf keeps a worker per object: its default of 5 s would cap the throughput."""

logger = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # kopf tells of every event that a handler took.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return uvloop.run(_run(settings))


async def _run(settings: Settings) -> int:
    clock = ServerClock()
    try:
        api = await connect(clock)
    except ConfigException as error:
        logger.error("no way to the API server, set KUBECONFIG: %s", error)
        return 1
    async with api.session:
        try:
            await api.get_list(paths.ALL_BACKGROUND_JOBS, limit="1")
        except ApiError as error:
            hint = ": apply crds/ first" if error.status == 404 else ""
            logger.error("BackgroundJobs cannot be read%s (%s)", hint, error)
            return 1
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.error("the API server cannot be reached: %s", str(error) or "it does not answer")
            return 1
        mirror = MirrorWriter(sa.create_engine(settings.database_url, pool_pre_ping=True))
        mirror.start()
        try:
            await _operate(settings, api, clock, mirror)
        finally:
            await asyncio.to_thread(mirror.stop, _MIRROR_FLUSH_SECONDS)
    return 0


class Parts(NamedTuple):
    """What works together behind the handlers."""

    views: Views
    queue: WorkQueue
    admission: AdmissionQueue
    hints: HintQueue
    events: EventPoster
    configuration: ConfigurationKeeper
    reconciler: Reconciler
    resync: Resync
    slow_starts: SlowStarts


def assemble(
    settings: Settings, api: Api, mirror: MirrorWriter, now: Callable[[], datetime]
) -> Parts:
    views = Views()
    queue = WorkQueue(now)
    events = EventPoster(api)
    add_urgently: Callable[[str], None] = partial(queue.add, priority=URGENT)
    admission = AdmissionQueue(
        max_concurrent=settings.max_concurrent,
        start_window=settings.start_window,
        ageing=timedelta(seconds=settings.ageing_seconds),
        now=now,
        admitted=add_urgently,
    )
    hints = HintQueue(settings.hints_per_second, permitted=queue.add)
    configuration = ConfigurationKeeper(events, now, changed=partial(_queue_all, views, queue))
    reconciler = Reconciler(
        api=api,
        views=views,
        queue=queue,
        admission=admission,
        hints=hints,
        configuration=configuration,
        events=events,
        mirror=mirror,
        now=now,
    )
    retention = Retention(
        succeeded_seconds=settings.ttl_seconds_after_success,
        unsuccessful_seconds=settings.ttl_seconds_otherwise,
        child_succeeded_seconds=settings.child_ttl_seconds_after_success,
        child_unsuccessful_seconds=settings.child_ttl_seconds_otherwise,
        max_finished=settings.max_finished,
    )
    return Parts(
        views=views,
        queue=queue,
        admission=admission,
        hints=hints,
        events=events,
        configuration=configuration,
        reconciler=reconciler,
        resync=Resync(api, views, queue, mirror, retention, now),
        slow_starts=SlowStarts(api, views, queue, now),
    )


async def _operate(settings: Settings, api: Api, clock: ServerClock, mirror: MirrorWriter) -> None:
    """Runs until kopf ends, which it does on SIGTERM and on what it cannot survive."""
    parts = assemble(settings, api, mirror, clock.now)
    queue, resync = parts.queue, parts.resync
    await resync.catch_up()

    ready = asyncio.Event()
    metrics.QUEUE_DEPTH.set_function(lambda: len(queue))
    metrics.WAITING.set_function(lambda: parts.admission.waiting)
    metrics.START_WINDOW.set_function(lambda: parts.admission.starting)
    metrics.RUNNING.set_function(lambda: parts.admission.running)
    metrics.MIRROR_PENDING.set_function(lambda: mirror.pending)
    metrics.MIRROR_LAG_SECONDS.set_function(lambda: mirror.lag_seconds)

    async with asyncio.TaskGroup() as group:
        background = [
            *loops(settings, api, parts, clock.now),
            http.serve(settings.http_port, ready.is_set),
        ]
        tasks = [group.create_task(coroutine) for coroutine in background]
        # Lets them begin: kopf, when it ends, first waits 5 s for all tasks younger than itself.
        await asyncio.sleep(0)
        await _watch(parts.views, queue, clock.now, ready)
        for task in tasks:
            task.cancel()


def loops(
    settings: Settings, api: Api, parts: Parts, now: Callable[[], datetime]
) -> list[Coroutine[Any, Any, None]]:
    """What goes on behind the handlers for as long as the operator runs."""
    resync = parts.resync
    return [
        Workers(parts.queue, parts.reconciler.reconcile, now).run(settings.workers),
        parts.events.run(),
        parts.hints.run(),
        *(
            configmaps.follow(
                api, settings.namespace, name, partial(parts.configuration.seen, name)
            )
            for name in (ALLOWLIST, RUNTIMES)
        ),
        repeat(_CHILD_JOBS_EVERY_SECONDS, resync.child_jobs),
        repeat(_DELETIONS_EVERY_SECONDS, resync.deletions),
        repeat(_SLOW_STARTS_EVERY_SECONDS, parts.slow_starts.look),
        _sweep(resync, settings.sweep_seconds),
    ]


def _queue_all(views: Views, queue: WorkQueue) -> None:
    for uid in views:
        queue.add(uid)


async def _sweep(resync: Resync, every_seconds: int) -> None:
    await attempt(resync.background_jobs)
    await repeat(every_seconds, resync.background_jobs)


async def _watch(
    views: Views, queue: WorkQueue, now: Callable[[], datetime], ready: asyncio.Event
) -> None:
    """Runs kopf, which calls the handlers, on a session of its own that it closes itself."""
    registry = kopf.OperatorRegistry()
    handlers.register(registry, views, queue, now)

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.AiohttpSession:
        api = await connect(ServerClock())
        return kopf.AiohttpSession(aiohttp_session=api.session, server=api.server)

    await kopf.operator(
        registry=registry,
        settings=_kopf_settings(),
        clusterwide=True,
        ready_flag=ready,
        # Else kopf asks for the name of the user, whom a container need not know.
        identity=Identity("bgjobs-operator"),
    )


def _kopf_settings() -> kopf.OperatorSettings:
    """kopf as a watcher only: it neither posts, nor patches, nor looks for other resources."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.persistence.diffbase_storage = stateless.DiffBase()
    settings.persistence.progress_storage = stateless.Progress()
    settings.persistence.finalizer = stateless.FINALIZER
    settings.queueing.idle_timeout = _KOPF_IDLE_SECONDS
    settings.watching.label_selectors["pods"] = labels.UID
    settings.watching.field_selectors["pods"] = "status.phase!=Pending"
    # Finished jobs by the hundred thousand would cost minutes and a gigabyte at every start.
    settings.watching.field_selectors[GROUP, VERSION, PLURAL] = paths.UNSUCCEEDED
    return settings
