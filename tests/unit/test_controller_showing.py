"""What records nothing is shown once it has lasted, and hints one by one."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace
from tests.unit.builders import Time

from bgjobs.controller.showing import Showing
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import JobRef, Phase, Reason, Status

WAITING = Status(message="waits")
RUNNING = Status(
    phase=Phase.RUNNING,
    reason=Reason.RUNNING,
    job_ref=JobRef(name="stock-1-1", uid="job-1-1", run=1, attempt=1),
)


class Scene:
    """What there is to show, and a clock that the test drives."""

    def __init__(self) -> None:
        self.time = Time()
        self.queue = WorkQueue(self.time.now)
        self.busy = False
        self.showing = Showing(1000, self.queue, self.time.now, is_busy=lambda: self.busy)

    async def queued(self, count: int) -> list[str]:
        keys = []
        async with asyncio.timeout(5):
            for _ in range(count):
                keys.append(await self.queue.get())
                self.queue.done(keys[-1])
        return keys

    async def wait_for_a_turn(self, *uids: str) -> None:
        """Each of them has lasted, and asks once."""
        for uid in uids:
            assert not self.showing.may_show(uid, WAITING)
        self.time.pass_seconds(10)
        await self.queued(len(uids))
        for uid in uids:
            assert not self.showing.may_show(uid, WAITING)


@pytest.fixture(name="scene")
async def _scene() -> AsyncIterator[Scene]:
    scene = Scene()
    running = asyncio.create_task(scene.showing.run())
    yield scene
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(("busy", "after"), [(False, 1), (True, 10)], ids=["idle", "busy"])
async def test_what_an_attempt_does_is_shown_once_it_has_lasted(busy: bool, after: int) -> None:
    scene = Scene()
    scene.busy = busy
    assert not scene.showing.may_show("a", RUNNING)
    scene.time.pass_seconds(after - 0.1)
    assert len(scene.queue) == 0
    assert not scene.showing.may_show("a", RUNNING)
    scene.time.pass_seconds(0.1)
    assert await scene.queued(1) == ["a"]
    assert scene.showing.may_show("a", RUNNING)


async def test_what_changes_meanwhile_has_not_lasted() -> None:
    scene = Scene()
    scene.showing.may_show("a", WAITING)
    scene.time.pass_seconds(1)
    assert not scene.showing.may_show("a", RUNNING)
    scene.time.pass_seconds(1)
    assert scene.showing.may_show("a", RUNNING)


async def test_a_state_lasts_though_its_message_changes() -> None:
    scene = Scene()
    scene.showing.may_show("a", replace(RUNNING, message="20 pods are starting"))
    scene.time.pass_seconds(1)
    assert scene.showing.may_show("a", replace(RUNNING, message="21 pods are starting"))


async def test_an_answer_to_a_change_waits_for_no_other_hint(scene: Scene) -> None:
    scene.busy = True
    await scene.wait_for_a_turn("a", "b")
    assert not scene.showing.may_show("c", WAITING, is_answer=True)
    scene.time.pass_seconds(1)
    assert scene.showing.may_show("c", WAITING, is_answer=True)


async def test_a_hint_is_not_written_before_its_turn(scene: Scene) -> None:
    await scene.wait_for_a_turn("a")
    assert await scene.queued(1) == ["a"]
    assert scene.showing.may_show("a", WAITING)


async def test_a_turn_holds_once(scene: Scene) -> None:
    await scene.wait_for_a_turn("a")
    await scene.queued(1)
    assert scene.showing.may_show("a", WAITING)
    assert not scene.showing.may_show("a", WAITING)


async def test_the_longest_waiting_comes_first_though_it_asks_again(scene: Scene) -> None:
    await scene.wait_for_a_turn("a", "b", "c")
    scene.showing.may_show("a", WAITING)
    assert await scene.queued(3) == ["a", "b", "c"]


async def test_a_hint_that_is_no_longer_wanted_costs_no_turn(scene: Scene) -> None:
    await scene.wait_for_a_turn("a", "b")
    scene.showing.forget("a")
    assert await scene.queued(1) == ["b"]


async def test_a_turn_is_forgotten_too(scene: Scene) -> None:
    await scene.wait_for_a_turn("a")
    await scene.queued(1)
    scene.showing.forget("a")
    await scene.wait_for_a_turn("a")


async def test_hints_make_way_while_many_jobs_start(scene: Scene) -> None:
    loop = asyncio.get_running_loop()
    scene.busy = True
    await scene.wait_for_a_turn(*"abcde")
    began = loop.time()
    assert await scene.queued(5) == [*"abcde"]
    # The first pause may have begun before.
    assert loop.time() - began >= 4 * 20 / 1000
