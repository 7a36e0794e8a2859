"""What expires is deleted, and only that."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.unit.builders import NOW, UID, background_job_json, seconds

from bgjobs.controller.resync import Resync
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.retention import Retention
from bgjobs.kube import labels, paths
from bgjobs.kube.api import Api, ApiError
from bgjobs.kube.views import Views
from bgjobs.mirror.writer import MirrorWriter

_RETENTION = Retention(
    succeeded_seconds=3600,
    unsuccessful_seconds=3600,
    child_succeeded_seconds=300,
    child_unsuccessful_seconds=300,
)


class FakeApi(Api):
    """Objects by path; deletions are noted, and those of `changed` conflict."""

    def __init__(self, objects: dict[str, Any], changed: set[str]) -> None:
        self._objects = objects
        self._changed = changed
        self.deleted: list[str] = []

    async def get(self, path: str) -> Any:
        return self._objects.get(path)

    async def every(self, path: str, **selectors: str) -> AsyncIterator[Any]:
        assert (path, selectors) == (paths.ALL_JOBS, {"labelSelector": labels.UID})
        for found in self._objects.values():
            if found["kind"] == "Job":
                yield found

    async def delete(self, path: str, options: Any) -> None:
        if path in self._changed:
            raise ApiError(409, "Conflict", path)
        metadata = self._objects[path]["metadata"]
        assert options["preconditions"] == {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        self.deleted.append(path)


def child(name: str, run: int, ended: datetime, owner: str = UID) -> dict[str, Any]:
    return {
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": f"uid-{name}",
            "resourceVersion": "7",
            "creationTimestamp": "2030-01-31T11:00:00Z",
            "labels": {labels.UID: owner, labels.RUN: str(run), labels.ATTEMPT: "1"},
            "annotations": {labels.NAME: "stock"},
            "ownerReferences": [{"uid": owner, "controller": True}],
        },
        "status": {
            "conditions": [
                {
                    "type": "Complete",
                    "status": "True",
                    "lastTransitionTime": f"{ended:%Y-%m-%dT%H:%M:%SZ}",
                }
            ]
        },
    }


async def deletions(*children: dict[str, Any], changed: str = "") -> list[str]:
    """The names of the child Jobs that one pass deletes, for a BackgroundJob in its run 2."""
    owner = {"kind": "BackgroundJob", **background_job_json()}
    owner["status"] = {"run": 2}
    owner["metadata"]["namespace"] = "shop"
    objects = {paths.background_job("shop", "stock"): owner}
    objects |= {paths.job("shop", each["metadata"]["name"]): each for each in children}
    api = FakeApi(objects, {paths.job("shop", changed)})
    mirror = MirrorWriter(sa.create_engine("sqlite://"))
    resync = Resync(
        cast(Api, api), Views(), WorkQueue(lambda: NOW), mirror, _RETENTION, lambda: NOW
    )
    await resync.expired_child_jobs()
    return [path.rpartition("/")[2] for path in api.deleted]


_LONG_AGO = NOW - seconds(301)


@pytest.mark.parametrize(
    ("child_job", "deleted"),
    [
        pytest.param(child("old", 1, _LONG_AGO), ["old"], id="recorded, its time over"),
        pytest.param(child("young", 1, NOW), [], id="recorded, its time not over"),
        pytest.param(child("current", 2, _LONG_AGO), [], id="its outcome is not recorded yet"),
        pytest.param(child("orphan", 1, _LONG_AGO, owner="other"), [], id="another's"),
    ],
)
async def test_a_child_job_goes_once_recorded_and_its_time_over(
    child_job: dict[str, Any], deleted: list[str]
) -> None:
    assert await deletions(child_job) == deleted


async def test_one_that_has_changed_holds_up_no_other() -> None:
    first, second = child("first", 1, _LONG_AGO), child("second", 1, _LONG_AGO)
    assert await deletions(first, second, changed="first") == ["second"]
