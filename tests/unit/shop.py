"""Jobs of an application that dispatches them where they can be imported."""

import sys
from threading import Event

from bgjobs_runner import Context, PermanentFailure, job

BEGUN, GO_ON = Event(), Event()


class NoSuchWarehouse(PermanentFailure):
    pass


@job
class SyncStock:
    halls = 3

    def handle(self, warehouse: int, context: Context, key: str = "") -> dict[str, object]:
        if warehouse < 0:
            raise PermanentFailure(f"there is no warehouse {warehouse}")
        return {"warehouse": warehouse, "attempt": context.attempt, "run": context.run, "key": key}

    async def count(self, shelves: list[int]) -> int:
        return sum(shelves)

    def leave(self) -> None:
        sys.exit(3)

    def give_up(self) -> None:
        raise NoSuchWarehouse("there is no warehouse 8")

    def open(self) -> object:
        return object()

    def name(self) -> str:
        return "\ud800"

    def _recount(self) -> None:
        """It is no job's."""

    def list_all(self) -> str:
        return "x" * 4000

    def held(self) -> None:
        """Runs from BEGUN to GO_ON."""
        BEGUN.set()
        GO_ON.wait()

    @staticmethod
    def price(item: str) -> str:
        return item


class Unmarked:
    def handle(self) -> None:
        """It does not opt in."""


@job
class SyncShop(SyncStock):
    """It defines no method itself."""
