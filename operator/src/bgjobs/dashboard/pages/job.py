"""One job: its runs and attempts, the log of one, what was asked, and by whom."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

import sqlalchemy as sa
from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from bgjobs.dashboard import charts, queries, view
from bgjobs.dashboard.context import Admitted, Connected, Visited
from bgjobs.dashboard.filters import FilterError, utc_now
from bgjobs.dashboard.pages.actions import CHANGES, buttons

router = APIRouter()

_DAY = timedelta(days=1)
_ATTEMPT = re.compile(r"(\d{1,6})-(\d{1,6})", re.ASCII)


@router.get("/jobs/{uid}")
def job(
    visit: Visited,
    uid: str,
    attempt: str = "",
    shown: str = "",
    done: str = "",
) -> Response:
    """`shown` is the attempt that an open page shows already: no later one takes its place."""
    row = visit.job(uid)
    now = utc_now()
    labels = queries.labels(visit.connection, uid)
    attempts = queries.attempts(visit.connection, uid)
    chosen = _chosen(attempts, attempt or shown)
    line = view.line(row)
    under_way = row if line.state.group != "Finished" else None
    run = chosen["run"] if chosen and attempt else row["run"]
    of_run = [each for each in reversed(attempts) if each["run"] == run]
    read = view.resource(row)
    parameters = view.read_json(row["parameters"])
    masked = view.mask(parameters)
    node = chosen["node_name"] if chosen else None
    log = None
    if chosen and chosen["has_log"]:
        log = queries.log_tail(visit.connection, uid, chosen["run"], chosen["attempt"])
    actions = queries.actions(visit.connection, uid)
    retried = (a["at"] for a in actions if (a["action"], a["ordinal"]) == ("retried", run - 1))
    asked_at = row["created_at"] if run == 1 else next(retried, None)
    if of_run and of_run[0]["attempt"] > 1:
        asked_at = None  # what came before is not shown
    stretches = view.stretches(of_run, under_way if run == row["run"] else None, asked_at, now)
    group = chosen["error_group"] if chosen else None
    return visit.page(
        "job.html",
        line=line,
        row=row,
        spec=read.spec,
        labels=labels,
        attempts=attempts,
        most_attempts=queries.MAX_ATTEMPTS,
        by_run=_by_run(attempts, under_way),
        upcoming=row["attempts_of_run"] + 1 if under_way else None,
        chosen=chosen,
        run=run,
        drawn={(part.style, part.words == "ran") for parts in stretches for part in parts},
        timeline=charts.timeline(stretches, of_run[0]["attempt"] if of_run else 1, now),
        log=None if log is None else view.log_lines(log),
        parameters=view.pretty(masked),
        is_masked=masked != parameters,
        result=None
        if row["result"] is None
        else view.pretty(view.mask(view.read_json(row["result"]))),
        actions=actions,
        commands=view.commands(read, visit.its.operator_namespace, node),
        manifest=view.as_new_yaml(row, labels),
        shared=_shared(visit.connection, group, now) if group else None,
        buttons=buttons(visit, row) if visit.its.has_actions else None,
        done=done if done in CHANGES else "",
    )


def _chosen(attempts: Sequence[Mapping[str, Any]], asked: str) -> Mapping[str, Any] | None:
    """The attempt that is asked for; unless one is, the latest."""
    if not asked:
        return attempts[0] if attempts else None
    match = _ATTEMPT.fullmatch(asked)
    for each in attempts:
        if match and (each["run"], each["attempt"]) == (int(match[1]), int(match[2])):
            return each
    raise FilterError(f"There is no attempt {asked!r}: write run-attempt, such as 1-2.")


def _by_run(
    attempts: Sequence[Mapping[str, Any]], under_way: Mapping[str, Any] | None
) -> dict[int, list[Mapping[str, Any]]]:
    """The latest run first, which may not have an attempt that has ended."""
    found: dict[int, list[Mapping[str, Any]]] = {under_way["run"]: []} if under_way else {}
    for each in attempts:
        found.setdefault(each["run"], []).append(each)
    return found


def _shared(connection: sa.Connection, group: str, now: datetime) -> int:
    """How many attempts have failed in the same place within a day."""
    steps = queries.error_steps(connection, [group], now - _DAY, _DAY)[group]
    return sum(int(step["attempts"]) for step in steps)


@router.get("/jobs/{namespace}/{name}")
def job_by_name(_: Admitted, connection: Connected, namespace: str, name: str) -> Response:
    """The newest job of that name: an address that people can write."""
    uid = queries.uid_of(connection, namespace, name)
    if uid is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND, f"There is no job {name} of namespace {namespace} here."
        )
    return RedirectResponse(f"/jobs/{uid}")


@router.get("/jobs/{uid}/attempts/{attempt}/log")
def log(_: Admitted, connection: Connected, uid: str, attempt: str) -> Response:
    """The end of an attempt's log as text."""
    match = _ATTEMPT.fullmatch(attempt)
    text = queries.log_tail(connection, uid, int(match[1]), int(match[2])) if match else None
    if text is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "No log of such an attempt was kept.")
    return PlainTextResponse(text, headers={"Cache-Control": "private, no-store"})
