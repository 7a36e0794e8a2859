"""How the operator and the mirror are."""

from fastapi import APIRouter, Response

from bgjobs.dashboard import queries
from bgjobs.dashboard.context import Configured, Leadership, Visited
from bgjobs.dashboard.tiles import tiles

router = APIRouter()


@router.get("/health")
def health(lease: Leadership, found: Configured, visit: Visited) -> Response:
    return visit.page(
        "health.html",
        meta=queries.meta(visit.connection),
        lease=lease,
        configuration=found,
        tiles=tiles(queries.active(visit.connection)),
        namespace=visit.its.operator_namespace,
        has_actions=visit.its.has_actions,
    )
