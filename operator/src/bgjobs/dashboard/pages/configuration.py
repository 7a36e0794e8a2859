"""The allowlist and the runtimes as they are at this moment."""

from fastapi import APIRouter, Response

from bgjobs.dashboard import cluster
from bgjobs.dashboard.context import Visited

router = APIRouter()


@router.get("/configuration")
def configuration(visit: Visited) -> Response:
    found = cluster.configuration(visit.its.client, visit.its.operator_namespace)
    return visit.page(
        "configuration.html",
        configuration=found,
        runtimes=cluster.runtimes_text(found),
        namespace=visit.its.operator_namespace,
    )
