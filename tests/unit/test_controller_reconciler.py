"""The reconciler against a small API server in memory: what it reads, writes and believes."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from tests.unit.builders import (
    CLASS,
    RUNNING_STATE,
    UID,
    Time,
    background_job,
    background_job_json,
    pod_json,
    terminated,
)

from bgjobs.controller.admission import AdmissionQueue
from bgjobs.controller.configuration import ConfigurationKeeper
from bgjobs.controller.events import EventPoster
from bgjobs.controller.log_tails import LogTails
from bgjobs.controller.reconciler import Reconciler
from bgjobs.controller.showing import Showing
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.configuration import ALLOWLIST, RUNTIMES
from bgjobs.domain.decision import Event
from bgjobs.domain.observation import Pod
from bgjobs.domain.resource import BackgroundJob, JobRef, Status, parse
from bgjobs.kube import paths, reading
from bgjobs.kube.api import Api, ApiError
from bgjobs.kube.views import Doubt, RestoredError, Views
from bgjobs.mirror.writer import AttemptKey, MirrorWriter

JOBS = paths.jobs("shop")
PODS = "/api/v1/namespaces/shop/pods"
STOCK = paths.background_job("shop", "stock")
OTHER_UID = "00000000-0000-0000-0000-000000000002"


class FakeApi(Api):
    """Objects by path, with resourceVersions, preconditions and one answer that goes wrong."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._version = 1000
        self.objects: dict[str, dict[str, Any]] = {}
        self.log: list[str] = []
        self.wrong: dict[str, tuple[Exception, bool]] = {}
        """Verb -> the next such request's answer, and whether it was carried out all the same."""

    def next_version(self) -> str:
        self._version += 1
        return str(self._version)

    async def get(self, path: str) -> dict[str, Any] | None:
        self._note("GET", path)
        return copy.deepcopy(self.objects.get(path))

    async def every(self, path: str, **selectors: str) -> AsyncIterator[dict[str, Any]]:
        self._note("LIST", path)
        assert set(selectors) == {"labelSelector"}
        key, value = selectors["labelSelector"].split("=")
        for place, found in list(self.objects.items()):
            if place.startswith(f"{path}/") and found["metadata"]["labels"].get(key) == value:
                yield copy.deepcopy(found)

    async def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        lost = self._note("POST", path)
        place = f"{path}/{body['metadata']['name']}"
        if place in self.objects:
            raise ApiError(409, "AlreadyExists", f"{place} already exists")
        created = copy.deepcopy(body)
        created["metadata"] |= {
            "uid": f"uid-{self.next_version()}",
            "resourceVersion": self.next_version(),
            "creationTimestamp": f"{self._time.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        self.objects[place] = created
        return self._answer(created, lost)

    async def patch(self, path: str, operations: list[dict[str, Any]]) -> dict[str, Any]:
        lost = self._note("PATCH", path)
        test, add = operations
        place = path.removesuffix("/status")
        assert (test["op"], test["path"]) == ("replace", "/metadata/resourceVersion")
        assert (add["op"], add["path"]) == ("add", "/status")
        if place not in self.objects:
            raise ApiError(404, "NotFound", place)
        if self.objects[place]["metadata"]["resourceVersion"] != test["value"]:
            raise ApiError(409, "Conflict", place)
        self.objects[place]["status"] = copy.deepcopy(add["value"])
        self.touch(place)
        return self._answer(self.objects[place], lost)

    async def delete(self, path: str, options: dict[str, Any]) -> None:
        lost = self._note("DELETE", path)
        metadata = self.objects[path]["metadata"]
        assert options["propagationPolicy"] == "Foreground"
        wanted = {key: metadata[key] for key in ("uid", "resourceVersion")}
        if options["preconditions"] != wanted:
            raise ApiError(409, "Conflict", path)
        metadata["deletionTimestamp"] = "2030-01-31T12:00:09Z"
        self.touch(path)
        self._answer({}, lost)

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        """The log is there only while its pod runs."""
        self._note("GET", path)
        assert params["follow"] == "true"
        assert path.removesuffix("/log") in self.objects
        assert not any("deletionTimestamp" in o["metadata"] for o in self.objects.values())
        yield b""
        yield b"started, password=hunter2\n"
        yield b"cleaned up\n"

    def touch(self, path: str) -> None:
        self.objects[path]["metadata"]["resourceVersion"] = self.next_version()

    def _note(self, verb: str, path: str) -> Exception | None:
        """Raises what goes wrong before anything is done; returns what goes wrong afterwards."""
        *_, collection, last = path.split("/")
        named = last not in ("jobs", "pods", "status")
        self.log.append(f"{verb} {collection.removesuffix('s') if named else last}")
        error, done = self.wrong.pop(verb, (None, True))
        if error is not None and not done:
            raise error
        return error

    def _answer(self, found: dict[str, Any], lost: Exception | None) -> dict[str, Any]:
        if lost is not None:
            raise lost
        return copy.deepcopy(found)


class Events(EventPoster):
    def __init__(self, api: Api) -> None:
        super().__init__(api, is_busy=lambda: False)
        self.posted: list[str] = []

    def post(self, job: BackgroundJob, event: Event, now: Any) -> None:
        self.posted.append(event.reason)
        super().post(job, event, now)


class Mirror(MirrorWriter):
    """Takes states and writes none, since its thread is not started."""

    def __init__(self) -> None:
        super().__init__(sa.create_engine("sqlite://"))
        self.versions: list[str] = []
        self.gone: dict[str, datetime] = {}
        self.logs: dict[AttemptKey, bytes] = {}

    def put(self, job: BackgroundJob, now: datetime) -> None:
        self.versions.append(job.metadata.resource_version)
        super().put(job, now)

    def deleted(self, uid: str, when: datetime) -> None:
        self.gone[uid] = when

    def log_tail(self, attempt: AttemptKey, log: bytes) -> None:
        self.logs[attempt] = log


class Operator:
    """The reconciler, wired as main.py does, with a clock and watches that the test drives."""

    def __init__(self, max_concurrent: int = 50) -> None:
        self.time = Time()
        self.api = FakeApi(self.time)
        self.views = Views()
        self.queue = WorkQueue(self.time.now)
        self.events = Events(self.api)
        self.mirror = Mirror()
        self.configuration = ConfigurationKeeper(self.events, self.time.now, changed=lambda: None)
        self.configure()
        self.start(max_concurrent)

    def configure(self, runtime: str = "image: shop:1") -> None:
        meta = {"namespace": "bgjobs-system", "uid": "c"}
        self.configuration.seen(ALLOWLIST, {"metadata": meta, "data": {CLASS: "handle"}})
        self.configuration.seen(RUNTIMES, {"metadata": meta, "data": {"default": runtime}})

    def start(self, max_concurrent: int = 50) -> None:
        """Starts a reconciler that remembers nothing."""
        self.admission = AdmissionQueue(
            max_concurrent,
            60,
            timedelta(minutes=5),
            self.time.now,
            admitted=self.queue.add,
        )
        self.showing = Showing(1000, self.queue, self.time.now, self.admission.is_busy)
        self.reconciler = Reconciler(
            api=self.api,
            views=self.views,
            queue=self.queue,
            admission=self.admission,
            showing=self.showing,
            configuration=self.configuration,
            events=self.events,
            mirror=self.mirror,
            log_tails=LogTails(self.api, self.mirror),
            log_tails_of_all=False,
            now=self.time.now,
        )

    def apply(self, name: str = "stock", uid: str = UID, **spec: Any) -> None:
        """Creates or changes a BackgroundJob; its watch tells."""
        place = paths.background_job("shop", name)
        if place in self.api.objects:
            self.api.objects[place]["metadata"]["generation"] += 1
        else:
            self.api.objects[place] = background_job_json(name, uid)
        self.api.objects[place]["spec"] |= spec
        self.api.touch(place)
        self.watch(place)

    def watch(self, place: str = STOCK) -> None:
        raw = copy.deepcopy(self.api.objects[place])
        uid = raw["metadata"]["uid"]
        self.views.heard(self.time.now())
        if raw["status"]["phase"] == "Succeeded":
            self.views.doubt(uid, Doubt.JOB)
        else:
            self.views.put_job(parse(raw))
        self.queue.add(uid)

    def pod(self, phase: str, state: dict[str, Any] | None = None, **more: Any) -> None:
        """The pod of the youngest child Job in a new state; its watch tells."""
        job = self.children[-1]["metadata"]
        raw = pod_json(
            phase,
            state,
            uid=job["labels"]["bgjobs.dev/uid"],
            run=int(job["labels"]["bgjobs.dev/run"]),
            attempt=int(job["labels"]["bgjobs.dev/attempt"]),
            owner_uid=job["uid"],
            owner_name=job["name"],
            resource_version=self.api.next_version(),
            **more,
        )
        self.api.objects[f"{PODS}/{raw['metadata']['name']}"] = raw
        self.views.put_pod(raw["metadata"]["labels"]["bgjobs.dev/uid"], reading.pod(raw))
        self.queue.add(raw["metadata"]["labels"]["bgjobs.dev/uid"])

    def watch_of_pods_told_only(self, pod: Pod | None) -> None:
        """Takes back what it told after that."""
        child, job = self.views.child(UID), self.views.job(UID)
        assert child is not None
        assert job is not None
        self.views.forget(UID)
        self.views.put_job(job)
        self.views.put_child(UID, child)
        if pod is not None:
            self.views.put_pod(UID, pod)

    def job_vanishes(self) -> None:
        """The youngest child Job and its pod are gone, and no watch tells of the Job."""
        name = self.children[-1]["metadata"]["name"]
        del self.api.objects[f"{JOBS}/{name}"]
        for place in [p for p in self.api.objects if p.startswith(PODS)]:
            raw = self.api.objects.pop(place)
            pod = reading.pod(raw)
            self.views.remove_pod(raw["metadata"]["labels"]["bgjobs.dev/uid"], pod)

    @property
    def children(self) -> list[dict[str, Any]]:
        return [found for place, found in self.api.objects.items() if place.startswith(JOBS)]

    @property
    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.api.objects[STOCK]["status"]
        return status

    @property
    def shown(self) -> tuple[str, str]:
        return self.status["phase"], self.status["reason"]

    async def work(self, after: float = 0) -> None:
        """Reconciles, after some seconds, what is due, until nothing is."""
        self.time.pass_seconds(after)
        for _ in range(100):
            getting = asyncio.create_task(self.queue.get())
            await asyncio.sleep(0)
            if not getting.done():
                getting.cancel()
                await asyncio.wait([getting])
                return
            key = getting.result()
            try:
                await self.reconciler.reconcile(key)
            finally:
                self.queue.done(key)
        raise AssertionError(f"the queue never comes to rest: {self.api.log[-10:]}")

    async def hint(self) -> None:
        """Gives one job its turn to write a hint."""
        running = asyncio.create_task(self.showing.run())
        async with asyncio.timeout(5):
            key = await self.queue.get()
        running.cancel()
        await asyncio.wait([running])
        self.queue.done(key)
        self.queue.add(key)
        await self.work()

    def requests(self) -> list[str]:
        """What was asked of the API server since the last call."""
        log, self.api.log = self.api.log, []
        return log


async def test_a_quick_job_costs_one_post_and_one_patch() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    operator.pod("Succeeded", terminated(0, '{"result": 42}'))
    await operator.work()
    operator.watch()
    await operator.work(after=60)
    assert operator.requests() == ["POST jobs", "PATCH status"]
    assert operator.shown == ("Succeeded", "Succeeded")
    assert operator.status["result"] == 42
    assert operator.events.posted == ["Succeeded"]
    assert (operator.admission.running, list(operator.views)) == (0, [])


async def test_each_version_is_mirrored_once() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    operator.pod("Succeeded", terminated())
    await operator.work()
    assert len(operator.mirror.versions) == len(set(operator.mirror.versions)) == 2
    assert (
        operator.mirror.versions[-1] == (operator.api.objects[STOCK]["metadata"]["resourceVersion"])
    )


async def test_a_job_that_runs_for_longer_is_shown_running() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    assert operator.shown == ("Pending", "Queued")
    await operator.work(after=1)
    assert operator.shown == ("Running", "Running")
    assert operator.status["jobRef"]["name"] == operator.children[0]["metadata"]["name"]
    await operator.work(after=600)
    assert operator.requests() == ["POST jobs", "PATCH status"]


async def test_while_many_jobs_start_only_what_lasts_for_longer_is_shown() -> None:
    operator = Operator(max_concurrent=0)
    for number in range(40):
        operator.admission.hold(f"other-{number}", "default", starting=False)
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    await operator.work(after=9)
    assert operator.shown == ("Pending", "Queued")
    await operator.work(after=1)
    assert operator.shown == ("Running", "Running")


async def test_a_failed_attempt_is_followed_by_the_next_after_its_backoff() -> None:
    operator = Operator()
    operator.apply(retries=1)
    await operator.work()
    operator.pod("Failed", terminated(1))
    await operator.work()
    assert operator.shown == ("Retrying", "BackingOff")
    assert operator.admission.running == 0
    await operator.work(after=15)
    assert operator.requests() == ["POST jobs", "PATCH status", "POST jobs"]
    operator.pod("Failed", terminated(1))
    await operator.work()
    assert operator.shown == ("Failed", "Error")
    assert [a["jobName"][-3:] for a in operator.status["attempts"]] == ["1-1", "1-2"]
    assert operator.events.posted == ["RetryScheduled", "Failed"]


async def test_the_limit_lets_the_next_job_start_when_one_ends() -> None:
    operator = Operator(max_concurrent=1)
    operator.apply()
    await operator.work()
    operator.apply("second", OTHER_UID)
    await operator.work()
    assert operator.requests() == ["POST jobs"]
    operator.pod("Succeeded", terminated())
    await operator.work()
    assert operator.requests() == ["PATCH status", "POST jobs"]


async def test_a_new_leader_holds_the_slots_of_what_is_under_way_before_it_looks_at_it() -> None:
    operator = Operator(max_concurrent=1)
    operator.apply()
    await operator.work()
    operator.start(max_concurrent=1)
    operator.reconciler.take_over()
    operator.apply("second", OTHER_UID)
    operator.requests()
    await operator.work()
    assert operator.requests() == []


async def test_a_new_leader_holds_the_slot_of_an_attempt_whose_child_job_is_gone() -> None:
    operator = Operator(max_concurrent=1)
    reference = JobRef(name="stock-1-1", uid="gone", run=1, attempt=1)
    operator.apply("second", OTHER_UID)
    operator.views.put_job(background_job(Status(job_ref=reference)))
    operator.reconciler.take_over()
    await operator.work()
    assert operator.requests() == []


async def test_an_answer_to_a_change_of_the_spec_needs_no_permitted_hint() -> None:
    operator = Operator()
    operator.apply(delay=3600)
    await operator.work()
    operator.apply(suspend=True)
    await operator.work()
    assert "PATCH status" not in operator.requests()
    await operator.work(after=1)
    assert operator.shown == ("Pending", "Suspended")


async def test_why_a_job_waits_is_written_when_it_lasts_and_a_hint_is_permitted() -> None:
    operator = Operator()
    operator.configure("image: shop:1\npaused: the shop moves")
    operator.apply()
    await operator.work()
    await operator.work(after=1)
    assert operator.requests() == []
    await operator.hint()
    assert operator.shown == ("Pending", "Paused")
    assert operator.requests() == ["PATCH status"]


# What goes wrong with a start.


async def test_a_child_job_of_ours_that_exists_is_adopted() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.views.forget(UID)
    operator.start()
    operator.watch()
    await operator.work()
    assert operator.requests() == ["POST jobs", "POST jobs", "GET job"]
    operator.pod("Succeeded", terminated())
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")


async def test_where_a_status_is_set_back_by_hand_the_earlier_child_job_is_adopted_once() -> None:
    operator = await running_operator()
    operator.pod("Failed", terminated(1))
    await operator.work()
    await operator.work(after=10)
    operator.pod("Running", RUNNING_STATE)
    await operator.work(after=2)
    operator.api.objects[STOCK]["status"] = {"phase": "Pending", "reason": "Queued", "run": 1}
    operator.apply()
    operator.requests()
    for _ in range(10):
        await operator.work(after=1)
    assert operator.requests().count("POST jobs") == 1
    assert operator.status["jobRef"]["attempt"] == 1


async def test_somebody_elses_job_of_the_name_is_left_alone() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    foreign = operator.children[0]
    foreign["metadata"]["ownerReferences"][0]["uid"] = OTHER_UID
    before = copy.deepcopy(foreign)
    operator.views.forget(UID)
    operator.start()
    operator.watch()
    await operator.work()
    await operator.work(after=1)
    await operator.hint()
    assert operator.shown == ("Pending", "AdoptionConflict")
    assert operator.children == [before]
    await operator.work(after=10)
    assert operator.events.posted == ["AdoptionConflict"]
    assert operator.shown == ("Pending", "AdoptionConflict")


async def test_a_job_starts_once_the_other_job_of_its_name_is_gone() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.children[0]["metadata"]["ownerReferences"] = []
    operator.views.forget(UID)
    operator.start()
    operator.watch()
    await operator.work()
    operator.api.objects.pop(f"{JOBS}/{operator.children[0]['metadata']['name']}")
    await operator.work(after=10)
    assert reading.owner_uid(operator.children[0]) == UID


async def test_a_start_whose_answer_was_lost_is_found_again() -> None:
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (TimeoutError(), True)
    with pytest.raises(TimeoutError):
        await operator.work()
    operator.queue.add(UID)
    await operator.work()
    assert len(operator.children) == 1
    operator.pod("Succeeded", terminated())
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")


@pytest.mark.parametrize("known_after", ["the pod runs", "its Job was looked for"])
async def test_a_retry_whose_answer_was_lost_is_shown_as_running(known_after: str) -> None:
    operator = await running_operator()
    operator.pod("Failed", terminated(1))
    await operator.work()
    operator.api.wrong["POST"] = (TimeoutError(), True)
    with pytest.raises(TimeoutError):
        await operator.work(after=10)
    operator.requests()
    if known_after == "its Job was looked for":
        operator.queue.add(UID)
        await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    await operator.work(after=1)
    assert operator.shown == ("Running", "Running")
    assert operator.requests() == ["GET job", "PATCH status"]


async def test_a_start_that_never_arrived_is_repeated() -> None:
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (TimeoutError(), False)
    with pytest.raises(TimeoutError):
        await operator.work()
    operator.queue.add(UID)
    await operator.work()
    assert len(operator.children) == 1


async def test_a_cancel_after_a_lost_answer_stops_the_child_job() -> None:
    """Or it would run on after its BackgroundJob was Cancelled."""
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (ApiError(504, "Timeout", "the request timed out"), True)
    await operator.work()
    operator.apply(cancelled=True)
    await operator.work()
    assert operator.shown == ("Cancelling", "Cancelling")
    assert "deletionTimestamp" in operator.children[0]["metadata"]


@pytest.mark.parametrize("stop", [{"cancelled": True}, {"suspend": True}])
async def test_after_a_restart_an_attempt_that_no_view_shows_is_stopped(
    stop: dict[str, Any],
) -> None:
    """A quick child Job is in no status, and its view may be lost with the operator."""
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.views.forget(UID)
    operator.apply(**stop)
    await operator.work()
    assert "deletionTimestamp" in operator.children[0]["metadata"]


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        pytest.param(
            ApiError(403, "Forbidden", "jobs is forbidden: exceeded quota: few, used: 5"),
            "QuotaExceeded",
            "exceeded quota: few",
            id="quota",
        ),
        pytest.param(
            ApiError(422, "Invalid", "spec.template: env[0].name: Required value"),
            "ConfigurationInvalid",
            "Job of runtime default; a platform engineer mends it",
            id="a runtime that makes no valid pod",
        ),
        pytest.param(
            ApiError(403, "Forbidden", "denied by policy"),
            "ConfigurationInvalid",
            "denied by policy",
            id="a policy of the cluster",
        ),
    ],
)
async def test_a_refused_start_waits_costs_no_retry_and_is_tried_again(
    error: ApiError, reason: str, says: str
) -> None:
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (error, False)
    await operator.work()
    assert operator.admission.running == 0
    await operator.work(after=1)
    await operator.hint()
    assert operator.shown == ("Pending", reason)
    assert says in operator.status["message"]
    assert operator.children == []
    await operator.work(after=30)
    assert len(operator.children) == 1
    assert "retriesUsed" not in operator.status


