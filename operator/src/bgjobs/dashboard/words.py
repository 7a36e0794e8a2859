"""Times, durations, sizes and counts as the pages write them."""

from collections.abc import Sequence
from datetime import UTC, datetime

_UNITS = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))
COUNTED_TO = 10_000
"""Where counting stops: more of them tell nobody more, and would take a second."""


def duration(seconds: float) -> str:
    """The two largest units: 0.4 s, 18 s, 1 m 40 s, 17 h 38 m."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f}".removesuffix(".0") + " s"
    rest, parts = round(seconds), list[str]()
    for size, unit in _UNITS:
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2]))


def clock(time: datetime, now: datetime) -> str:
    """As short as is clear: 12:03:07, 23 Nov 18:24, 2 Jan 2025."""
    if time.date() == now.date():
        return f"{time:%H:%M:%S}"
    if abs((now - time).days) < 180:
        return f"{time.day} {time:%b %H:%M}"
    return f"{time.day} {time:%b %Y}"


def iso(time: datetime) -> str:
    return time.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def size(count: float) -> str:
    """Bytes: 131 Mi, 1.7 Gi."""
    for unit in ("", " Ki", " Mi"):
        if count < 1024:
            return f"{count:.0f}{unit or ' bytes'}"
        count /= 1024
    return f"{count:.1f}".removesuffix(".0") + " Gi"


def counted(count: int, is_exact: bool = True) -> str:
    """1,204; where there may be more, 1,204+; from where counting stops, 10,000+."""
    if count > COUNTED_TO:
        return f"{COUNTED_TO:,}+"
    return f"{count:,}" if is_exact else f"{count:,}+"


def sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def share(part: float, whole: float) -> str:
    """0 %, 0.11 %, 12 %."""
    if not part or not whole:
        return "0 %"
    percent = 100 * part / whole
    return f"{percent:.0f} %" if percent >= 10 else f"{percent:.2g} %"


def listed(words: Sequence[str]) -> str:
    """a, b and c"""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
