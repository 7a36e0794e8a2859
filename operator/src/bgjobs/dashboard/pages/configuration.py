"""The allowlist and the runtimes as they are at this moment."""

from fastapi import APIRouter, Response

from bgjobs.dashboard import cluster
from bgjobs.dashboard.context import Configured, Visited

router = APIRouter()


@router.get("/configuration")
def configuration(found: Configured, visit: Visited) -> Response:
    return visit.page(
        "configuration.html",
        configuration=found,
        runtimes=cluster.runtimes_text(found),
        namespace=visit.its.operator_namespace,
    )