async def test_a_refused_start_is_tried_again_as_soon_as_the_configuration_is_another() -> None:
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (ApiError(422, "Invalid", "metadata.labels"), False)
    await operator.work()
    operator.configure("image: shop:2")
    operator.queue.add(UID)
    await operator.work()
    assert len(operator.children) == 1


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_what_is_only_passing_holds_no_slot_and_is_tried_again(status: int) -> None:
    operator = Operator()
    operator.apply()
    operator.api.wrong["POST"] = (ApiError(status, "", "busy"), False)
    await operator.work()
    assert (operator.admission.running, operator.children) == (0, [])
    await operator.work(after=5)
    assert len(operator.children) == 1


async def test_a_fault_of_the_operator_keeps_no_slot() -> None:
    operator = Operator(max_concurrent=1)
    operator.apply()
    operator.api.wrong["POST"] = (TypeError("not to be encoded"), False)
    with pytest.raises(TypeError):
        await operator.work()
    operator.apply("other", OTHER_UID)
    await operator.work()
    assert [child["metadata"]["labels"]["bgjobs.dev/uid"] for child in operator.children] == [
        OTHER_UID
    ]


async def test_a_start_without_an_answer_keeps_its_slot() -> None:
    operator = Operator(max_concurrent=1)
    operator.apply()
    operator.api.wrong["POST"] = (TimeoutError(), True)
    with pytest.raises(TimeoutError):
        await operator.work()
    operator.apply("other", OTHER_UID)
    await operator.work()
    assert len(operator.children) == 1


