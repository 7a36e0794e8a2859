"""What a leader reads anew, and what it deletes: what has expired or strays, and only that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from tests.server import wait_until
from tests.unit.builders import (
    NOW,
    UID,
    Time,
    background_job,
    background_job_json,
    child_job,
    pod_json,
    seconds,
)

from bgjobs.controller import resync
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.resync import Resync
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.names import child_job_name
from bgjobs.domain.resource import BackgroundJob, JobRef, Phase, Status
from bgjobs.domain.retention import Retention
from bgjobs.kube import labels, paths
from bgjobs.kube.api import Api, ApiError
from bgjobs.kube.views import Doubt, RestoredError, Views
from bgjobs.mirror import writer
from bgjobs.mirror.schema import JOBS, METADATA
from bgjobs.mirror.writer import MirrorWriter

_CURRENT = child_job_name("stock", UID, 2, 1)
_RETENTION = Retention(
    succeeded_seconds=3600,
    unsuccessful_seconds=3600,
    child_succeeded_seconds=300,
    child_unsuccessful_seconds=300,
    max_finished=2,
)
_OWNER = paths.background_job("shop", "stock")
_COLLECTIONS = {
    paths.ALL_BACKGROUND_JOBS: "BackgroundJob",
    paths.ALL_JOBS: "Job",
    paths.ALL_PODS: "Pod",
    paths.pods("shop"): "Pod",
}


class FakeApi(Api):
    """Objects by path; what is got and deleted is noted.

    Deletions of `changed` conflict, those of `kept` are refused.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {}
        self.changed: set[str] = set()
        self.kept: dict[str, int] = {}
        """Path -> the status of the refusal."""
        self.got: list[str] = []
        self.deleted: list[str] = []
        self.streamed: list[str] = []
        self.meanwhile: Callable[[], object] = lambda: None
        """What goes on while a sweep begins its list."""
        self.breaks_off = False
        """Whether a list ends in the middle of nowhere."""

    async def get(self, path: str) -> Any:
        self.got.append(path)
        return self.objects.get(path)

    async def get_list(self, path: str, **params: str) -> Any:
        assert (path, params) == (paths.ALL_BACKGROUND_JOBS, {"limit": "1"})
        self.meanwhile()
        return {"metadata": {"resourceVersion": "1000"}}

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        assert (params["tailLines"], self.deleted) == ("200", [])
        self.streamed.append(path)
        yield b"the log"

    async def every(self, path: str, **selectors: str) -> AsyncIterator[Any]:
        for found in self.objects.values():
            succeeded = found.get("status", {}).get("phase") == "Succeeded"
            if found["kind"] == _COLLECTIONS[path] and not (
                succeeded and selectors == {"fieldSelector": paths.UNSUCCEEDED}
            ):
                yield found
        if self.breaks_off:
            raise ApiError(410, "Expired", "the continue token is too old")

    async def delete(self, path: str, options: Any) -> None:
        if path in self.changed:
            raise ApiError(409, "Conflict", path)
        if path in self.kept:
            raise ApiError(self.kept[path], "", "keep what is audited")
        metadata = self.objects[path]["metadata"]
        assert options["preconditions"] == {
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
        }
        self.deleted.append(path.rpartition("/")[2])


def child(name: str, run: int, ended: datetime | None, owner: str = UID) -> dict[str, Any]:
    """A child Job made an hour ago."""
    condition = {"type": "Complete", "status": "True"}
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
                {**condition, "lastTransitionTime": f"{ended:%Y-%m-%dT%H:%M:%SZ}"},
            ]
            if ended
            else []
        },
    }


class Scene:
    """A BackgroundJob in its run 2, which no watch shows since it has succeeded."""

    def __init__(self, engine: sa.Engine, log_tails_of_all: bool = False) -> None:
        self.api = FakeApi()
        self.views = Views()
        self.time = Time()
        self.queue = WorkQueue(self.time.now)
        self.mirror = MirrorWriter(engine)
        logs = LogTails(self.api, self.mirror)
        self.resync = Resync(
            self.api,
            self.views,
            self.queue,
            self.mirror,
            logs,
            log_tails_of_all,
            _RETENTION,
            self.time.now,
        )
        self.put_owner("Succeeded")

    def put_owner(self, phase: str, **status: Any) -> None:
        owner = {"kind": "BackgroundJob", **background_job_json()}
        owner["status"] = {"phase": phase, "run": 2, **status}
        self.api.objects[_OWNER] = owner

    def put_finished(self, name: str, when: datetime) -> None:
        finished = {"kind": "BackgroundJob", **background_job_json(name, f"uid-{name}")}
        finished["status"] = {"phase": "Failed", "completionTime": f"{when:%Y-%m-%dT%H:%M:%SZ}"}
        self.api.objects[paths.background_job("shop", name)] = finished

    def put(self, *children: dict[str, Any]) -> None:
        for each in children:
            self.api.objects[paths.job("shop", each["metadata"]["name"])] = each

    async def deletions(self, recorded_for: float = 60) -> list[str]:
        """The names of the child Jobs that are deleted so many seconds after a first look."""
        await self.resync.child_jobs()
        self.time.pass_seconds(recorded_for)
        await self.resync.child_jobs()
        await self.resync.deletions()
        return self.api.deleted

    async def order(self) -> list[str]:
        """The keys in the order in which workers would take them."""
        return [await self.queue.get() for _ in range(len(self.queue))]


