"""The end of a log that goes with its pod: kept where it can be had, never in the way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from tests.unit.builders import running

from bgjobs.controller import log_tails
from bgjobs.controller.log_tails import LogTails
from bgjobs.kube.api import Api, ApiError


class FakeApi(Api):
    """A log of these pieces; None hangs."""

    def __init__(self, *pieces: bytes | Exception | None) -> None:
        self._pieces = pieces

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        assert (path, params["follow"]) == (
            "/api/v1/namespaces/shop/pods/stock-1-1-abcde/log",
            "true",
        )
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                await asyncio.Event().wait()
            else:
                yield piece


async def tail_of(*pieces: bytes | Exception | None) -> str | None:
    tails, pod = LogTails(FakeApi(*pieces)), running()
    await tails.follow("shop", pod)
    for _ in pieces:
        await asyncio.sleep(0)
    kept = tails.tail(pod.uid)
    tails.forget(pod.uid)
    assert tails.tail(pod.uid) is None
    return kept


async def test_the_end_of_a_log_is_kept() -> None:
    assert await tail_of(b"", b"x" * 20_000, b" and out\n", None) == "x" * 16_375 + " and out\n"


async def test_a_log_that_breaks_off_is_kept_as_far_as_it_came() -> None:
    assert await tail_of(b"", b"started\n", ConnectionResetError()) == "started\n"


async def test_a_character_cut_in_two_does_no_harm() -> None:
    assert await tail_of(b"", "Grüße".encode()[:3]) == "Gr\N{REPLACEMENT CHARACTER}"


async def test_no_log_is_no_fault() -> None:
    assert await tail_of(ApiError(404, "NotFound", "no such pod")) is None


async def test_what_ends_follows_no_log_any_longer() -> None:
    """Or the operator's end would wait for a log that goes on as long as its pod runs."""
    tails, before = LogTails(FakeApi(b"", None)), asyncio.all_tasks()
    await tails.follow("shop", running())
    [following] = asyncio.all_tasks() - before
    tails.close()
    await asyncio.wait([following], timeout=5)
    assert following.cancelled()


async def test_a_kubelet_that_does_not_answer_delays_no_deletion_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_tails, "_OPENED_WITHIN_SECONDS", 0.01)
    assert await tail_of(None) is None