async def test_a_job_of_a_namespace_that_ends_says_so_and_is_tried_every_five_minutes() -> None:
    """The namespace may hang, while ending, for as long as a finalizer is not heeded."""
    operator = Operator()
    operator.apply()
    message = "unable to create new content in namespace shop because it is being terminated"
    for _ in range(3):
        operator.api.wrong["POST"] = (ApiError(403, "Forbidden", message), False)
        await operator.work()
        assert operator.requests().count("POST jobs") == 1
        assert (list(operator.views), operator.admission.running) == ([UID], 0)
        await operator.work(after=1)
        await operator.hint()
        assert operator.shown == ("Pending", "Queued")
        assert (
            operator.status["message"] == "Namespace shop is being deleted, and this job with it."
        )
        await operator.work(after=298)
        assert "POST jobs" not in operator.requests()
        operator.time.pass_seconds(1)


async def test_after_a_silent_watch_a_start_asks_first() -> None:
    operator = Operator()
    operator.apply(delay=60, retries=0)
    await operator.work()
    operator.api.objects[STOCK]["spec"]["cancelled"] = True
    operator.api.touch(STOCK)
    await operator.work(after=60)
    assert operator.children == []
    assert operator.shown == ("Cancelled", "Cancelled")


async def test_an_unchanged_job_starts_after_it_asked() -> None:
    operator = Operator()
    operator.apply(delay=60, retries=0)
    await operator.work()
    await operator.work(after=60)
    assert operator.requests() == ["GET backgroundjob", "POST jobs"]


