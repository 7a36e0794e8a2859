"""Which of the operator's processes works: the one that holds the Lease.

The holder renews the Lease. Another process takes it once it has seen it
unchanged for as long as a lease lasts, by its own clock: what the clocks of two
machines show never matters. The holder may write only for a part of that time
after it has sent its last renewal; the rest is left for clocks that run
unevenly and for writes that are still under way.

If somebody deletes the Lease, its holder makes it again and goes on, and those
who saw it first wait as long as for any other change. Only a process that
starts at that very moment would not know.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import NoReturn

from bgjobs.kube import lease, paths
from bgjobs.kube.api import REQUEST_ERRORS, Api, Object, in_words
from bgjobs.kube.lease import Lease

LEASE_SECONDS = 10
WRITES_FOR_SECONDS = 6.0
"""After a renewal was sent; a leader that has sent no other by then ends."""
REQUEST_SECONDS = 2.5
"""A request that takes longer leaves time for another one."""

_LONGEST_LEASE_SECONDS = 3 * LEASE_SECONDS
"""Of another version's; a Lease that says more would, by hand, keep everybody else out."""
_RENEWED_EVERY_SECONDS = 1.5
_JITTER = 0.2
_PAUSE_AFTER_ERROR_SECONDS = 0.5
_HANGS_AFTER_SECONDS = 30.0

logger = logging.getLogger(__name__)


class LeaseLostError(Exception):
    """This process led, and another one may lead by now."""


class Elector:
    """Takes the Lease when it is free and keeps it.

    `api` must be fenced by nothing and have connections of its own, with
    REQUEST_SECONDS as its timeout. `seconds` counts on while the process is
    stopped; `random` returns 0 to 1. It runs in the event loop of the work: a
    loop that hangs must lose the Lease.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        identity: str,
        *,
        seconds: Callable[[], float],
        now: Callable[[], datetime],
        random: Callable[[], float],
    ) -> None:
        self.elected = asyncio.Event()
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._seconds = seconds
        self._now = now
        self._random = random
        self._mine: Lease | None = None
        """The Lease as this process last wrote it, as long as nothing speaks against that."""
        self._writes_until = -math.inf
        self._seen: tuple[str, str] | None = None
        self._seen_since = -math.inf
        self._stepped_at = seconds()

    def may_write(self) -> bool:
        """Whether this process leads for certain."""
        return self._seconds() < self._writes_until

    def is_alive(self) -> bool:
        """False once it has hung for a while."""
        return self._seconds() - self._stepped_at < _HANGS_AFTER_SECONDS

    async def run(self, annotations: Callable[[], Mapping[str, str]]) -> NoReturn:
        """Takes the Lease and renews it, with these annotations. Raises LeaseLostError."""
        while True:
            pause_seconds = await self.step(annotations())
            self._stepped_at = self._seconds()
            await asyncio.sleep(pause_seconds)

    async def step(self, annotations: Mapping[str, str]) -> float:
        """One try to take or to renew the Lease; returns the seconds to wait before the next.

        Raises LeaseLostError.
        """
        self._check()
        pause_seconds = _RENEWED_EVERY_SECONDS
        try:
            if self._mine is not None:
                await self._hold(self._mine, annotations)
            else:
                found = await self._read()
                if self._is_free(found):
                    await self._hold(found, annotations)
                else:
                    pause_seconds *= 1 + _JITTER * self._random()
        except REQUEST_ERRORS as error:
            self._mine = None
            pause_seconds = _PAUSE_AFTER_ERROR_SECONDS
            what = "not renewed" if self.elected.is_set() else "neither read nor taken"
            logger.warning("the Lease was %s: %s", what, in_words(error))
        self._check()
        return pause_seconds

    async def release(self) -> None:
        """Lets another process lead at once. Nothing may be written from here on."""
        self._writes_until = -math.inf
        if not self.elected.is_set():
            return
        try:
            found = await self._read()
            if found is not None and found.holder == self._identity:
                await self._write(found, "", {})
        except REQUEST_ERRORS as error:
            logger.warning(
                "the Lease was not given back, others wait for its end: %s", in_words(error)
            )

    def _check(self) -> None:
        if self.elected.is_set() and not self.may_write():
            raise LeaseLostError(f"the Lease was not renewed within {WRITES_FOR_SECONDS:.0f} s")

    async def _read(self) -> Lease | None:
        raw = await self._api.get(paths.lease(self._namespace, self._name))
        found = None if raw is None else lease.read(raw, LEASE_SECONDS)
        seen = None if found is None else (found.holder, found.renewed)
        if seen != self._seen:
            if found is not None and (self._seen is None or found.holder != self._seen[0]):
                logger.info("the Lease is held by %s", found.holder or "nobody")
            self._seen, self._seen_since = seen, self._seconds()
        return found

    def _is_free(self, found: Lease | None) -> bool:
        """Whether this process may take the Lease. Raises LeaseLostError where it had it."""
        if found is not None and found.holder in ("", self._identity):
            return True
        if self.elected.is_set():
            if found is None:
                return True
            self._writes_until = -math.inf
            raise LeaseLostError(f"{found.holder} has taken the Lease")
        lasts_seconds = LEASE_SECONDS if found is None else found.duration_seconds
        lasts_seconds = min(lasts_seconds, _LONGEST_LEASE_SECONDS)
        return self._seconds() - self._seen_since >= lasts_seconds

    async def _hold(self, found: Lease | None, annotations: Mapping[str, str]) -> None:
        sent_at = self._seconds()
        raw = await self._write(found, self._identity, annotations)
        self._mine = lease.read(raw, LEASE_SECONDS)
        self._writes_until = sent_at + WRITES_FOR_SECONDS
        if not self.elected.is_set():
            logger.info("%s leads now", self._identity)
            self.elected.set()

    async def _write(
        self, found: Lease | None, holder: str, annotations: Mapping[str, str]
    ) -> Object:
        """Raises ApiError with status 409 where the Lease is no longer as it was found."""
        now = self._now()
        if found is None:
            new = lease.manifest(self._name, holder, LEASE_SECONDS, annotations, now)
            return await self._api.create(paths.leases(self._namespace), new)
        path = paths.lease(self._namespace, self._name)
        patch = lease.held_by(found, holder, LEASE_SECONDS, annotations, now)
        return await self._api.patch(path, patch)
