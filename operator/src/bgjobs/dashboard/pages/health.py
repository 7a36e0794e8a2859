"""How the operator and the mirror are."""

from fastapi import APIRouter, Response

from bgjobs.dashboard import cluster, queries
from bgjobs.dashboard.context import Visited
from bgjobs.dashboard.tiles import tiles

router = APIRouter()


@router.get("/health")
def health(visit: Visited) -> Response:
    return visit.page(
        "health.html",
        meta=queries.meta(visit.connection),
        lease=cluster.leadership(visit.its.client, visit.its.operator_namespace),
        configuration=cluster.configuration(visit.its.client, visit.its.operator_namespace),
        tiles=tiles(queries.active(visit.connection)),
        namespace=visit.its.operator_namespace,
        has_actions=visit.its.has_actions,
    )