async def test_a_job_that_was_deleted_meanwhile_is_not_started() -> None:
    operator = Operator()
    operator.apply(delay=60, retries=0)
    await operator.work()
    del operator.api.objects[STOCK]
    await operator.work(after=60)
    assert operator.children == []
    assert operator.mirror.gone == {UID: operator.time.now()}
    assert list(operator.views) == []


async def test_old_news_of_a_deleted_job_starts_nothing() -> None:
    operator = Operator()
    operator.apply(retries=1)
    await operator.work()
    operator.pod("Failed", terminated(1))
    await operator.work()
    old = parse(copy.deepcopy(operator.api.objects[STOCK]))
    operator.api.objects.clear()
    assert await _requests_after_old_news(operator, old, after=60) == []


async def test_old_news_of_a_job_that_has_succeeded_starts_nothing() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    old = parse(copy.deepcopy(operator.api.objects[STOCK]))
    operator.pod("Succeeded", terminated(0))
    await operator.work()
    assert await _requests_after_old_news(operator, old, after=5) == []


async def _requests_after_old_news(operator: Operator, old: BackgroundJob, after: int) -> list[str]:
    """What is sent when the job has left its watch, which then tells of an old version."""
    operator.views.doubt(UID, Doubt.JOB)
    operator.queue.add(UID)
    await operator.work()
    operator.views.put_job(old)
    operator.queue.add(UID)
    operator.requests()
    await operator.work(after=after)
    return operator.requests()


