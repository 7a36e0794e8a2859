"""A standby keeps what it sees, and forgets what is gone."""

import asyncio

from tests.unit.builders import Time, background_job, running

from bgjobs.controller.worker import stand_by
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.kube.views import Views


async def test_a_standby_forgets_what_is_gone_and_keeps_the_rest() -> None:
    views, queue = Views(), WorkQueue(Time().now)
    for uid in ("stays", "left"):
        views.put_job(background_job(uid=uid))
    views.left.add("left")
    views.put_pod("never-seen", running())
    for uid in ("stays", "left", "never-seen"):
        queue.add(uid)
    task = asyncio.create_task(stand_by(queue, views))
    await asyncio.sleep(0)
    task.cancel()
    assert list(views) == ["stays"]
    assert views.left == set()
    assert views.pod("never-seen") is None
