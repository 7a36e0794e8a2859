"""What the forms of Errors and Analytics choose from."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from fastapi import Request

from bgjobs.dashboard import words
from bgjobs.dashboard.filters import PERIODS, FilterError


def choice(request: Request, known: Sequence[str]) -> dict[str, str]:
    given = {key: value.strip() for key, value in request.query_params.items() if value.strip()}
    if unknown := given.keys() - set(known):
        raise FilterError(f"There is no filter {min(unknown)!r}: use {words.listed(known)}.")
    return given


def period_of(chosen: Mapping[str, str]) -> tuple[str, timedelta]:
    key = chosen.get("period", "24h")
    if key not in PERIODS:
        raise FilterError(f"{key!r} is no period: use one of {', '.join(PERIODS)}.")
    return key, PERIODS[key][0]