# What goes wrong with a status.


async def test_a_conflict_looks_again_and_records_the_outcome_once() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.api.objects[STOCK]["metadata"]["labels"] = {"team": "stock"}
    operator.api.touch(STOCK)
    operator.pod("Succeeded", terminated())
    await operator.work()
    assert operator.requests() == ["POST jobs", "PATCH status", "GET backgroundjob", "PATCH status"]
    assert operator.shown == ("Succeeded", "Succeeded")
    assert operator.status["attemptsTotal"] == 1
    assert operator.events.posted == ["Succeeded"]


async def test_a_status_of_a_restored_api_server_is_not_tried_for_ever() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    backup = copy.deepcopy(operator.api.objects[STOCK])
    operator.apply(suspend=True)
    operator.api.objects[STOCK] = backup
    with pytest.raises(RestoredError):
        await operator.work()


async def test_a_status_whose_answer_was_lost_is_recorded_once() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Failed", terminated(1))
    operator.api.wrong["PATCH"] = (TimeoutError(), True)
    with pytest.raises(TimeoutError):
        await operator.work()
    operator.queue.add(UID)
    await operator.work()
    assert operator.status["attemptsTotal"] == 1
    assert operator.shown == ("Retrying", "BackingOff")


async def test_a_retry_request_survives_a_conflict_that_the_watch_told_of_before() -> None:
    operator = Operator()
    operator.apply(retries=0)
    await operator.work()
    operator.pod("Failed", terminated(66))
    await operator.work()
    operator.apply(retryRequests=1)
    operator.api.touch(STOCK)
    await operator.work()
    assert operator.status["run"] == 2
    assert [c["metadata"]["name"][-3:] for c in operator.children] == ["1-1", "2-1"]


