"""Workers: as many at once as are set, and no key holds up the others; none on a standby."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.builders import Time, background_job, running, seconds

from bgjobs.controller.worker import Workers, stand_by
from bgjobs.controller.workqueue import URGENT, WorkQueue
from bgjobs.kube.api import ApiError
from bgjobs.kube.views import Doubt, RestoredError, Views


class Bench:
    """Two workers whose work ends when the test says so."""

    def __init__(self) -> None:
        self.time = Time()
        self.queue = WorkQueue(self.time.now)
        self.begun: list[str] = []
        self.ends: dict[str, asyncio.Future[None]] = {}

    async def reconcile(self, key: str) -> None:
        self.begun.append(key)
        self.ends[key] = asyncio.get_running_loop().create_future()
        await self.ends[key]

    async def settle(self) -> None:
        for _ in range(10):
            await asyncio.sleep(0)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    workers = Workers(bench.queue, bench.reconcile, bench.time.now, lambda key: f"shop/{key}")
    at_work = asyncio.create_task(workers.run(2))
    yield bench
    at_work.cancel()
    await asyncio.wait([at_work])


async def test_no_more_keys_are_worked_on_at_once_than_there_are_workers(bench: Bench) -> None:
    for key in "abc":
        bench.queue.add(key)
    await bench.settle()
    assert bench.begun == ["a", "b"]
    bench.ends["b"].set_result(None)
    await bench.settle()
    assert bench.begun == ["a", "b", "c"]


async def test_what_becomes_urgent_meanwhile_is_next(bench: Bench) -> None:
    for key in "abcd":
        bench.queue.add(key)
    await bench.settle()
    bench.queue.add("d", URGENT)
    bench.ends["a"].set_result(None)
    await bench.settle()
    assert bench.begun == ["a", "b", "d"]


@pytest.mark.parametrize("fault", [ApiError(500, "", "busy"), KeyError("ours")])
async def test_a_key_that_fails_is_tried_again_later(bench: Bench, fault: Exception) -> None:
    bench.queue.add("a")
    await bench.settle()
    bench.ends["a"].set_exception(fault)
    await bench.settle()
    assert bench.begun == ["a"]
    bench.time.time += seconds(0.1)
    bench.queue.add("b")  # The clock is not the event loop's: somebody has to look.
    await bench.settle()
    assert sorted(bench.begun) == ["a", "a", "b"]


async def test_a_restored_api_server_ends_the_work() -> None:
    bench = Bench()
    workers = Workers(bench.queue, bench.reconcile, bench.time.now, lambda key: f"shop/{key}")
    at_work = asyncio.create_task(workers.run(2))
    bench.queue.add("a")
    await bench.settle()
    bench.ends["a"].set_exception(RestoredError())
    with pytest.raises(ExceptionGroup) as ended:
        await at_work
    assert ended.group_contains(RestoredError)


async def test_the_log_names_the_job_and_an_error_that_says_nothing(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.queue.add("a")
    await bench.settle()
    bench.ends["a"].set_exception(TimeoutError())
    await bench.settle()
    assert caplog.messages == ["shop/a: tried again soon: TimeoutError"]


async def test_a_standby_forgets_what_is_gone_and_keeps_the_rest() -> None:
    views, queue = Views(), WorkQueue(Time().now)
    for uid in ("stays", "left"):
        views.put_job(background_job(uid=uid))
    views.doubt("left", Doubt.JOB)
    views.put_pod("never-seen", running())
    for uid in ("stays", "left", "never-seen"):
        queue.add(uid)
    task = asyncio.create_task(stand_by(queue, views))
    await asyncio.sleep(0)
    task.cancel()
    assert list(views) == ["stays"]
    assert not views.is_doubted("left", Doubt.JOB)
    assert views.pod("never-seen") is None
