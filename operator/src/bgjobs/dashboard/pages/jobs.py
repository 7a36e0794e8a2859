"""The list of jobs."""

from collections.abc import Mapping, Sequence

from fastapi import APIRouter, Response
from fastapi.responses import RedirectResponse

from bgjobs.dashboard import lists, queries, view
from bgjobs.dashboard.context import Visit, Visited
from bgjobs.dashboard.filters import PERIODS, Filter, FilterError, utc_now
from bgjobs.dashboard.states import STATES, State

router = APIRouter()


@router.get("/jobs")
def jobs(visit: Visited) -> Response:
    query = dict(visit.request.query_params)
    columns = query.pop("columns", "")
    if columns not in ("", "all"):
        raise FilterError(f"{columns!r} are no columns: use all, or leave it out.")
    wanted = Filter.parse(query)
    now = utc_now()
    found = lists.page(visit.connection, wanted, now)
    counts = lists.counts(visit.connection, wanted, now)
    classes, namespaces = lists.choices(visit.connection)
    return visit.page(
        "jobs.html",
        wanted=wanted,
        lines=[view.line(row) for row in found.rows],
        columns=columns,
        parameters=_parameters(visit, [row["uid"] for row in found.rows]) if columns else {},
        counts={name: _counts(state, counts.by_pair) for name, state in STATES.items()},
        total=sum(counts.by_pair.values()),
        is_exact=counts.is_exact,
        older=wanted.query(before=found.older) if found.older else None,
        searched_to=found.searched_to,
        classes=classes,
        namespaces=namespaces,
        periods=PERIODS,
        group=queries.latest_of_group(visit.connection, wanted.error) if wanted.error else None,
    )


def _counts(state: State, found: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """How many there are for each of its reasons, and of all under an empty name."""
    by_reason = {
        str(reason): sum(found.get((str(phase), str(reason)), 0) for phase in state.phases)
        for reason in state.reasons
    }
    return {"": sum(by_reason.values()), **by_reason}


def _parameters(visit: Visit, uids: Sequence[str]) -> dict[str, str]:
    """Of each job, masked and cut."""
    found = lists.parameters(visit.connection, uids)
    return {uid: view.short_json(text) for uid, text in found.items()}


@router.get("/running")
def running() -> Response:
    return RedirectResponse("/jobs?state=Running")
