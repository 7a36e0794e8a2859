"""The kopf shell: what is seen goes into the views, its key into the work queue. No logic."""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import Any

import kopf

from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import GROUP, PLURAL, VERSION, parse
from bgjobs.kube.views import Doubt, Views

logger = logging.getLogger(__name__)


def register(
    registry: kopf.OperatorRegistry,
    views: Views,
    queue: WorkQueue,
    now: Callable[[], datetime],
) -> None:
    """Registers the handler of BackgroundJobs.

    An object that no longer fits its watch's selector arrives as DELETED: the
    reconciler looks whether it is really gone.
    """

    @kopf.on.event(GROUP, VERSION, PLURAL, registry=registry)
    async def background_job(event: kopf.RawEvent, **_: Any) -> None:
        background_job_seen(views, queue, event["type"], dict(event["object"]), now())


def background_job_seen(
    views: Views, queue: WorkQueue, type: str | None, raw: dict[str, Any], now: datetime
) -> None:
    views.heard(now)
    uid = raw["metadata"]["uid"]
    if type == "DELETED":
        views.doubt(uid, Doubt.JOB)
        queue.add(uid)
        return
    try:
        job = parse(raw)
    except ValueError as error:
        name = f"{raw['metadata']['namespace']}/{raw['metadata']['name']}"
        logger.error(
            "BackgroundJob %s is ignored, it breaks the schema: mend it or delete it (%s)",
            name,
            error,
        )
        return
    if views.put_job(job):
        queue.add(uid)