@pytest.fixture
def engine(tmp_path: Path) -> sa.Engine:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'mirror.sqlite'}")
    METADATA.create_all(engine)
    return engine


@pytest.fixture
def scene(engine: sa.Engine) -> Scene:
    return Scene(engine)


_LONG_AGO = NOW - seconds(301)


@pytest.mark.parametrize(
    ("child_job", "deleted"),
    [
        pytest.param(child("old", 1, _LONG_AGO), ["old"], id="recorded, its time over"),
        pytest.param(child("young", 1, NOW), [], id="recorded, its time not over"),
        pytest.param(child("current", 2, _LONG_AGO), [], id="its outcome is not recorded yet"),
        pytest.param(child("orphan", 1, _LONG_AGO, owner="other"), [], id="another's"),
        pytest.param(child("astray", 1, None), ["astray"], id="it goes on past its end"),
    ],
)
async def test_a_child_job_goes_once_recorded_and_its_time_over(
    scene: Scene, child_job: dict[str, Any], deleted: list[str]
) -> None:
    scene.put(child_job)
    assert await scene.deletions() == deleted


@pytest.mark.parametrize(
    ("condition", "of_all", "read"),
    [
        pytest.param("Failed", False, True, id="failed, its log not kept by a process that died"),
        pytest.param("Complete", False, False, id="succeeded: nobody asked for it"),
        pytest.param("Complete", True, True, id="succeeded: all are asked for"),
    ],
)
async def test_a_log_is_kept_at_the_latest_before_it_goes(
    engine: sa.Engine, condition: str, of_all: bool, read: bool
) -> None:
    scene = Scene(engine, of_all)
    old = child("old", 1, NOW - seconds(7200))
    old["status"]["conditions"][0]["type"] = condition
    scene.put(old)
    scene.api.objects["pod"] = {"kind": "Pod", **pod_json(run=1, owner_uid="uid-old")}
    assert await scene.deletions() == ["old"]
    log = ["/api/v1/namespaces/shop/pods/stock-1-1-abcde/log"]
    assert scene.api.streamed == (log if read else [])


async def test_its_name_stays_taken_for_a_while_after_its_outcome_is_recorded(
    scene: Scene,
) -> None:
    scene.put(child("old", 1, _LONG_AGO))
    assert await scene.deletions(recorded_for=59) == []


async def test_one_that_has_changed_holds_up_no_other(scene: Scene) -> None:
    scene.put(child("first", 1, _LONG_AGO), child("second", 1, _LONG_AGO))
    scene.api.changed = {paths.job("shop", "second")}
    assert await scene.deletions() == ["first"]


