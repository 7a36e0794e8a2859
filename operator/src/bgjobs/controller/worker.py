"""Workers: take a key from the queue, reconcile it, and come back later where that fails."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NoReturn

from bgjobs import metrics
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.kube.api import REQUEST_ERRORS, in_words
from bgjobs.kube.views import Doubt, RestoredError, Views

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 30.0

logger = logging.getLogger(__name__)


async def stand_by(queue: WorkQueue, views: Views) -> NoReturn:
    """Takes keys from the queue only to forget what is gone, or both would grow without end."""
    while True:
        key = await queue.get()
        if views.job(key) is None or views.is_doubted(key, Doubt.JOB):
            views.forget(key)
        queue.done(key)


class Workers:
    """Concurrent workers of one queue. A key that fails never holds up the others.

    Only RestoredError ends them all.
    """

    def __init__(
        self,
        queue: WorkQueue,
        reconcile: Callable[[str], Awaitable[None]],
        now: Callable[[], datetime],
        name_of: Callable[[str], str],
    ) -> None:
        self._queue = queue
        self._reconcile = reconcile
        self._now = now
        self._name_of = name_of
        self._failures: Counter[str] = Counter()

    async def run(self, count: int) -> None:
        free = asyncio.Semaphore(count)
        async with asyncio.TaskGroup() as group:
            # One taker for all: waiting, each of them would be woken for every key.
            while True:
                await free.acquire()
                key = await self._queue.get()
                work = group.create_task(self._work(key))
                work.add_done_callback(lambda _: free.release())

    async def _work(self, key: str) -> None:
        began = time.perf_counter()
        try:
            await self._reconcile(key)
        except REQUEST_ERRORS as error:
            logger.warning("%s: tried again soon: %s", self._name_of(key), in_words(error))
            self._try_again(key)
        except RestoredError:
            raise
        except Exception:
            logger.exception("%s: a fault of the operator; tried again later", self._name_of(key))
            self._try_again(key)
        else:
            self._failures.pop(key, None)
            metrics.RECONCILES.labels(result="success").inc()
        finally:
            metrics.RECONCILE_SECONDS.observe(time.perf_counter() - began)
            self._queue.done(key)

    def _try_again(self, key: str) -> None:
        metrics.RECONCILES.labels(result="error").inc()
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** self._failures[key])
        self._failures[key] = min(self._failures[key] + 1, 16)
        self._queue.add_at(key, self._now() + timedelta(seconds=pause))
