"""Why a job does not run, asked of the cluster at this moment as the viewer may see it."""

from fastapi import APIRouter, Response

from bgjobs.cli.errors import API_ERRORS, CommandError
from bgjobs.cli.explain import explain
from bgjobs.cli.observe import observe
from bgjobs.dashboard import cluster, view
from bgjobs.dashboard.context import Visited

router = APIRouter()


@router.get("/jobs/{uid}/why/now")
def why(visit: Visited, uid: str) -> Response:
    row = visit.job(uid)
    explanation, problem = None, ""
    try:
        with visit.cluster(row["namespace"]) as seen:
            facts = observe(seen, row["name"])
        if facts.job.metadata.uid == row["uid"]:
            explanation = explain(facts)
        else:
            problem = "Another job has this name by now."
    except (CommandError, *API_ERRORS) as error:
        problem = cluster.in_words(visit.its.client, error)
    return visit.page(
        "why.html",
        line=view.line(row),
        row=row,
        explanation=explanation,
        problem=problem,
    )