async def test_a_background_job_that_is_gone_is_forgotten() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    del operator.api.objects[STOCK]
    operator.views.doubt(UID, Doubt.JOB)
    operator.queue.add(UID)
    await operator.work()
    assert operator.mirror.gone == {UID: operator.time.now()}
    assert (list(operator.views), operator.admission.running) == ([], 0)


async def test_a_look_that_fails_leaves_its_doubt() -> None:
    operator = await running_operator()
    name = operator.children[0]["metadata"]["name"]
    del operator.api.objects[f"{JOBS}/{name}"]
    del operator.api.objects[STOCK]
    for doubt in (Doubt.JOB, Doubt.CHILD):
        operator.views.doubt(UID, doubt)
        operator.api.wrong["GET"] = (ApiError(500, "", "busy"), False)
        with pytest.raises(ApiError):
            await operator.reconciler.reconcile(UID)
        assert operator.views.is_doubted(UID, doubt)
        operator.views.settle(UID, Doubt.JOB)


async def test_a_background_job_that_breaks_the_schema_is_let_be_until_it_is_mended() -> None:
    operator = await running_operator()
    operator.api.objects[STOCK]["spec"]["priority"] = "urgent"
    operator.api.touch(STOCK)
    operator.pod("Succeeded", terminated())
    operator.children[0]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    await operator.work()
    assert (operator.shown, operator.mirror.gone) == (("Running", "Running"), {})
    operator.requests()
    await operator.work(after=60)
    assert operator.requests() == []
    operator.apply(priority="High")
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")


async def test_a_job_made_again_under_its_name_is_another_one() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.api.objects[STOCK]["metadata"]["uid"] = OTHER_UID
    operator.views.doubt(UID, Doubt.JOB)
    operator.queue.add(UID)
    await operator.work()
    assert operator.mirror.gone == {UID: operator.time.now()}


async def test_what_failed_is_not_due_again_because_its_time_has_come() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Failed", terminated(1))
    operator.api.wrong["PATCH"] = (ApiError(500, "InternalError", "etcd"), False)
    with pytest.raises(ApiError):
        await operator.work(after=3600)
    operator.requests()
    await operator.work()
    assert operator.requests() == []


# Stopping.


async def running_operator(**spec: Any) -> Operator:
    """One whose job runs and is shown running."""
    operator = Operator()
    operator.apply(**spec)
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    await operator.work()
    await operator.work(after=1)
    operator.requests()
    return operator


async def test_a_deletion_that_failed_is_not_due_again_at_once() -> None:
    operator = await running_operator()
    operator.apply(cancelled=True)
    operator.api.wrong["DELETE"] = (ApiError(500, "InternalError", "etcd"), False)
    with pytest.raises(ApiError):
        await operator.work()
    operator.requests()
    await operator.work()
    assert operator.requests() == []


async def test_a_cancel_deletes_the_child_job_and_is_over_when_it_is_gone() -> None:
    operator = await running_operator()
    operator.apply(cancelled=True)
    await operator.work()
    assert operator.shown == ("Cancelling", "Cancelling")
    operator.job_vanishes()
    await operator.work(after=1)
    assert operator.shown == ("Cancelled", "Cancelled")
    [attempt] = operator.status["attempts"]
    assert attempt["outcome"] == "Cancelled"
    assert attempt["logTail"] == "started, password=[redacted]\ncleaned up"
    assert operator.mirror.logs == {(UID, 1, 1): b"started, password=hunter2\ncleaned up\n"}
    assert operator.admission.running == 0
    assert operator.requests().count("DELETE job") == 1


async def test_the_log_of_a_pod_that_somebody_else_stops_is_kept() -> None:
    """Say, by an eviction: it goes with the pod all the same."""
    operator = await running_operator(retries=0)
    pod = operator.views.pod(UID)
    assert pod is not None
    operator.views.put_pod(UID, msgspec.structs.replace(pod, told_to_end=True))
    operator.queue.add(UID)
    await operator.work()
    operator.job_vanishes()
    operator.queue.add(UID)
    await operator.work(after=1)
    assert operator.shown == ("Failed", "JobDeleted")
    assert operator.mirror.logs == {(UID, 1, 1): b"started, password=hunter2\ncleaned up\n"}


async def test_a_job_that_changed_meanwhile_is_looked_at_before_it_is_deleted() -> None:
    operator = await running_operator()
    operator.api.wrong["DELETE"] = (ApiError(409, "Conflict", "changed"), False)
    operator.apply(cancelled=True)
    await operator.work()
    assert "deletionTimestamp" in operator.children[0]["metadata"]
    assert operator.requests().count("DELETE job") == 2


