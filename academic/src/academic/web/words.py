"""Times, counts and scores as the pages write them."""

from datetime import UTC, datetime


def clock(time: datetime, now: datetime) -> str:
    """As short as is clear: 12:03, 23 Nov 18:24, 2 Jan 2025."""
    if time.date() == now.date():
        return f"{time:%H:%M}"
    if abs((now - time).days) < 180:
        return f"{time.day} {time:%b %H:%M}"
    return f"{time.day} {time:%b %Y}"


def iso(time: datetime) -> str:
    return time.replace(tzinfo=UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(seconds: float) -> str:
    """The two largest units: 18 s, 1 m 40 s, 17 h 38 m."""
    rest, parts = max(0, round(seconds)), list[str]()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m"), (1, "s")):
        count, rest = divmod(rest, size)
        if count or parts:
            parts.append(f"{count} {unit}" if count else "")
    return " ".join(filter(None, parts[:2])) or "0 s"


def score(value: float) -> str:
    """87.5, 90"""
    return f"{value:.1f}".removesuffix(".0")


def percent(part: float) -> str:
    return f"{100 * part:.0f} %"


def plural(count: int, one: str, many: str | None = None) -> str:
    return f"{count:,} {one if count == 1 else many or one + 's'}"