async def test_those_that_must_not_be_deleted_hold_up_no_other_and_are_told_of_once(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    scene.put(*(child(name, 1, _LONG_AGO) for name in ("first", "second", "third")))
    scene.api.kept = {paths.job("shop", "third"): 403, paths.job("shop", "second"): 422}
    assert await scene.deletions() == ["first"]
    (said,) = caplog.messages
    assert "refuses to delete: 2." in said
    assert f"{paths.job('shop', 'third')}: 403 : keep what is audited" in said


async def test_deletions_end_where_the_api_server_is_not_well(scene: Scene) -> None:
    scene.put(child("old", 1, _LONG_AGO))
    scene.api.kept = {paths.job("shop", "old"): 503}
    with pytest.raises(ApiError):
        await scene.deletions()


async def test_the_background_job_of_a_young_child_job_is_not_read(scene: Scene) -> None:
    scene.put(child("young", 1, NOW))
    await scene.deletions()
    assert scene.api.got == []


async def test_what_is_under_way_is_not_asked_about(scene: Scene) -> None:
    scene.views.put_job(background_job(Status(run=2)))
    scene.put(child(_CURRENT, 2, None))
    await scene.deletions()
    assert scene.api.got == []


async def test_whether_it_may_go_is_asked_of_its_job_as_it_is_now(scene: Scene) -> None:
    scene.views.put_job(background_job(Status(phase=Phase.FAILED, run=2)))
    scene.put_owner("Running")
    scene.put(child(_CURRENT, 2, None))
    assert await scene.deletions() == []
    assert scene.api.got == [_OWNER]


async def test_a_job_without_our_annotations_is_let_be(scene: Scene) -> None:
    stranger = child("stranger", 1, _LONG_AGO)
    del stranger["metadata"]["annotations"]
    scene.put(stranger)
    assert await scene.deletions() == []


@pytest.mark.parametrize("forged", ["?watch=true", "..", "../../namespaces/shop", "", "Stock"])
async def test_a_name_that_no_object_can_have_is_not_asked_for(scene: Scene, forged: str) -> None:
    stranger = child("stranger", 1, _LONG_AGO)
    stranger["metadata"]["annotations"][labels.NAME] = forged
    scene.put(stranger)
    assert await scene.deletions() == []
    assert scene.api.got == []


async def test_of_jobs_that_nothing_watches_no_child_job_is_kept(scene: Scene) -> None:
    scene.put(child("young", 1, NOW))
    await scene.resync.child_jobs()
    assert scene.views.child(UID) is None
    assert len(scene.queue) == 0


async def test_a_new_leader_sees_what_there_is_and_deletes_nothing(scene: Scene) -> None:
    scene.put_owner("Running")
    scene.put(child("old", 1, _LONG_AGO), child(_CURRENT, 2, None))
    scene.api.objects["pod"] = {"kind": "Pod", **pod_json(run=2, owner_uid=f"uid-{_CURRENT}")}
    await scene.resync.catch_up()
    await scene.resync.deletions()
    job, child_now, pod = scene.views.job(UID), scene.views.child(UID), scene.views.pod(UID)
    assert job is not None
    assert job.status.phase is Phase.RUNNING
    assert child_now is not None
    assert child_now.name == _CURRENT
    assert pod is not None
    assert pod.run == 2
    assert scene.views.is_trusted(background_job(created=_LONG_AGO), NOW)
    assert scene.api.deleted == []


async def test_a_job_that_only_bears_our_labels_is_not_taken_for_a_child(scene: Scene) -> None:
    scene.put_owner("Running")
    scene.put(child("strange", 2, None))
    await scene.resync.catch_up()
    assert scene.views.child(UID) is None


async def test_a_new_leader_doubts_what_it_saw_once_and_finds_no_more(scene: Scene) -> None:
    scene.views.put_job(background_job(Status(phase=Phase.RUNNING)))
    await scene.resync.catch_up()  # it has succeeded since
    assert scene.views.is_doubted(UID, Doubt.JOB)
    assert await scene.order() == [UID]


async def test_a_child_job_that_is_no_longer_listed_is_doubted(scene: Scene) -> None:
    reference = JobRef(name="stock-2-1", uid="job-2-1", run=2, attempt=1)
    scene.views.put_job(background_job(Status(phase=Phase.RUNNING, run=2, job_ref=reference)))
    scene.views.put_child(UID, child_job(2, created=NOW - seconds(60)))
    await scene.resync.child_jobs()
    assert scene.views.is_doubted(UID, Doubt.CHILD)


async def test_the_sweep_notices_what_vanished_without_a_watch_telling(scene: Scene) -> None:
    scene.views.put_job(background_job(uid="vanished"))
    made_since = background_job(uid="made-since", resource_version="1001")
    scene.api.meanwhile = lambda: scene.views.put_job(made_since)
    await scene.resync.background_jobs()
    assert scene.views.is_doubted("vanished", Doubt.JOB)
    assert not scene.views.is_doubted("made-since", Doubt.JOB)


async def test_the_sweep_notices_what_succeeded_without_a_watch_telling(scene: Scene) -> None:
    """Or it would stay in memory for as long as it stays in the cluster."""
    scene.views.put_job(background_job(Status(phase=Phase.SUCCEEDED), resource_version="7"))
    await scene.resync.background_jobs()
    assert scene.views.is_doubted(UID, Doubt.JOB)
    assert await scene.order() == [UID]


@pytest.mark.parametrize(
    "known",
    [
        pytest.param(background_job(uid="lost", resource_version="1001"), id="newer than the list"),
        pytest.param(background_job(resource_version="8"), id="newer than what is listed"),
    ],
)
async def test_the_sweep_notices_a_restored_api_server_also_without_a_mirror(
    known: BackgroundJob, scene: Scene, engine: sa.Engine
) -> None:
    METADATA.drop_all(engine)
    scene.views.put_job(known)
    with pytest.raises(RestoredError):
        await scene.resync.background_jobs()


async def test_who_becomes_the_leader_notices_a_restored_api_server(scene: Scene) -> None:
    scene.put_owner("Pending")
    scene.views.put_job(background_job(resource_version="8"))
    with pytest.raises(RestoredError):
        await scene.resync.catch_up()


@pytest.mark.parametrize(
    ("retries_asked_for", "deleted"),
    [
        pytest.param(0, ["oldest"], id="the oldest goes"),
        pytest.param(1, [], id="what is to run again has not finished"),
    ],
)
async def test_too_many_finished_ones(
    scene: Scene, retries_asked_for: int, deleted: list[str]
) -> None:
    for minute, name in enumerate(("oldest", "older", "stock")):
        finished = background_job_json(name, f"uid-{name}")
        at = f"2030-01-31T11:{30 + minute}:00Z"
        finished["status"] |= {"phase": "Failed", "completionTime": at}
        scene.api.objects[paths.background_job("shop", name)] = {"kind": "BackgroundJob"} | finished
    oldest = scene.api.objects[paths.background_job("shop", "oldest")]
    oldest["spec"]["retryRequests"] = retries_asked_for
    await scene.resync.background_jobs()
    assert scene.api.deleted == deleted


async def test_background_jobs_that_must_not_be_deleted_hold_up_no_other(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(5):  # of which two are kept
        scene.put_finished(f"job-{number}", NOW - seconds(100 - number))
    scene.api.kept = {paths.background_job("shop", "job-0"): 422}
    await scene.resync.background_jobs()
    assert sorted(scene.api.deleted) == ["job-1", "job-2"]
    (said,) = caplog.messages
    assert "refuses to delete: 1." in said


# The sweep and the mirror


async def test_the_sweep_brings_what_the_mirror_lacks_and_ends_what_is_gone(
    scene: Scene, engine: sa.Engine
) -> None:
    scene.mirror.put(background_job(uid="gone"), NOW)
    scene.mirror.write_oldest()
    await scene.resync.background_jobs()
    scene.mirror.write_oldest()
    assert there(engine) == {"gone": False, UID: True}


async def test_a_sweep_that_breaks_off_ends_nothing(scene: Scene, engine: sa.Engine) -> None:
    scene.mirror.put(background_job(uid="on the next page"), NOW)
    scene.mirror.write_oldest()
    scene.api.breaks_off = True
    with pytest.raises(ApiError):
        await scene.resync.background_jobs()
    scene.mirror.write_oldest()
    assert there(engine) == {"on the next page": True, UID: True}
    assert scene.mirror.needs_sweep


async def test_a_mirror_is_complete_though_a_deletion_fails_after_the_sweep(scene: Scene) -> None:
    for number in range(4):  # of which two are kept
        scene.put_finished(f"job-{number}", NOW - seconds(100 - number))
    scene.api.kept = {paths.background_job("shop", "job-0"): 500}
    scene.mirror.missed()
    with pytest.raises(ApiError):
        await scene.resync.background_jobs()
    assert not scene.mirror.needs_sweep


async def test_while_the_database_is_away_the_sweep_puts_nothing_into_memory(
    scene: Scene, engine: sa.Engine
) -> None:
    METADATA.drop_all(engine)
    with pytest.raises(SQLAlchemyError):
        await scene.resync.background_jobs()
    assert scene.mirror.pending == 0
    assert scene.mirror.needs_sweep


async def test_the_sweep_waits_for_a_mirror_that_has_much_to_write(
    scene: Scene, engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MOST_WAITING", 2)
    scene.put_finished("other", NOW)
    sweep = asyncio.create_task(scene.resync.background_jobs())
    for _ in range(2):
        await asyncio.to_thread(
            wait_until, lambda: scene.mirror.pending == 1, lambda: "nothing is put", 10
        )
        scene.mirror.write_oldest()
    await sweep
    assert [*there(engine)] == [UID, "uid-other"]


async def test_a_sweep_breaks_off_where_the_mirror_takes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_MOST_WAITING", 0)
    monkeypatch.setattr(resync, "_LOOKS_FOR_ROOM", 1)
    with pytest.raises(TimeoutError):
        await scene.resync.background_jobs()
    assert scene.mirror.needs_sweep


def there(engine: sa.Engine) -> dict[str, bool]:
    """By the mirror: each uid, and whether its BackgroundJob is in the cluster."""
    with engine.connect() as connection:
        rows = connection.execute(sa.select(JOBS.c.uid, JOBS.c.deleted_at).order_by(JOBS.c.uid))
        return {uid: deleted_at is None for uid, deleted_at in rows}
