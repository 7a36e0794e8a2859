"""The pages: what each reads, and what its template shows."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Annotated, Any, NamedTuple

import sqlalchemy as sa
from fastapi import APIRouter, Form, HTTPException, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse

from bgjobs.cli.changes import CANCEL, RETRY, START, Change, because, operations
from bgjobs.cli.cluster import background_job, patch_background_job
from bgjobs.cli.errors import API_ERRORS, CommandError, sentence
from bgjobs.cli.explain import explain
from bgjobs.cli.observe import observe
from bgjobs.dashboard import charts, cluster, pages, queries, statistics, view, words
from bgjobs.dashboard.charts import Series
from bgjobs.dashboard.context import Admitted, Connected, Dashboard, Its
from bgjobs.dashboard.filters import PERIODS, Cursor, Filter, FilterError, utc_now
from bgjobs.dashboard.states import STATES, State, state_of
from bgjobs.domain.resource import Priority
from bgjobs.mirror.schema import RUN_STEPS, WAIT_STEPS

router = APIRouter(include_in_schema=False)

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_UID = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_ATTEMPT = re.compile(r"(\d{1,6})-(\d{1,6})", re.ASCII)
_CHANGES: Mapping[str, Change] = {each.verb: each for each in (START, CANCEL, RETRY)}
_MAX_REASON_CHARACTERS = 256


def _page(
    request: Request,
    its: Dashboard,
    viewer: Admitted,
    connection: sa.Connection,
    template: str,
    **values: Any,
) -> Response:
    return pages.render(
        its.templates,
        request,
        template,
        user=viewer.user,
        form_key=its.sessions.form_key(request.cookies),
        fresh=view.freshness(queries.meta(connection), utc_now()),
        **values,
    )


# The overview.


class _Tile(NamedTuple):
    """Jobs of a state, as the overview counts them."""

    state: State
    total: int
    details: tuple[str, ...]
    oldest: datetime | None
    next: datetime | None


def tiles(active: Sequence[Mapping[str, Any]]) -> dict[str, _Tile]:
    found = {}
    for state in STATES.values():
        rows = [row for row in active if state_of(row["phase"], row["reason"]) is state]
        by_note: dict[str, int] = {}
        by_priority: dict[str, int] = {}
        for row in rows:
            text = next(t for r, t in state.reasons.items() if r == row["reason"])
            by_note[text] = by_note.get(text, 0) + row["count"]
            word = Priority(row["priority"]).word
            by_priority[word] = by_priority.get(word, 0) + row["count"]
        parts = by_priority if state.name == "Queued" else by_note
        details = tuple(f"{words.number(n)} {text}" for text, n in parts.items() if text)
        oldest = min((row["oldest"] for row in rows if row["oldest"]), default=None)
        upcoming = min((row["next"] for row in rows if row["next"]), default=None)
        total = sum(row["count"] for row in rows)
        found[state.name] = _Tile(state, total, details, oldest, upcoming)
    return found


@router.get("/")
def overview(request: Request, its: Its, viewer: Admitted, connection: Connected) -> Response:
    now = utc_now()
    day = statistics.span(now, _DAY)
    rows = queries.rollups(connection, day.begin, day.end, by=["bucket_at"])
    hour = queries.rollups(connection, now - _HOUR, day.end, by=["priority"])
    report = cluster.leadership(its.client, its.operator_namespace)
    return _page(
        request,
        its,
        viewer,
        connection,
        "overview.html",
        tiles=tiles(queries.active(connection)),
        sums={
            name: int(sum(row[name] or 0 for row in rows))
            for name in ("succeeded", "failed", "cancelled", "failed_attempts")
        },
        finished=_finished_chart(day, rows),
        slots=queries.slots(connection),
        limit=report.report.max_concurrent if report and report.report else 0,
        paused=_paused(its),
        percentiles=[(Priority(row["priority"]).word, _percentiles(row)) for row in hour],
        groups=_groups(connection, now, _DAY)[:5],
        queue=[*map(view.line, queries.waiting(connection, ["Queued"], 5))],
        stuck=_stuck(connection),
    )


def _stuck(connection: sa.Connection) -> list[view.Line]:
    """A few that are held, and that cannot start for a reason of their own."""
    held = [view.line(row) for row in queries.waiting(connection, ["Held"], 5)]
    starting = [view.line(row) for row in queries.waiting(connection, ["Starting"], 25)]
    return [*held, *[line for line in starting if line.note][:5]]


def _finished_chart(
    day: statistics.Span, rows: Sequence[Mapping[str, Any]]
) -> tuple[charts.Chart, charts.Chart]:
    total = statistics.total
    succeeded = Series("Succeeded", "succeeded", "area", day.series(rows, total("succeeded")))
    attempts = day.series(rows, total("failed_attempts"))
    failed = day.series(rows, total("failed"))
    return (
        charts.over_time(
            day.begin,
            day.step,
            [succeeded],
            "Jobs that succeeded, over 24 hours",
            style="chart wide",
        ),
        charts.over_time(
            day.begin,
            day.step,
            [
                Series("Failed attempts", "t-failed", "bar", attempts),
                Series("Failed jobs", "f-failed", "bar", failed),
            ],
            "Attempts and jobs that failed, over 24 hours",
            height=104,
            style="chart wide",
        ),
    )


def _percentiles(row: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        f"{kind}_{share}": statistics.percentile(row, steps, share / 100)
        for kind, steps in (("wait", WAIT_STEPS), ("run", RUN_STEPS))
        for share in (50, 95)
    }


def _paused(its: Dashboard) -> list[tuple[str, str]]:
    """Which runtimes hold their jobs, and why."""
    runtimes = cluster.configuration(its.client, its.operator_namespace).runtimes or {}
    return [(key, runtime.paused) for key, runtime in runtimes.items() if runtime.paused]


# The list.


@router.get("/jobs")
def jobs(request: Request, its: Its, viewer: Admitted, connection: Connected) -> Response:
    wanted = Filter.parse(request.query_params)
    now = utc_now()
    rows = queries.page(connection, wanted, now)
    found = queries.counts(connection, wanted, now)
    classes, namespaces = queries.choices(connection)
    shown = rows[: queries.PAGE_ROWS]
    last = shown[-1] if len(rows) > len(shown) else None
    return _page(
        request,
        its,
        viewer,
        connection,
        "jobs.html",
        wanted=wanted,
        lines=[view.line(row) for row in shown],
        counts={name: _counts(state, found) for name, state in STATES.items()},
        total=sum(found.values()),
        older=wanted.query(before=Cursor(last["created_at"], last["uid"])) if last else None,
        classes=classes,
        namespaces=namespaces,
        periods=PERIODS,
        group=queries.latest_of_group(connection, wanted.error) if wanted.error else None,
    )


def _counts(state: State, found: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """How many there are for each of its reasons, and of all under an empty name."""
    by_reason = {
        str(reason): sum(found.get((str(phase), str(reason)), 0) for phase in state.phases)
        for reason in state.reasons
    }
    return {"": sum(by_reason.values()), **by_reason}


@router.get("/running")
def running() -> Response:
    return RedirectResponse("/jobs?state=Running")


# One job.


@router.get("/jobs/{uid}")
def job(
    request: Request,
    its: Its,
    viewer: Admitted,
    connection: Connected,
    uid: str,
    attempt: str = "",
    done: str = "",
) -> Response:
    row = _job(connection, uid)
    now = utc_now()
    labels = queries.labels(connection, uid)
    attempts = queries.attempts(connection, uid)
    chosen = _chosen(attempts, attempt)
    run = chosen["run"] if chosen else row["run"]
    of_run = [each for each in reversed(attempts) if each["run"] == run]
    read = view.resource(row)
    parameters = view.read_json(row["parameters"])
    masked = view.mask(parameters)
    node = chosen["node_name"] if chosen else None
    log = None
    if chosen and chosen["has_log"]:
        log = queries.log_tail(connection, uid, chosen["run"], chosen["attempt"])
    is_current = run == row["run"]
    actions = queries.actions(connection, uid)
    retried = (a["at"] for a in actions if (a["action"], a["ordinal"]) == ("retried", run - 1))
    asked_at = row["created_at"] if run == 1 else next(retried, None)
    ended = {**row, "phase": "Succeeded", "reason": "Succeeded"}
    stretches = view.stretches(of_run, row if is_current else ended, asked_at, now)
    group = chosen["error_group"] if chosen else None
    return _page(
        request,
        its,
        viewer,
        connection,
        "job.html",
        line=view.line(row),
        row=row,
        spec=read.spec,
        labels=labels,
        attempts=attempts,
        by_run=_by_run(attempts),
        chosen=chosen,
        run=run,
        timeline=charts.timeline(stretches, of_run[0]["attempt"] if of_run else 1, now),
        log=log,
        parameters=view.pretty(masked),
        is_masked=masked != parameters,
        result=None
        if row["result"] is None
        else view.pretty(view.mask(view.read_json(row["result"]))),
        actions=actions,
        commands=view.commands(read, its.operator_namespace, node),
        manifest=view.as_new_yaml(row, labels),
        shared=_shared(connection, group, now) if group else None,
        buttons=_buttons(its, viewer, row) if its.has_actions else None,
        done=done if done in _CHANGES else "",
    )


def _job(connection: sa.Connection, uid: str) -> Mapping[str, Any]:
    row = queries.job(connection, uid) if _UID.fullmatch(uid) else None
    if row is None:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            "There is no such job here: it never was, or its history has been deleted.",
        )
    return row


def _chosen(attempts: Sequence[Mapping[str, Any]], asked: str) -> Mapping[str, Any] | None:
    """The attempt that is asked for; unless one is, the latest."""
    if not asked:
        return attempts[0] if attempts else None
    match = _ATTEMPT.fullmatch(asked)
    for each in attempts:
        if match and (each["run"], each["attempt"]) == (int(match[1]), int(match[2])):
            return each
    raise FilterError(f"There is no attempt {asked!r}: write run-attempt, such as 1-2.")


def _by_run(attempts: Sequence[Mapping[str, Any]]) -> dict[int, list[Mapping[str, Any]]]:
    found: dict[int, list[Mapping[str, Any]]] = {}
    for each in attempts:
        found.setdefault(each["run"], []).append(each)
    return found


def _shared(connection: sa.Connection, group: str, now: datetime) -> int:
    """How many attempts have failed in the same place within a day."""
    buckets = queries.error_buckets(connection, [group], now - _DAY)[group]
    return sum(attempts for _, attempts, _ in buckets)


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


@router.get("/jobs/{uid}/why/now")
def why(request: Request, its: Its, viewer: Admitted, connection: Connected, uid: str) -> Response:
    """Why it does not run, asked of the cluster at this moment as the viewer may see it."""
    row = _job(connection, uid)
    explanation, problem = None, ""
    try:
        with cluster.as_viewer(
            its.client, viewer.token, row["namespace"], its.operator_namespace
        ) as seen:
            explanation = explain(observe(seen, row["name"]))
    except (CommandError, *API_ERRORS) as error:
        problem = _in_words(error, its)
    return _page(
        request,
        its,
        viewer,
        connection,
        "why.html",
        line=view.line(row),
        row=row,
        explanation=explanation,
        problem=problem,
    )


def _in_words(error: Exception, its: Dashboard) -> str:
    if isinstance(error, CommandError):
        return str(error)
    return sentence(error, its.client.configuration.host)


# Acts, where they are switched on: by the viewer's own token.


class _Button(NamedTuple):
    verb: str
    refusal: str
    """Why it cannot be pressed, if so."""


def _buttons(its: Dashboard, viewer: Admitted, row: Mapping[str, Any]) -> list[_Button]:
    may = cluster.may_patch(its.client, viewer.token, row["namespace"])
    forbidden = f"You may not patch BackgroundJobs in namespace {row['namespace']}."
    gone = "It is gone from the cluster."
    found = []
    for verb, change in _CHANGES.items():
        if row["phase"] not in change.phases:
            continue
        found.append(_Button(verb, gone if row["deleted_at"] else "" if may else forbidden))
    return found


def _change(its: Dashboard, verb: str) -> Change:
    if not its.has_actions:
        raise HTTPException(
            HTTPStatus.NOT_FOUND,
            "This dashboard is read-only: use kubectl bgjob, or set BGJOBS_ACTIONS=true for it.",
        )
    if verb not in _CHANGES:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return _CHANGES[verb]


@router.get("/jobs/{uid}/do/{verb}")
def confirm(
    request: Request, its: Its, viewer: Admitted, connection: Connected, uid: str, verb: str
) -> Response:
    asked = _Asked(verb, _change(its, verb), _job(connection, uid))
    return _confirm_page(request, its, viewer, connection, asked)


@router.post("/jobs/{uid}/do/{verb}")
def act(
    request: Request,
    its: Its,
    viewer: Admitted,
    connection: Connected,
    uid: str,
    verb: str,
    form_key: Annotated[str, Form()] = "",
    reason: Annotated[str, Form()] = "",
) -> Response:
    change = _change(its, verb)
    if not its.sessions.is_form_key(request.cookies, form_key):
        raise HTTPException(
            HTTPStatus.FORBIDDEN, "This form is not of your session: load the page again."
        )
    row = _job(connection, uid)
    reason = reason.strip()[:_MAX_REASON_CHARACTERS]
    problem = _do(its, viewer, row, because(change, reason) if change is CANCEL else change)
    if not problem:
        return RedirectResponse(f"/jobs/{uid}?done={verb}", HTTPStatus.SEE_OTHER)
    asked = _Asked(verb, change, row, reason, problem)
    response = _confirm_page(request, its, viewer, connection, asked)
    response.status_code = HTTPStatus.CONFLICT
    return response


class _Asked(NamedTuple):
    verb: str
    change: Change
    row: Mapping[str, Any]
    reason: str = ""
    problem: str = ""
    """Why it was refused, if it was."""


def _confirm_page(
    request: Request, its: Its, viewer: Admitted, connection: Connected, asked: _Asked
) -> Response:
    line = view.line(asked.row)
    return _page(request, its, viewer, connection, "confirm.html", line=line, **asked._asdict())


def _do(its: Dashboard, viewer: Admitted, row: Mapping[str, Any], change: Change) -> str:
    """Asks for the change; returns why it was refused, if so."""
    namespace, name = row["namespace"], row["name"]
    try:
        with cluster.as_viewer(its.client, viewer.token, namespace, its.operator_namespace) as seen:
            job = background_job(seen, namespace, name)
            if job["metadata"]["uid"] != row["uid"]:
                return "Another job has this name by now."
            patch_background_job(seen, namespace, name, operations(change, job))
    except (CommandError, *API_ERRORS) as error:
        return _in_words(error, its)
    return ""


# Errors.


class _Group(NamedTuple):
    row: Mapping[str, Any]
    latest: Mapping[str, Any]
    first_seen: datetime | None
    buckets: Sequence[tuple[datetime, int, int]]
    is_new: bool
    spark: charts.Chart


def _groups(
    connection: sa.Connection, now: datetime, period: timedelta, class_: str | None = None
) -> list[_Group]:
    rows = queries.error_groups(connection, now - period, class_)
    names = [row["error_group"] for row in rows]
    first = queries.first_seen(connection, names)
    buckets = queries.error_buckets(connection, names, now - period)
    shape = statistics.span(now, period, 40)
    found = []
    for row in rows:
        name = row["error_group"]
        latest = queries.latest_of_group(connection, name)
        if latest is None:
            continue
        of_group = [{"bucket_at": at, "attempts": count} for at, count, _ in buckets[name]]
        values = shape.series(of_group, statistics.total("attempts"))
        found.append(
            _Group(
                row=row,
                latest=latest,
                first_seen=first.get(name),
                buckets=buckets[name],
                is_new=name in first and first[name] >= now - _DAY,
                spark=charts.spark(values, "failed", f"{row['attempts']} over time", bars=True),
            )
        )
    return found


@router.get("/errors")
def errors(
    request: Request,
    its: Its,
    viewer: Admitted,
    connection: Connected,
) -> Response:
    chosen = _choice(request, ("class", "period"))
    key, period = _period(chosen)
    classes, _ = queries.choices(connection)
    return _page(
        request,
        its,
        viewer,
        connection,
        "errors.html",
        groups=_groups(connection, utc_now(), period, chosen.get("class")),
        classes=classes,
        class_=chosen.get("class", ""),
        period=key,
        periods=PERIODS,
    )


def _choice(request: Request, known: Sequence[str]) -> dict[str, str]:
    given = {key: value.strip() for key, value in request.query_params.items() if value.strip()}
    if unknown := given.keys() - set(known):
        raise FilterError(f"There is no filter {min(unknown)!r}: use {words.listed(known)}.")
    return given


def _period(chosen: Mapping[str, str]) -> tuple[str, timedelta]:
    key = chosen.get("period", "24h")
    if key not in PERIODS:
        raise FilterError(f"{key!r} is no period: use one of {', '.join(PERIODS)}.")
    return key, PERIODS[key][0]


@router.get("/errors/{group}")
def error(
    request: Request, its: Its, viewer: Admitted, connection: Connected, group: str
) -> Response:
    wanted = Filter.parse({"error": group})
    chosen = _choice(request, ("period",))
    key, period = _period(chosen)
    now = utc_now()
    latest = queries.latest_of_group(connection, group)
    if latest is None:
        raise HTTPException(HTTPStatus.NOT_FOUND, "There is no such error group here.")
    shape = statistics.span(now, period, 60)
    buckets = [
        {"bucket_at": at, "attempts": attempts, "failed": failed}
        for at, attempts, failed in queries.error_buckets(connection, [group], shape.begin)[group]
    ]
    attempts = shape.series(buckets, statistics.total("attempts"))
    failed = shape.series(buckets, statistics.total("failed"))
    rows = queries.page(connection, wanted, now)[:10]
    return _page(
        request,
        its,
        viewer,
        connection,
        "error.html",
        group=group,
        latest=latest,
        first_seen=queries.first_seen(connection, [group]).get(group),
        classes=queries.group_classes(connection, group, now - PERIODS["30d"][0]),
        sums=(int(sum(attempts)), int(sum(failed))),
        chart=charts.over_time(
            shape.begin,
            shape.step,
            [
                Series("Failed attempts", "t-failed", "bar", attempts),
                Series("Failed jobs", "f-failed", "bar", failed),
            ],
            "Failures of this group over time",
        ),
        lines=[view.line(row) for row in rows],
        wanted=wanted,
        period=key,
        periods=PERIODS,
        log=queries.log_tail(connection, latest["uid"], latest["run"], latest["attempt"]),
    )


# Analytics.


class _OfClass(NamedTuple):
    name: str
    row: Mapping[str, Any]
    before: Mapping[str, Any] | None
    percentiles: Mapping[str, float | None]
    percentiles_before: Mapping[str, float | None]
    spark: charts.Chart


@router.get("/analytics")
def analytics(request: Request, its: Its, viewer: Admitted, connection: Connected) -> Response:
    chosen = _choice(request, ("class", "priority", "period"))
    key, period = _period(chosen)
    priority = Filter.parse({"priority": chosen.get("priority", "")}).priority
    now = utc_now()
    shape = statistics.span(now, period)
    rows = queries.rollups(connection, shape.begin, shape.end, ["class"], priority=priority)
    earlier = shape.before
    before = {
        row["class"]: row
        for row in queries.rollups(
            connection, earlier.begin, earlier.end, ["class"], priority=priority
        )
    }
    by_time = queries.rollups(
        connection, shape.begin, shape.end, ["class", "bucket_at"], priority=priority
    )
    classes = []
    for row in sorted(rows, key=lambda row: -int(row["attempts"])):
        name, was = row["class"], before.get(row["class"])
        own = [each for each in by_time if each["class"] == name]
        classes.append(
            _OfClass(
                name,
                row,
                was,
                _percentiles(row),
                _percentiles(was) if was else {},
                charts.spark(
                    shape.series(own, statistics.total("attempts")), "running", "Attempts over time"
                ),
            )
        )
    class_ = chosen.get("class") or (classes[0].name if classes else None)
    of_class = [row for row in by_time if row["class"] == class_]
    return _page(
        request,
        its,
        viewer,
        connection,
        "analytics.html",
        classes=classes,
        class_=class_,
        chosen=next((each for each in classes if each.name == class_), None),
        charts=_class_charts(shape, of_class) if of_class else {},
        priority=priority and Priority(priority).word,
        period=key,
        periods=PERIODS,
        step=words.duration(shape.step.total_seconds()),
    )


def _class_charts(
    shape: statistics.Span, rows: Sequence[Mapping[str, Any]]
) -> dict[str, charts.Chart]:
    def chart(label: str, *series: tuple[str, str, str, Any], **more: Any) -> charts.Chart:
        drawn = [
            Series(name, style, kind, shape.series(rows, value))
            for name, style, kind, value in series
        ]
        return charts.over_time(
            shape.begin, shape.step, drawn, label, width=400, height=150, **more
        )

    total, p = statistics.total, statistics.percentile_of
    limit = statistics.highest("memory_limit_bytes")(rows)
    return {
        "Throughput, jobs": chart(
            "Jobs that ended, over time",
            ("succeeded", "succeeded", "area", total("succeeded")),
            ("failed", "f-failed", "bar", total("failed")),
        ),
        "Failure rate of attempts": chart(
            "Share of attempts that failed, over time",
            ("failed", "t-failed", "bar", statistics.ratio("failed_attempts", "attempts")),
            unit="share",
        ),
        "Wait until it runs": chart(
            "Wait, median and 95th percentile, over time",
            ("p50", "running", "line", p(WAIT_STEPS, 0.5)),
            ("p95", "scheduled", "line", p(WAIT_STEPS, 0.95)),
            unit="seconds",
        ),
        "Run time of an attempt": chart(
            "Run time, median and 95th percentile, over time",
            ("p50", "running", "line", p(RUN_STEPS, 0.5)),
            ("p95", "scheduled", "line", p(RUN_STEPS, 0.95)),
            unit="seconds",
        ),
        "Peak memory": chart(
            "The highest peak of memory, over time, and the limit",
            ("highest", "running", "area", statistics.highest("peak_memory_bytes")),
            unit="bytes",
            limit=limit or None,
        ),
        "CPU of an attempt": chart(
            "CPU seconds of an attempt on average, over time",
            ("average", "running", "line", statistics.ratio("cpu_seconds", "attempts")),
            unit="seconds",
        ),
    }


# What is configured, and how it all is.


@router.get("/configuration")
def configuration(request: Request, its: Its, viewer: Admitted, connection: Connected) -> Response:
    found = cluster.configuration(its.client, its.operator_namespace)
    return _page(
        request,
        its,
        viewer,
        connection,
        "configuration.html",
        configuration=found,
        runtimes=cluster.runtimes_text(found),
        namespace=its.operator_namespace,
    )


@router.get("/health")
def health(request: Request, its: Its, viewer: Admitted, connection: Connected) -> Response:
    return _page(
        request,
        its,
        viewer,
        connection,
        "health.html",
        meta=queries.meta(connection),
        lease=cluster.leadership(its.client, its.operator_namespace),
        configuration=cluster.configuration(its.client, its.operator_namespace),
        tiles=tiles(queries.active(connection)),
        namespace=its.operator_namespace,
        has_actions=its.has_actions,
    )
