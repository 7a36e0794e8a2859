"""Which jobs a list shows, as its address says it."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

import msgspec

from bgjobs.dashboard.states import STATES
from bgjobs.domain.resource import Priority, Reason

PERIODS = {
    "1h": (timedelta(hours=1), "last hour"),
    "24h": (timedelta(days=1), "last 24 hours"),
    "7d": (timedelta(days=7), "last 7 days"),
    "30d": (timedelta(days=30), "last 30 days"),
}
_MAX_CHARACTERS = 253
_MAX_LABELS = 4
_CURSOR = re.compile(r"(\d{8}T\d{6})-([0-9a-f-]{36})", re.ASCII)
_GROUP = re.compile(r"[0-9a-f]{12}", re.ASCII)
_LABEL = re.compile(r"([\w./-]{1,317})=([\w.-]{0,63})", re.ASCII)


class FilterError(ValueError):
    """An address that asks for something there is not. Says what to write instead."""


class Cursor(NamedTuple):
    """The last job of the page before: the next one begins after it."""

    created_at: datetime
    uid: str

    def __str__(self) -> str:
        return f"{self.created_at:%Y%m%dT%H%M%S}-{self.uid}"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """All must hold; what is left out does not matter."""

    state: str | None = None
    reason: str | None = None
    priority: int | None = None
    class_: str | None = None
    namespace: str | None = None
    name: str | None = None
    """What the name begins with."""
    labels: tuple[tuple[str, str], ...] = ()
    error: str | None = None
    """The id of an error group."""
    created: str | None = None
    """One of PERIODS."""
    until: datetime | None = None
    """Created before that, to the minute."""
    before: Cursor | None = None

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Self:
        """Raises FilterError."""
        given = {key: value.strip() for key, value in query.items() if value.strip()}
        unknown = given.keys() - _READERS.keys()
        if unknown:
            raise FilterError(
                f"There is no filter {min(unknown)!r}: use {', '.join(sorted(_READERS))}."
            )
        for key, value in given.items():
            if len(value) > _MAX_CHARACTERS + _MAX_LABELS * 400 * (key == "labels"):
                raise FilterError(f"{key} is too long.")
        found = {
            "class_" if key == "class" else key: _READERS[key](value)
            for key, value in given.items()
        }
        chosen = cls(**found)
        if chosen.reason and chosen.state and chosen.reason not in STATES[chosen.state].reasons:
            raise FilterError(f"No job is {chosen.state} for the reason {chosen.reason}.")
        return chosen

    def query(self, **changes: object) -> str:
        """The address's query of this filter, first page, with some of it changed."""
        chosen = msgspec.structs.replace(self, **{"before": None, **changes})
        values = {
            "state": chosen.state,
            "reason": chosen.reason,
            "priority": chosen.priority and Priority(chosen.priority).word,
            "class": chosen.class_,
            "namespace": chosen.namespace,
            "name": chosen.name,
            "labels": chosen.label_text,
            "error": chosen.error,
            "created": chosen.created,
            "until": chosen.until and chosen.until.isoformat(timespec="minutes"),
            "before": chosen.before and str(chosen.before),
        }
        pairs = [(key, value) for key, value in values.items() if value]
        return "?" + urlencode(pairs, safe="=,/") if pairs else "?"

    @property
    def label_text(self) -> str:
        return ",".join(f"{name}={value}" for name, value in self.labels)

    @property
    def is_empty(self) -> bool:
        return self == Filter(before=self.before)

    def since(self, now: datetime) -> datetime | None:
        return now - PERIODS[self.created][0] if self.created else None


def _one_of(key: str, values: Mapping[str, object] | list[str], value: str) -> str:
    if value not in values:
        raise FilterError(f"{value!r} is no {key}: use one of {', '.join(values)}.")
    return value


def _priority(value: str) -> int:
    words = {str(key): each for each in Priority for key in (each.value, each.word)}
    _one_of("priority", [each.word for each in Priority] + ["1", "2", "3"], value)
    return int(words[value])


def _labels(value: str) -> tuple[tuple[str, str], ...]:
    labels = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        if not (match := _LABEL.fullmatch(part)):
            raise FilterError(f"{part!r} is no label: write name=value, several with commas.")
        labels.append((match[1], match[2]))
    if len(labels) > _MAX_LABELS:
        raise FilterError(f"At most {_MAX_LABELS} labels at once.")
    return tuple(labels)


def _error(value: str) -> str:
    if not _GROUP.fullmatch(value):
        raise FilterError(f"{value!r} is no error group: follow a link of the page Errors.")
    return value


def _until(value: str) -> datetime:
    try:
        time = datetime.fromisoformat(value)
        time = time.astimezone(UTC) if time.tzinfo else time
    except (ValueError, OverflowError):
        raise FilterError(
            f"{value!r} is no time: write it as 2030-01-31 or 2030-01-31T12:00, in UTC."
        ) from None
    return time.replace(second=0, microsecond=0, tzinfo=None)


def _before(value: str) -> Cursor:
    match = _CURSOR.fullmatch(value)
    try:
        if match:
            return Cursor(datetime.strptime(match[1], "%Y%m%dT%H%M%S"), match[2])
    except ValueError:
        pass
    raise FilterError("There is no such page: begin with the first one.")


_READERS: Mapping[str, Callable[[str], Any]] = {
    "state": lambda value: _one_of("state", STATES, value),
    "reason": lambda value: _one_of("reason", [str(reason) for reason in Reason], value),
    "priority": _priority,
    "class": str,
    "namespace": str,
    "name": str,
    "labels": _labels,
    "error": _error,
    "created": lambda value: _one_of("period", PERIODS, value),
    "until": _until,
    "before": _before,
}


def utc_now() -> datetime:
    """Without a zone, as the mirror keeps times."""
    return datetime.now(UTC).replace(tzinfo=None)
