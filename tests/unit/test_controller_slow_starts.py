"""What keeps attempts from starting is read while one has not started for long, and only then."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.builders import (
    UID,
    Time,
    background_job,
    child_job,
    failed,
    pod_json,
    running,
)

from bgjobs.controller.slow_starts import look_at_slow_starts
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import Phase, Status
from bgjobs.kube.api import Api
from bgjobs.kube.views import Views

PODS = "/api/v1/pods"
EVENTS = "/api/v1/namespaces/shop/events"


class Scene(Api):
    """One child Job that was created at the clock's start, and what the API server has."""

    def __init__(self) -> None:
        self.time = Time()
        self.objects: dict[str, list[dict[str, Any]]] = {}
        self.reads: list[str] = []
        self.views = Views()
        self.views.put_job(background_job(Status(phase=Phase.PENDING)))
        self.views.put_child(UID, child_job())
        self.queue = WorkQueue(self.time.now)
        self.busy = False

    async def every(self, path: str, **_: str) -> AsyncIterator[dict[str, Any]]:
        self.reads.append(path)
        for found in self.objects.get(path, ()):
            yield found

    async def look(self, after: float) -> None:
        self.time.pass_seconds(after)
        await look_at_slow_starts(
            self, self.views, self.queue, self.time.now, is_busy=lambda: self.busy
        )


@pytest.fixture(name="scene")
def _scene() -> Scene:
    return Scene()


async def test_nothing_is_read_of_an_attempt_that_has_just_begun(scene: Scene) -> None:
    await scene.look(after=2)
    assert scene.reads == []


async def test_nothing_is_read_once_its_pod_runs(scene: Scene) -> None:
    scene.views.put_pod(UID, running())
    await scene.look(after=60)
    assert scene.reads == []


async def test_a_pod_that_stays_pending_is_looked_at_once(scene: Scene) -> None:
    scene.objects[PODS] = [pod_json("Pending", {"waiting": {"reason": "ErrImagePull"}})]
    await scene.look(after=6)
    assert scene.reads == [PODS]
    seen = scene.views.pod(UID)
    assert seen is not None
    assert seen.waiting is not None
    assert seen.waiting.reason == "ErrImagePull"
    assert await scene.queue.get() == UID
    scene.queue.done(UID)
    await scene.look(after=3)
    assert len(scene.queue) == 0


async def test_events_are_read_where_an_attempt_gets_no_pod(scene: Scene) -> None:
    said = {"involvedObject": {"uid": child_job().uid}, "message": "exceeded quota"}
    scene.objects[EVENTS] = [said]
    await scene.look(after=3)
    assert scene.reads == [PODS, EVENTS]
    assert scene.views.failure(UID, child_job().uid) == "exceeded quota"
    assert len(scene.queue) == 1


async def test_events_are_read_where_a_retry_gets_no_pod(scene: Scene) -> None:
    scene.views.put_pod(UID, failed())
    retry = child_job(attempt=2)
    scene.views.put_child(UID, retry)
    scene.objects[EVENTS] = [{"involvedObject": {"uid": retry.uid}, "message": "exceeded quota"}]
    await scene.look(after=3)
    assert scene.views.failure(UID, retry.uid) == "exceeded quota"


@pytest.mark.parametrize(
    ("sandbox", "said"), [("False", 'secret "absent" not found'), ("True", None)]
)
async def test_events_are_read_of_a_pod_until_its_volumes_are_there(
    scene: Scene, sandbox: str, said: str | None
) -> None:
    creating = {"waiting": {"reason": "ContainerCreating"}}
    condition = {"type": "PodReadyToStartContainers", "status": sandbox}
    raw = pod_json("Pending", creating, conditions=[condition])
    about = {"uid": raw["metadata"]["uid"]}
    scene.objects[PODS] = [raw]
    scene.objects[EVENTS] = [{"involvedObject": about, "message": 'secret "absent" not found'}]
    await scene.look(after=3)
    assert scene.views.failure(UID, about["uid"]) == said


async def test_of_several_events_the_last_counts_and_is_news_once(scene: Scene) -> None:
    scene.objects[EVENTS] = [
        {"involvedObject": {"uid": child_job().uid}, "message": message}
        for message in ("exceeded quota", "violates PodSecurity")
    ]
    await scene.look(after=3)
    assert scene.views.failure(UID, child_job().uid) == "violates PodSecurity"
    scene.queue.done(await scene.queue.get())
    await scene.look(after=3)
    assert len(scene.queue) == 0


async def test_all_is_read_late_while_many_jobs_start(scene: Scene) -> None:
    scene.busy = True
    await scene.look(after=10)
    assert scene.reads == []
    await scene.look(after=1)
    assert scene.reads == [PODS, EVENTS]
