"""Keeps the end of the log of a pod that is about to be stopped: its log goes with it."""

import asyncio
import logging

from bgjobs.domain.observation import Pod
from bgjobs.kube import paths
from bgjobs.kube.api import REQUEST_ERRORS, Api, in_words

_MAX_BYTES = 16 * 1024
_MAX_FOLLOWED = 16
_OPENED_WITHIN_SECONDS = 2.0

logger = logging.getLogger(__name__)


class LogTails:
    """The last 16 KiB of logs, by their pod's uid. At most 16 are followed at once."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._tails: dict[str, bytes] = {}
        self._following: dict[str, asyncio.Task[None]] = {}

    async def follow(self, namespace: str, pod: Pod) -> None:
        """Returns once the log is being read, or will not be; in any case within seconds."""
        if pod.uid in self._tails or len(self._following) >= _MAX_FOLLOWED:
            return
        self._tails[pod.uid] = b""
        opened = asyncio.Event()
        task = asyncio.create_task(self._read(paths.log(namespace, pod.name), pod.uid, opened))
        self._following[pod.uid] = task
        task.add_done_callback(lambda _: self._following.pop(pod.uid, None))
        try:
            async with asyncio.timeout(_OPENED_WITHIN_SECONDS):
                await opened.wait()
        except TimeoutError:
            logger.warning("the log of pod %s/%s is not to be had", namespace, pod.name)

    def tail(self, pod_uid: str) -> str | None:
        text = self._tails.get(pod_uid, b"").decode(errors="replace")
        return text or None

    def forget(self, pod_uid: str) -> None:
        self._tails.pop(pod_uid, None)
        if task := self._following.pop(pod_uid, None):
            task.cancel()

    def close(self) -> None:
        """Follows none any longer: a log may go on for as long as its pod runs."""
        for pod_uid in tuple(self._following):
            self.forget(pod_uid)

    async def _read(self, path: str, pod_uid: str, opened: asyncio.Event) -> None:
        try:
            async for chunk in self._api.stream(path, follow="true", tailLines="200"):
                opened.set()
                self._tails[pod_uid] = (self._tails[pod_uid] + chunk)[-_MAX_BYTES:]
        except REQUEST_ERRORS as error:
            logger.info("%s is read no further: %s", path, in_words(error))
        finally:
            opened.set()
