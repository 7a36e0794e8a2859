"""Keeps the ends of logs before they go with their pods.

The log of a pod that is about to be stopped is followed from before. Of an attempt that has ended
otherwise it is read once its end is recorded, at the latest before its child Job is deleted.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import NamedTuple

from bgjobs.domain.observation import Pod
from bgjobs.kube import paths
from bgjobs.kube.api import REQUEST_ERRORS, Api, in_words
from bgjobs.mirror.writer import AttemptKey, MirrorWriter

_MAX_BYTES = 16 * 1024
_FEW_LINES = 200
"""Most logs' last ones are 16 KiB, or all there are; a log can only be asked for by its lines."""
_MAX_FOLLOWED = 16
_OPENED_WITHIN_SECONDS = 2.0
_READ_WITHIN_SECONDS = 10.0
_READERS = 2
_MOST_REMEMBERED = 10_000
"""Logs that wait to be read, and attempts whose log is known to be kept."""

logger = logging.getLogger(__name__)


class _Log(NamedTuple):
    attempt: AttemptKey
    path: str


class LogTails:
    """The last 16 KiB of logs, by their pod's uid.

    At most 16 are followed at once: of what is stopped beyond that, what it prints when it is told
    to end is not kept.
    """

    def __init__(self, api: Api, mirror: MirrorWriter) -> None:
        self._api = api
        self._mirror = mirror
        self._unread: asyncio.Queue[_Log] = asyncio.Queue(_MOST_REMEMBERED)
        self._kept: dict[AttemptKey, None] = {}
        self._tails: dict[str, bytes] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    async def follow(self, namespace: str, pod: Pod) -> None:
        """Returns once the log is being read, or will not be; in any case within seconds."""
        if pod.uid in self._tails:
            return
        self._tails[pod.uid] = b""
        path = paths.log(namespace, pod.name)
        if len(self._following) >= _MAX_FOLLOWED:
            self._tails[pod.uid] = await self._read(path, _OPENED_WITHIN_SECONDS)
            return
        opened = asyncio.Event()
        task = asyncio.create_task(self._follow(path, pod.uid, opened))
        self._following[pod.uid] = task
        task.add_done_callback(lambda _: self._following.pop(pod.uid, None))
        try:
            async with asyncio.timeout(_OPENED_WITHIN_SECONDS):
                await opened.wait()
        except TimeoutError:
            logger.warning("the log of pod %s/%s is not to be had", namespace, pod.name)

    def keep(self, uid: str, namespace: str, pod: Pod) -> None:
        """Hands the log of an attempt's pod to the mirror, now or as soon as it is read."""
        attempt = (uid, pod.run, pod.attempt)
        if followed := self._tails.get(pod.uid):
            self._hand_over(attempt, followed)
        elif not pod.gone and not self._unread.full():
            self._unread.put_nowait(_Log(attempt, paths.log(namespace, pod.name)))

    def is_kept(self, attempt: AttemptKey) -> bool:
        """Whether it is known to be, or to wait for the database.

        A process that was started again knows of none.
        """
        return attempt in self._kept

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for _ in range(_READERS):
                group.create_task(self._read_on())

    async def _read_on(self) -> None:
        while True:
            log = await self._unread.get()
            await self.read(log.attempt, log.path)

    async def read(self, attempt: AttemptKey, path: str) -> None:
        """Reads the end of a log and hands it to the mirror, if it is to be had within seconds."""
        if tail := await self._read(path, _READ_WITHIN_SECONDS):
            self._hand_over(attempt, tail)

    async def _read(self, path: str, within_seconds: float) -> bytes:
        """The end of a log as far as it is to be had in that time."""
        tail = b""
        try:
            async with asyncio.timeout(within_seconds):
                async for end in self._ends(path, tailLines=str(_FEW_LINES)):
                    tail = end
                if len(tail) <= _MAX_BYTES and tail.count(b"\n") >= _FEW_LINES:
                    longer = tail
                    async for end in self._ends(path, tailLines=str(_MAX_BYTES)):
                        longer = end
                    tail = longer
        except REQUEST_ERRORS as error:
            logger.info("%s is read no further: %s", path, in_words(error))
        return tail

    async def _ends(self, path: str, **params: str) -> AsyncIterator[bytes]:
        """The end of the log so far, one byte longer where it is cut, as it grows."""
        end = b""
        async for chunk in self._api.stream(path, **params):
            end = (end + chunk)[-_MAX_BYTES - 1 :]
            yield end

    def _hand_over(self, attempt: AttemptKey, tail: bytes) -> None:
        dropped = self._mirror.log_tail(attempt, _last_lines(tail))
        self._kept[attempt] = None
        if dropped is not None:
            self._kept.pop(dropped, None)
        if len(self._kept) > _MOST_REMEMBERED:
            del self._kept[next(iter(self._kept))]

    def tail(self, pod_uid: str) -> str | None:
        text = _last_lines(self._tails.get(pod_uid, b"")).decode(errors="replace")
        return text or None

    def forget(self, pod_uid: str) -> None:
        self._tails.pop(pod_uid, None)
        if task := self._following.pop(pod_uid, None):
            task.cancel()

    def close(self) -> None:
        """Follows none any longer: a log may go on for as long as its pod runs."""
        for pod_uid in tuple(self._following):
            self.forget(pod_uid)

    async def _follow(self, path: str, pod_uid: str, opened: asyncio.Event) -> None:
        try:
            async for end in self._ends(path, follow="true", tailLines=str(_MAX_BYTES)):
                opened.set()
                self._tails[pod_uid] = end
        except REQUEST_ERRORS as error:
            logger.info("%s is read no further: %s", path, in_words(error))
        finally:
            opened.set()


def _last_lines(end: bytes) -> bytes:
    """Of a log that was cut, without what is left of a line: that may be the rest of a secret.

    A line that is longer than all that is kept is cut.
    """
    if len(end) <= _MAX_BYTES:
        return end
    return end.partition(b"\n")[2] or end[1:]
