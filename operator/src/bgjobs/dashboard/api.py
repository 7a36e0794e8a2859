"""The same for programs: read-only JSON, described by /api/openapi.json."""

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from bgjobs.dashboard import lists, queries, view
from bgjobs.dashboard.context import Admitted, Connected
from bgjobs.dashboard.filters import PERIODS, Filter, utc_now
from bgjobs.dashboard.pages.choices import choice, period_of
from bgjobs.dashboard.states import STATES, state_of

router = APIRouter(prefix="/api/v1")


Time = Annotated[datetime, AfterValidator(lambda time: time.replace(tzinfo=UTC))]
"""The mirror's times have no zone: they are in UTC."""


class Job(BaseModel):
    """A job as lists show it."""

    model_config = ConfigDict(from_attributes=True)

    uid: str
    namespace: str
    name: str
    class_: str = Field(serialization_alias="class", validation_alias="class")
    method: str
    priority: int
    state: str
    phase: str
    reason: str
    message: str
    run: int
    attempts_total: int
    retries: int
    effective_retries: int | None
    delay_seconds: int
    effective_delay_seconds: int | None
    run_seconds: float | None
    created_at: Time
    next_attempt_at: Time | None
    started_at: Time | None
    completed_at: Time | None
    deleted_at: Time | None
    result: Any = None


class JobPage(BaseModel):
    jobs: list[Job]
    before: str | None
    """The next page's `before`; null on the last one. Pages before it may be short, too."""


class Attempt(BaseModel):
    run: int
    attempt: int
    job_name: str
    node_name: str | None
    outcome: str
    reason: str
    message: str
    exit_code: int | None
    started_at: Time | None
    finished_at: Time
    peak_memory_bytes: int | None
    cpu_seconds: float | None
    error_group: str | None
    has_log: bool


class Action(BaseModel):
    action: str
    by_user: str
    at: Time


class JobDetails(Job):
    labels: dict[str, str]
    parameters: Any
    """Values whose key sounds secret are masked here, as in results, and nowhere else."""
    attempts: list[Attempt]
    actions: list[Action]


class ErrorGroup(BaseModel):
    error_group: str
    type: str | None
    place: str | None
    message: str
    failed_attempts: int
    failed_jobs: int
    last_seen: Time


class Mirror(BaseModel):
    as_of: Time | None
    behind_seconds: float
    problem: str | None


class Wanted(BaseModel):
    """The list's filters, for the description: what reads the address refuses all others, too."""

    state: str = Field("", examples=[*STATES])
    reason: str = ""
    priority: str = Field("", examples=["High", "Medium", "Low"])
    class_: str = Field("", alias="class")
    namespace: str = ""
    name: str = Field("", description="what it begins with")
    labels: str = Field("", examples=["customer=42,team=shop"])
    error: str = Field("", description="the id of an error group")
    created: str = Field("", examples=[*PERIODS])
    until: str = Field("", description="created before, UTC", examples=["2030-01-31T12:00"])
    before: str = Field("", description="of the page before")


class WantedGroups(BaseModel):
    class_: str = Field("", alias="class")
    period: str = Field("24h", examples=[*PERIODS])


@router.get("/jobs")
def jobs(
    _: Admitted, connection: Connected, request: Request, __: Annotated[Wanted, Query()]
) -> JobPage:
    """The newest jobs that fit, 25 at once."""
    wanted, now = Filter.parse(request.query_params), utc_now()
    found = lists.page(connection, wanted, now)
    return JobPage(
        jobs=[Job.model_validate(_job(row)) for row in found.rows],
        before=None if found.older is None else str(found.older),
    )


@router.get("/jobs/{uid}")
def job(_: Admitted, connection: Connected, uid: str) -> JobDetails:
    row = queries.job(connection, uid)
    if row is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such job here.")
    return JobDetails.model_validate(
        {
            **_job(row),
            "labels": queries.labels(connection, uid),
            "parameters": view.mask(view.read_json(row["parameters"])),
            "attempts": [dict(each) for each in queries.attempts(connection, uid)],
            "actions": [dict(each) for each in queries.actions(connection, uid)],
        }
    )


@router.get("/error-groups")
def error_groups(
    _: Admitted, connection: Connected, request: Request, __: Annotated[WantedGroups, Query()]
) -> list[ErrorGroup]:
    """Those with the most failed attempts, 100 at most."""
    chosen = choice(request, ("class", "period"))
    class_, (_key, period) = chosen.get("class"), period_of(chosen)
    found = []
    for row in queries.error_groups(connection, utc_now() - period, class_):
        latest = queries.latest_of_group(connection, row["error_group"], class_)
        if latest is not None:
            found.append(
                ErrorGroup(
                    error_group=row["error_group"],
                    type=latest["error_type"],
                    place=latest["error_place"],
                    message=latest["message"],
                    failed_attempts=int(row["attempts"]),
                    failed_jobs=int(row["failed"]),
                    last_seen=latest["finished_at"],
                )
            )
    return found


@router.get("/mirror")
def mirror(_: Admitted, connection: Connected) -> Mirror:
    """How current all this is."""
    fresh = view.freshness(queries.meta(connection), utc_now())
    return Mirror(as_of=fresh.as_of, behind_seconds=fresh.behind, problem=fresh.problem)


def _job(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "state": state_of(row["phase"], row["reason"]).name,
        "result": view.mask(view.read_json(row["result"])),
    }
