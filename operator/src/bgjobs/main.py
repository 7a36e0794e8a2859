"""Wires the operator together. Nothing else does."""

import asyncio
import logging
import os
import random
import secrets
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import aiohttp
import sqlalchemy as sa
import uvloop
from kubernetes.aio.config import ConfigException
from sqlalchemy.exc import ArgumentError

from bgjobs import http, metrics
from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.election import REQUEST_SECONDS, Elector, LeaseLostError
from bgjobs.controller.events import EventPoster
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.loops import repeat, try_once, until_done
from bgjobs.controller.pods import PodWatch
from bgjobs.controller.reconciler import Reconciler
from bgjobs.controller.resync import Resync
from bgjobs.controller.showing import Showing
from bgjobs.controller.slow_starts import look_at_slow_starts
from bgjobs.controller.watching import watching
from bgjobs.controller.worker import Workers, stand_by
from bgjobs.controller.workqueue import URGENT, WorkQueue
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.queue_report import ANNOTATION, LEASE, encode
from bgjobs.domain.retention import Retention
from bgjobs.kube import configmaps, paths
from bgjobs.kube.api import Api, ApiError, connect, in_words
from bgjobs.kube.clock import ServerClock, boot_seconds
from bgjobs.kube.views import RestoredError, Views
from bgjobs.mirror.database import connect as connect_database
from bgjobs.mirror.writer import MirrorWriter
from bgjobs.settings import Settings

_CHILD_JOBS_EVERY_SECONDS = 30
_SLOW_STARTS_EVERY_SECONDS = 3
_DELETIONS_EVERY_SECONDS = 1
_MIRROR_FLUSH_SECONDS = 5
_SWEEPS_APART_SECONDS = 10
_UNREADABLE = {403: ": apply the RBAC of deploy/base", 404: ": apply crds/ first"}

logger = logging.getLogger(__name__)


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
        database = connect_database(settings.database_url)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except (ArgumentError, ImportError) as error:
        print(
            f"BGJOBS_DATABASE_URL cannot be used: {error}. Write "
            "mysql+pymysql://USER:PASSWORD@HOST/DATABASE",
            file=sys.stderr,
        )
        return 2
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # kopf tells of every event that a handler took.
    logging.getLogger("kopf").setLevel(logging.WARNING)
    return uvloop.run(_run(settings, database))


async def _run(settings: Settings, database: sa.Engine) -> int:
    clock = ServerClock()
    try:
        lease_api = await connect(clock, timeout_seconds=REQUEST_SECONDS)
        elector = Elector(
            lease_api,
            settings.namespace,
            LEASE,
            settings.pod_name or f"{socket.gethostname()}-{secrets.token_hex(4)}",
            seconds=boot_seconds,
            now=clock.now,
            random=random.random,
        )
        api = await connect(clock, may_write=elector.may_write)
    except ConfigException as error:
        logger.error("no way to the API server, set KUBECONFIG: %s", error)
        return 1
    exit_code = 0
    async with lease_api.session, api.session:
        try:
            await api.get_list(paths.ALL_BACKGROUND_JOBS, limit="1")
        except ApiError as error:
            hint = _UNREADABLE.get(error.status, "")
            logger.error("BackgroundJobs cannot be read%s (%s)", hint, error)
            return 1
        except (aiohttp.ClientError, TimeoutError) as error:
            logger.error("the API server cannot be reached: %s", in_words(error))
            return 1
        history = timedelta(days=settings.history_days) if settings.history_days else None
        mirror = MirrorWriter(database, history, clock.now)
        mirror.start()
        try:
            await _operate(settings, elector, api, clock, mirror)
        except* LeaseLostError as lost:
            logger.error("ends, to be started again: %s", lost.exceptions[0])
            exit_code = 1
        except* RestoredError:
            logger.error("ends, to be started again: the API server was restored from a backup")
            exit_code = 1
        finally:
            await asyncio.to_thread(mirror.stop, _MIRROR_FLUSH_SECONDS)
    return exit_code


class Parts(NamedTuple):
    """What works together behind the handlers."""

    views: Views
    queue: WorkQueue
    admission: AdmissionQueue
    showing: Showing
    events: EventPoster
    configuration: ConfigurationKeeper
    reconciler: Reconciler
    resync: Resync
    slow_starts: Callable[[], Coroutine[Any, Any, None]]
    pods: PodWatch
    mirror: MirrorWriter
    log_tails: LogTails


