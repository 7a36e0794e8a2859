"""An event loop whose clock jumps to the next timer as soon as nothing is left to do."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeVar

T = TypeVar("T")


class _Leap(selectors.SelectSelector):
    """Waits for no file and no time: waiting moves the clock."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("everything waits and no timer is set: nothing can happen any more")
        self.seconds += max(0.0, timeout)
        return []


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Time starts at 0 and costs nothing; what would run in a thread runs at once."""

    def __init__(self) -> None:
        self._leap = _Leap()
        super().__init__(self._leap)

    def time(self) -> float:
        return self._leap.seconds

    def run_in_executor(  # type: ignore[override]
        self, _: Any, func: Callable[..., T], *args: Any
    ) -> asyncio.Future[T]:
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(main: Callable[[VirtualTimeLoop], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine on a loop of its own, and ends what it left behind.

    Raises what a callback raised: nothing may fail unseen.
    """
    loop = VirtualTimeLoop()
    failures: list[BaseException] = []

    def note(_: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        failures.append(context.get("exception") or RuntimeError(context["message"]))

    loop.set_exception_handler(note)
    asyncio.set_event_loop(loop)
    try:
        result = loop.run_until_complete(main(loop))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left))
    finally:
        asyncio.set_event_loop(None)
        loop.close()
    for failure in failures:
        raise failure
    return result
