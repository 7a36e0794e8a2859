"""Keeps the last good allowlist and runtimes, and says what is wrong with newer ones."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from bgjobs.controller.events import EventPoster
from bgjobs.domain.allowlist import parse_allowlist
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES, Configuration
from bgjobs.domain.decision import Event, EventType
from bgjobs.domain.errors import ConfigurationError
from bgjobs.domain.runtimes import parse_runtimes

logger = logging.getLogger(__name__)

_FIELDS: dict[str, tuple[str, Callable[[dict[str, str]], Any]]] = {
    ALLOWLIST: ("allowlist", parse_allowlist),
    RUNTIMES: ("runtimes", parse_runtimes),
}


class ConfigurationKeeper:
    """The configuration in force; `changed` is called whenever it is another one."""

    def __init__(
        self, events: EventPoster, now: Callable[[], datetime], changed: Callable[[], None]
    ) -> None:
        self._events = events
        self._now = now
        self._changed = changed
        self._metadata: dict[str, dict[str, Any]] = {}
        self._unread = set(_FIELDS)
        self._leads = False
        self.read = asyncio.Event()
        """Set once each ConfigMap was read, or found absent."""
        missing = dict.fromkeys(_FIELDS, "it has not been read yet")
        self.current = Configuration(problems=missing)

    def lead(self) -> None:
        """From here on Events tell what is wrong; on a standby they would only repeat it."""
        self._leads = True
        for name, problem in self.current.problems.items():
            self._tell(name, problem)

    def seen(self, name: str, config_map: dict[str, Any] | None) -> None:
        """Takes the ConfigMap over if it can be read, else keeps the last good one."""
        field, parse = _FIELDS[name]
        problems = {k: v for k, v in self.current.problems.items() if k != name}
        changes: dict[str, Any] = {}
        try:
            if config_map is None:
                raise ConfigurationError("it does not exist: apply it")
            self._metadata[name] = config_map["metadata"]
            changes[field] = parse(config_map.get("data") or {})
            logger.info("ConfigMap %s is in force: %s keys", name, len(changes[field]))
        except ConfigurationError as error:
            problems[name] = str(error)
            logger.error("ConfigMap %s is broken, %s: %s", name, self._until_mended(name), error)
            if self._leads:
                self._tell(name, str(error))
        self._unread.discard(name)
        if not self._unread:
            self.read.set()
        newest = msgspec.structs.replace(self.current, problems=problems, **changes)
        if newest != self.current:  # a watch that begins anew tells what was known
            self.current = newest
            self._changed()

    def _until_mended(self, name: str) -> str:
        field, _ = _FIELDS[name]
        if getattr(self.current, field) is None:
            return "no job starts until it is mended"
        return "the last good version stays in force"

    def _tell(self, name: str, problem: str) -> None:
        if metadata := self._metadata.get(name):
            message = f"{problem.rstrip('. ')}. {self._until_mended(name).capitalize()}."
            event = Event(type=EventType.WARNING, reason="ConfigurationInvalid", message=message)
            self._events.post_about_config_map(
                metadata["namespace"], name, metadata["uid"], event, self._now()
            )
