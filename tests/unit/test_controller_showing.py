"""Hints are written one by one, the longest waiting first."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from bgjobs.controller.hints import HintQueue


class Hints(HintQueue):
    """A hint queue that remembers whom it called."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.somebody = asyncio.Event()
        self.busy = False
        super().__init__(per_second=1000, permitted=self._note, is_busy=lambda: self.busy)

    def _note(self, uid: str) -> None:
        self.called.append(uid)
        self.somebody.set()

    async def permit(self, count: int) -> list[str]:
        async with asyncio.timeout(5):
            while len(self.called) < count:
                self.somebody.clear()
                await self.somebody.wait()
        return self.called


@pytest.fixture
async def hints() -> AsyncIterator[Hints]:
    hints = Hints()
    running = asyncio.create_task(hints.run())
    yield hints
    running.cancel()
    await asyncio.wait([running])


async def test_a_hint_is_not_written_before_it_is_permitted(hints: Hints) -> None:
    assert not hints.take("a")
    assert await hints.permit(1) == ["a"]
    assert hints.take("a")


async def test_a_permission_holds_once(hints: Hints) -> None:
    hints.take("a")
    await hints.permit(1)
    assert hints.take("a")
    assert not hints.take("a")


async def test_the_longest_waiting_comes_first_though_it_asks_again(hints: Hints) -> None:
    for uid in ("a", "b", "a", "c"):
        hints.take(uid)
    assert await hints.permit(3) == ["a", "b", "c"]


async def test_a_hint_that_is_no_longer_wanted_costs_no_turn(hints: Hints) -> None:
    hints.take("a")
    hints.take("b")
    hints.forget("a")
    assert await hints.permit(1) == ["b"]


async def test_a_permission_is_forgotten_too(hints: Hints) -> None:
    hints.take("a")
    await hints.permit(1)
    hints.forget("a")
    assert not hints.take("a")


async def test_hints_make_way_while_many_jobs_start(hints: Hints) -> None:
    loop = asyncio.get_running_loop()
    hints.busy = True
    for number in range(5):
        hints.take(str(number))
    began = loop.time()
    assert await hints.permit(5) == ["0", "1", "2", "3", "4"]
    # The first pause may have begun before.
    assert loop.time() - began >= 4 * 20 / 1000