def assemble(
    settings: Settings, api: Api, mirror: MirrorWriter, now: Callable[[], datetime]
) -> Parts:
    views = Views()
    queue = WorkQueue(now)
    add_urgently: Callable[[str], None] = partial(queue.add, priority=URGENT)
    admission = AdmissionQueue(
        max_concurrent=settings.max_concurrent,
        start_window=settings.start_window,
        ageing=timedelta(seconds=settings.ageing_seconds),
        now=now,
        admitted=add_urgently,
    )
    showing = Showing(settings.hints_per_second, queue, now, admission.is_busy)
    events = EventPoster(api, admission.is_busy)
    configuration = ConfigurationKeeper(
        events, now, changed=lambda: reconciler.configuration_changed()
    )
    log_tails = LogTails(api, mirror)
    reconciler = Reconciler(
        api=api,
        views=views,
        queue=queue,
        admission=admission,
        showing=showing,
        configuration=configuration,
        events=events,
        mirror=mirror,
        log_tails=log_tails,
        log_tails_of_all=settings.log_tails_of_all,
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
        showing=showing,
        events=events,
        configuration=configuration,
        reconciler=reconciler,
        resync=Resync(
            api, views, queue, mirror, log_tails, settings.log_tails_of_all, retention, now
        ),
        slow_starts=partial(look_at_slow_starts, api, views, queue, now, admission.is_busy),
        pods=PodWatch(api, views, queue),
        mirror=mirror,
        log_tails=log_tails,
    )


async def _operate(
    settings: Settings, elector: Elector, api: Api, clock: ServerClock, mirror: MirrorWriter
) -> None:
    """Runs until it is told to end.

    Raises LeaseLostError, RestoredError, and what kopf cannot mend.
    """
    parts = assemble(settings, api, mirror, clock.now)
    metrics.LEADER.set_function(elector.may_write)
    metrics.QUEUE_DEPTH.set_function(lambda: len(parts.queue))
    metrics.WAITING.set_function(lambda: parts.admission.waiting)
    metrics.START_WINDOW.set_function(lambda: parts.admission.starting)
    metrics.START_WINDOW_SIZE.set_function(lambda: parts.admission.start_window)
    metrics.RUNNING.set_function(lambda: parts.admission.running)
    metrics.MIRROR_PENDING.set_function(lambda: mirror.pending)
    metrics.MIRROR_LAG_SECONDS.set_function(lambda: mirror.lag_seconds)

    async with watching(parts.views, parts.queue, clock.now) as kopf:

        def is_ready() -> bool:
            return kopf.has_listed() and parts.pods.has_listed and parts.configuration.read.is_set()

        background = [
            *loops(settings, api, parts, elector.elected, clock.now),
            elector.run(lambda: {ANNOTATION: encode(parts.admission.report())}),
            http.serve(settings.http_port, is_ready, elector.is_alive),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(coroutine) for coroutine in background]
                await asyncio.wait(kopf.tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
        finally:
            # After the last write, and without waiting for kopf.
            await elector.release()


def loops(
    settings: Settings,
    api: Api,
    parts: Parts,
    elected: asyncio.Event,
    now: Callable[[], datetime],
) -> list[Coroutine[Any, Any, None]]:
    """What goes on behind the handlers for as long as the operator runs."""
    return [
        *(
            configmaps.follow(
                api, settings.namespace, name, partial(parts.configuration.seen, name)
            )
            for name in (ALLOWLIST, RUNTIMES)
        ),
        parts.pods.run(),
        _lead(settings, parts, elected, now),
    ]


async def _lead(
    settings: Settings, parts: Parts, elected: asyncio.Event, now: Callable[[], datetime]
) -> None:
    """Stands by until this process is elected, then works."""
    queue, resync = parts.queue, parts.resync
    async with asyncio.TaskGroup() as group:
        standing_by = group.create_task(stand_by(queue, parts.views))
        await elected.wait()
        standing_by.cancel()
    await parts.configuration.read.wait()
    await until_done("the first look at what there is", resync.catch_up)
    parts.reconciler.take_over()
    parts.mirror.lead()
    parts.configuration.lead()
    workers = Workers(queue, parts.reconciler.reconcile, now, parts.views.name)
    with closing(parts.reconciler):
        async with asyncio.TaskGroup() as group:
            for coroutine in (
                workers.run(settings.workers),
                parts.events.run(),
                parts.showing.run(),
                parts.log_tails.run(),
                repeat(_CHILD_JOBS_EVERY_SECONDS, "the list of child Jobs", resync.child_jobs),
                repeat(_DELETIONS_EVERY_SECONDS, "the deletion of child Jobs", resync.deletions),
                repeat(_SLOW_STARTS_EVERY_SECONDS, "the look at slow starts", parts.slow_starts),
                _sweep(resync, parts.mirror, settings.sweep_seconds),
            ):
                group.create_task(coroutine)


async def _sweep(resync: Resync, mirror: MirrorWriter, every_seconds: int) -> None:
    """Every few minutes, and soon where the mirror has missed something."""
    while True:
        await try_once("the sweep of BackgroundJobs", resync.background_jobs)
        for waited in range(every_seconds):
            if mirror.needs_sweep and waited >= _SWEEPS_APART_SECONDS:
                break
            await asyncio.sleep(1)
