"""The watch of pods: what it tells is seen, and what it could not tell is noticed."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.unit.builders import (
    RUNNING_STATE,
    UID,
    Time,
    background_job,
    pod,
    pod_json,
    running,
    terminated,
)

from bgjobs.controller.pods import PodWatch
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.observation import PodPhase
from bgjobs.kube.api import Api, ApiError
from bgjobs.kube.views import Views

_PODS = "/api/v1/pods"


class Scene(Api):
    """An API server whose lists and watches the test writes down beforehand."""

    def __init__(self) -> None:
        self.views = Views()
        self.views.put_job(background_job())
        self.queue = WorkQueue(Time().now)
        self.lists: list[tuple[str, list[dict[str, Any]]]] = []
        self.watches: list[list[dict[str, Any] | Exception]] = []
        self.since: list[str] = []
        self.over = asyncio.Event()
        self.pods = PodWatch(self, self.views, self.queue)

    async def get_list(self, path: str, **_: str) -> dict[str, Any]:
        assert path == _PODS
        return {"metadata": {"resourceVersion": self.lists[0][0]}, "items": []}

    async def every(self, path: str, **_: str) -> AsyncIterator[dict[str, Any]]:
        assert path == _PODS
        for item in self.lists.pop(0)[1]:
            yield item

    async def watch(self, path: str, **params: str) -> AsyncIterator[dict[str, Any]]:
        assert path == _PODS
        self.since.append(params["resourceVersion"])
        if not self.watches:
            self.over.set()
            await asyncio.Event().wait()
        for event in self.watches.pop(0):
            if isinstance(event, Exception):
                raise event
            yield event

    async def play(self) -> None:
        task = asyncio.create_task(self.pods.run())
        async with asyncio.timeout(5):
            await self.over.wait()
        task.cancel()
        await asyncio.wait([task])


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgjobs.controller.pods._PAUSE_SECONDS", 0)


@pytest.fixture(name="scene")
async def _scene() -> Scene:
    return Scene()


def _event(type: str, version: str, state: dict[str, Any] = RUNNING_STATE) -> dict[str, Any]:
    return {"type": type, "object": pod_json("Running", state, resource_version=version)}


async def test_what_is_there_and_what_comes_is_seen(scene: Scene) -> None:
    scene.lists = [("300", [pod_json("Running", RUNNING_STATE, resource_version="299")])]
    scene.watches = [[_event("MODIFIED", "301", terminated(exit_code=7))]]
    assert not scene.pods.has_listed
    await scene.play()
    assert scene.pods.has_listed
    seen = scene.views.pod(UID)
    assert seen is not None
    assert (seen.resource_version, seen.exit_code) == ("301", 7)
    assert len(scene.queue) == 1


async def test_a_watch_that_ends_goes_on_where_it_was(scene: Scene) -> None:
    scene.lists = [("300", [])]
    bookmark = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "350"}}}
    scene.watches = [[_event("ADDED", "301"), bookmark], [_event("MODIFIED", "360"), OSError()]]
    await scene.play()
    assert scene.since == ["300", "350", "360"]


async def test_a_version_that_is_too_old_means_a_list(scene: Scene) -> None:
    scene.lists = [("300", []), ("400", [])]
    scene.watches = [[ApiError(410, "Expired", "too old resource version")]]
    await scene.play()
    assert scene.since == ["300", "400"]


@pytest.mark.parametrize(
    ("version", "gone"),
    [
        pytest.param("299", True, id="older than the list"),
        pytest.param("301", False, id="newer than the list"),
    ],
)
async def test_a_pod_that_vanished_unseen_is_missed(scene: Scene, version: str, gone: bool) -> None:
    scene.views.put_pod(UID, running(resource_version=version))
    scene.lists = [("300", [])]
    await scene.play()
    seen = scene.views.pod(UID)
    assert seen is not None
    assert seen.gone is gone
    assert len(scene.queue) == int(gone)


async def test_a_pod_that_is_not_listed_because_it_is_pending_is_not_missed(scene: Scene) -> None:
    scene.views.put_pod(UID, pod(PodPhase.PENDING, resource_version="299"))
    scene.lists = [("300", [])]
    await scene.play()
    assert len(scene.queue) == 0
