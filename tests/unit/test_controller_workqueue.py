"""The work queue: one worker per key, nothing lost, delayed keys in time."""

import asyncio
from datetime import datetime

from tests.unit.builders import NOW, Time, seconds

from bgjobs.controller.workqueue import NORMAL, URGENT, WorkQueue


async def taken(queue: WorkQueue) -> list[str]:
    """The keys that can be taken now, in their order; none of them is done."""
    keys = []
    while (key := await take(queue)) is not None:
        keys.append(key)
    return keys


async def take(queue: WorkQueue) -> str | None:
    """The next key, or None where a worker would have to wait."""
    getting = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    if not getting.done():
        getting.cancel()
        await asyncio.wait([getting])
        return None
    return getting.result()


async def test_keys_come_in_the_order_they_were_added() -> None:
    queue = WorkQueue(Time().now)
    for key in "cab":
        queue.add(key)
    assert await taken(queue) == ["c", "a", "b"]


async def test_urgent_keys_come_first() -> None:
    queue = WorkQueue(Time().now)
    queue.add("normal")
    queue.add("urgent", URGENT)
    assert await taken(queue) == ["urgent", "normal"]


async def test_a_key_that_waits_is_not_added_twice() -> None:
    queue = WorkQueue(Time().now)
    queue.add("a")
    queue.add("a")
    assert len(queue) == 1
    assert await taken(queue) == ["a"]


async def test_a_key_that_waits_becomes_urgent_and_never_less() -> None:
    queue = WorkQueue(Time().now)
    for key, priority in [("a", NORMAL), ("b", NORMAL), ("b", URGENT), ("b", NORMAL)]:
        queue.add(key, priority)
    assert len(queue) == 2
    assert await taken(queue) == ["b", "a"]


async def test_a_key_is_never_worked_on_twice_at_once() -> None:
    queue = WorkQueue(Time().now)
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("b")
    assert await taken(queue) == ["b"]


async def test_a_key_added_while_it_is_worked_on_is_worked_on_once_more() -> None:
    queue = WorkQueue(Time().now)
    queue.add("a")
    await queue.get()
    queue.add("a")
    queue.add("a")
    queue.done("a")
    assert await taken(queue) == ["a"]
    queue.done("a")
    assert await taken(queue) == []


async def test_it_keeps_the_most_urgent_of_what_was_asked_meanwhile() -> None:
    queue = WorkQueue(Time().now)
    queue.add("a")
    await queue.get()
    for priority in (NORMAL, URGENT, NORMAL):
        queue.add("a", priority)
    queue.add("b")
    queue.done("a")
    assert await taken(queue) == ["a", "b"]


async def test_a_delayed_key_comes_at_its_time() -> None:
    time = Time()
    queue = WorkQueue(time.now)
    queue.add_at("a", NOW + seconds(5))
    time.pass_seconds(4.999)
    assert await taken(queue) == []
    time.pass_seconds(0.001)
    assert await taken(queue) == ["a"]


async def test_delayed_keys_come_in_the_order_of_their_times() -> None:
    time = Time()
    queue = WorkQueue(time.now)
    queue.add_at("late", NOW + seconds(9))
    queue.add_at("early", NOW + seconds(5))
    time.pass_seconds(10)
    assert await taken(queue) == ["early", "late"]


async def test_the_earliest_of_several_times_holds() -> None:
    for first, second in [(5, 9), (9, 5)]:
        time = Time()
        queue = WorkQueue(time.now)
        queue.add_at("a", NOW + seconds(first))
        queue.add_at("a", NOW + seconds(second))
        time.pass_seconds(5)
        assert await taken(queue) == ["a"]
        queue.done("a")
        time.pass_seconds(100)
        assert await taken(queue) == []


async def test_a_time_can_be_asked_for_again_once_it_has_come() -> None:
    time = Time()
    queue = WorkQueue(time.now)
    queue.add_at("a", NOW + seconds(5))
    time.pass_seconds(5)
    assert await taken(queue) == ["a"]
    queue.done("a")
    queue.add_at("a", NOW + seconds(10))
    time.pass_seconds(5)
    assert await taken(queue) == ["a"]


async def test_a_key_that_comes_due_while_it_is_worked_on_follows() -> None:
    time = Time()
    queue = WorkQueue(time.now)
    queue.add("a")
    await queue.get()
    queue.add_at("a", NOW + seconds(5))
    time.pass_seconds(5)
    assert await taken(queue) == []
    queue.done("a")
    assert await taken(queue) == ["a"]


async def test_a_worker_that_waits_is_woken_by_a_key() -> None:
    queue = WorkQueue(Time().now)
    workers = [asyncio.create_task(queue.get()) for _ in range(2)]
    await asyncio.sleep(0)
    queue.add("a")
    queue.add("b")
    async with asyncio.timeout(5):
        assert {await worker for worker in workers} == {"a", "b"}


async def test_a_worker_that_waits_is_woken_when_a_key_comes_due() -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()

    def now() -> datetime:
        return NOW + seconds(loop.time() - began)

    queue = WorkQueue(now)
    queue.add_at("late", NOW + seconds(600))
    worker = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    queue.add_at("a", NOW + seconds(0.02))
    async with asyncio.timeout(5):
        assert await worker == "a"
    assert now() >= NOW + seconds(0.02)