async def test_the_job_of_a_restored_api_server_is_not_deleted_for_ever() -> None:
    operator = await running_operator()
    place = f"{JOBS}/{operator.children[0]['metadata']['name']}"
    known = reading.child_job(operator.children[0])
    newer = msgspec.structs.replace(known, resource_version=operator.api.next_version())
    operator.views.put_child(UID, newer)
    operator.apply(cancelled=True)
    with pytest.raises(RestoredError):
        await operator.work()
    assert "deletionTimestamp" not in operator.api.objects[place]["metadata"]


async def test_a_job_that_has_ended_is_not_deleted() -> None:
    operator = await running_operator()
    name = operator.children[0]["metadata"]["name"]
    operator.children[0]["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    operator.api.touch(f"{JOBS}/{name}")
    operator.api.objects[f"{PODS}/x"] = pod_json(
        "Succeeded",
        terminated(0, '{"result": 42}'),
        owner_uid=operator.children[0]["metadata"]["uid"],
        resource_version=operator.api.next_version(),
    )
    operator.apply(cancelled=True)
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")
    assert operator.status["result"] == 42
    assert "DELETE job" not in operator.requests()


async def test_a_resume_while_the_attempt_still_ends_costs_no_retry() -> None:
    operator = await running_operator()
    operator.apply(suspend=True)
    await operator.work()
    operator.apply(suspend=False)
    await operator.work(after=5)
    assert operator.status["reason"] == "Suspended"
    operator.job_vanishes()
    operator.queue.add(UID)
    await operator.work()
    assert operator.status["attempts"][0]["outcome"] == "Suspended"
    assert "retriesUsed" not in operator.status
    assert operator.children[0]["metadata"]["name"].endswith("-1-2")


async def test_nor_does_a_resume_where_the_deletion_was_not_answered() -> None:
    operator = await running_operator()
    operator.api.wrong["DELETE"] = (TimeoutError(), True)
    operator.apply(suspend=True)
    with pytest.raises(TimeoutError):
        await operator.work()
    operator.apply(suspend=False)
    await operator.work()
    await operator.work(after=2)
    assert operator.status["reason"] == "Suspended"
    operator.job_vanishes()
    operator.queue.add(UID)
    await operator.work()
    assert operator.status["attempts"][0]["outcome"] == "Suspended"


async def test_an_attempt_given_up_for_pending_is_not_asked_for_in_a_hot_loop() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    await operator.work(after=600)
    assert "deletionTimestamp" in operator.children[0]["metadata"]
    operator.requests()
    await operator.work(after=1)
    assert len(operator.requests()) <= 2


async def test_a_cancel_waits_in_no_hot_loop_for_the_pod_of_a_job_that_is_gone() -> None:
    operator = await running_operator()
    del operator.api.objects[f"{JOBS}/{operator.children[0]['metadata']['name']}"]
    operator.views.doubt(UID, Doubt.CHILD)
    operator.apply(cancelled=True)
    await operator.work()
    assert operator.shown == ("Cancelling", "Cancelling")
    operator.requests()
    await operator.work(after=1)
    assert operator.requests() == ["LIST pods"]


async def test_nor_for_a_pod_that_only_bears_our_labels() -> None:
    operator = Operator()
    operator.apply()
    forged = pod_json(owner_uid="evil", resource_version="999999")
    operator.views.put_pod(UID, reading.pod(forged))
    await operator.work()
    operator.apply(cancelled=True)
    await operator.work()
    assert "deletionTimestamp" in operator.children[0]["metadata"]


async def test_a_success_that_its_watch_has_not_told_beats_a_cancel() -> None:
    operator = await running_operator()
    known = operator.views.pod(UID)
    operator.pod("Succeeded", terminated())
    operator.watch_of_pods_told_only(known)
    operator.apply(cancelled=True)
    await operator.work()
    assert "deletionTimestamp" not in operator.children[0]["metadata"]
    assert operator.shown == ("Succeeded", "Succeeded")


async def test_an_attempt_that_runs_without_its_watch_having_told_is_not_given_up() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    operator.watch_of_pods_told_only(None)
    await operator.work(after=600)
    await operator.work(after=1)
    assert "deletionTimestamp" not in operator.children[0]["metadata"]
    assert operator.shown == ("Running", "Running")


# What is seen and what is not.


async def test_after_a_restart_a_child_job_that_vanished_is_known_as_deleted() -> None:
    operator = await running_operator()
    operator.job_vanishes()
    operator.views.forget(UID)
    operator.time.pass_seconds(3600)
    operator.start()
    operator.watch()
    await operator.work()
    assert operator.status["attempts"][0]["outcome"] == "JobDeleted"
    assert operator.status["attempts"][0]["reason"] == "JobDeleted"


async def test_nor_is_its_attempt_taken_for_one_that_never_started() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    await operator.work(after=1)
    await operator.work(after=1)
    assert operator.shown == ("Pending", "Starting")
    operator.job_vanishes()
    operator.views.forget(UID)
    operator.time.pass_seconds(3600)
    operator.start()
    operator.watch()
    await operator.work()
    assert operator.status["attempts"][0]["reason"] == "JobDeleted"


async def test_a_pod_that_vanished_unseen_holds_nothing_up() -> None:
    operator = await running_operator()
    operator.api.objects = {STOCK: operator.api.objects[STOCK]}
    operator.views.doubt(UID, Doubt.CHILD)
    operator.queue.add(UID)
    await operator.work()
    assert operator.status["attempts"][0]["outcome"] == "JobDeleted"


async def test_nothing_starts_while_the_pod_of_a_deleted_job_is_still_there() -> None:
    operator = await running_operator()
    del operator.api.objects[f"{JOBS}/{operator.children[0]['metadata']['name']}"]
    operator.views.doubt(UID, Doubt.CHILD)
    operator.queue.add(UID)
    await operator.work()
    await operator.work(after=60)
    assert operator.children == []
    assert operator.shown == ("Running", "Running")


async def test_nor_after_a_restart_where_no_status_told_of_the_child_job() -> None:
    operator = Operator(max_concurrent=1)
    operator.apply()
    await operator.work()
    operator.pod("Running", RUNNING_STATE)
    pod = operator.api.objects[f"{PODS}/stock-1-1-abcde"]
    operator.api.objects = {STOCK: operator.api.objects[STOCK], f"{PODS}/stock-1-1-abcde": pod}
    operator.views.forget(UID)
    operator.views.put_pod(UID, reading.pod(pod))
    operator.start(max_concurrent=1)
    operator.apply()
    operator.apply("second", OTHER_UID)
    operator.reconciler.take_over()
    await operator.work()
    await operator.work(after=2)
    assert operator.children == []
    operator.views.remove_pod(UID, reading.pod(pod))
    operator.queue.add(UID)
    await operator.work()
    assert operator.status["attempts"][0]["outcome"] == "JobDeleted"
    (other,) = operator.children
    assert other["metadata"]["name"].startswith("second-")


async def test_the_last_words_of_a_pod_are_read_though_its_watch_told_nothing() -> None:
    operator = await running_operator(retries=0)
    child = operator.children[0]
    child["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "message": "exit code 66 matching"}]
    }
    operator.api.touch(f"{JOBS}/{child['metadata']['name']}")
    operator.api.objects[f"{PODS}/x"] = pod_json(
        "Failed",
        terminated(66, '{"error": {"type": "E", "message": "no such shop"}}'),
        owner_uid=child["metadata"]["uid"],
        resource_version=operator.api.next_version(),
    )
    operator.views.doubt(UID, Doubt.CHILD)
    operator.queue.add(UID)
    await operator.work()
    assert operator.shown == ("Failed", "PermanentFailure")
    assert "E: no such shop" in operator.status["message"]


async def test_a_pod_that_only_bears_our_labels_is_not_believed() -> None:
    operator = await running_operator()
    forged = pod_json("Succeeded", terminated(), owner_uid="evil", resource_version="999999")
    operator.views.put_pod(UID, reading.pod(forged))
    operator.queue.add(UID)
    await operator.work(after=1)
    assert operator.shown == ("Running", "Running")


async def test_nor_is_it_where_it_was_seen_before_the_child_job() -> None:
    operator = await running_operator()
    operator.views.forget(UID)
    forged = pod_json("Succeeded", terminated(), owner_uid="evil", resource_version="999999")
    operator.views.put_pod(UID, reading.pod(forged))
    operator.start()
    operator.watch()
    await operator.work()
    assert "attempts" not in operator.status


async def test_a_child_job_whose_labels_were_removed_is_there_all_the_same() -> None:
    operator = await running_operator()
    child = operator.children[0]
    child["metadata"]["labels"] = {}
    child["status"] = {"conditions": [{"type": "Complete", "status": "True"}]}
    operator.api.touch(f"{JOBS}/{child['metadata']['name']}")
    operator.views.doubt(UID, Doubt.CHILD)
    operator.queue.add(UID)
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")


async def test_a_pod_whose_labels_were_changed_is_there_all_the_same() -> None:
    operator = await running_operator(retries=0)
    child, pod = operator.children[0], operator.api.objects[f"{PODS}/stock-1-1-abcde"]
    pod["metadata"]["labels"]["bgjobs.dev/run"] = "first"
    child["status"] = {
        "conditions": [{"type": "Failed", "status": "True", "message": "exit code 66 matching"}]
    }
    operator.api.touch(f"{JOBS}/{child['metadata']['name']}")
    operator.views.doubt(UID, Doubt.CHILD)
    operator.queue.add(UID)
    await operator.work()
    assert operator.shown == ("Failed", "PermanentFailure")


async def test_a_finished_job_holds_no_slot_for_a_child_job_that_is_there_all_the_same() -> None:
    """A new leader may have ended it before the old one's start was carried out."""
    operator = await running_operator()
    operator.api.objects[STOCK]["status"] = {"phase": "Cancelled", "reason": "Cancelled"}
    operator.apply()
    await operator.work()
    assert operator.admission.running == 0


async def test_a_hostile_result_is_recorded_all_the_same() -> None:
    operator = Operator()
    operator.apply()
    await operator.work()
    operator.pod("Succeeded", terminated(0, '{"result": ' + "9" * 400 + "}"))
    await operator.work()
    assert operator.shown == ("Succeeded", "Succeeded")
    assert operator.status["result"]["truncated"] is True
