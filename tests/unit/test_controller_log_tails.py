"""The end of a log that goes with its pod: kept where it can be had, never in the way."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa
from tests.unit.builders import UID, failed, running

from bgjobs.controller import log_tails
from bgjobs.controller.log_tails import LogTails
from bgjobs.kube.api import Api, ApiError
from bgjobs.mirror import writer
from bgjobs.mirror.writer import AttemptKey, MirrorWriter

_PATH = "/api/v1/namespaces/shop/pods/stock-1-1-abcde/log"


class FakeApi(Api):
    """A log of these pieces; None hangs."""

    def __init__(self, *pieces: bytes | Exception | None) -> None:
        self._pieces = pieces

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        assert path == _PATH
        self.followed = params.get("follow") == "true"
        for piece in self._pieces:
            if isinstance(piece, Exception):
                raise piece
            if piece is None:
                await asyncio.Event().wait()
            else:
                yield piece


class Mirror(MirrorWriter):
    """Takes logs and writes none."""

    def __init__(self) -> None:
        super().__init__(sa.create_engine("sqlite://"))
        self.logs: dict[AttemptKey, bytes] = {}

    def log_tail(self, attempt: AttemptKey, log: bytes) -> None:
        self.logs[attempt] = log


async def tail_of(*pieces: bytes | Exception | None) -> str | None:
    tails, pod = LogTails(FakeApi(*pieces), Mirror()), running()
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
    tails, before = LogTails(FakeApi(b"", None), Mirror()), asyncio.all_tasks()
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


async def test_of_what_is_stopped_beyond_those_followed_the_log_so_far_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_tails, "_MAX_FOLLOWED", 0)
    api, mirror = FakeApi(b"", b"out\n"), Mirror()
    tails = LogTails(api, mirror)
    await tails.follow("shop", running())
    assert not api.followed
    tails.keep(UID, "shop", running(gone=True))
    assert mirror.logs == {(UID, 1, 1): b"out\n"}


async def kept_of(*pieces: bytes | Exception | None) -> dict[AttemptKey, bytes]:
    """What the mirror gets of an attempt that has ended."""
    api, mirror = FakeApi(*pieces), Mirror()
    tails = LogTails(api, mirror)
    await tails.read((UID, 1, 1), _PATH)
    assert not api.followed
    assert tails.is_kept((UID, 1, 1)) is bool(mirror.logs)
    return mirror.logs


async def test_of_an_attempt_that_has_ended_the_log_is_mirrored() -> None:
    assert await kept_of(b"", b"x" * 20_000, b"out\n") == {(UID, 1, 1): b"x" * 16_380 + b"out\n"}


async def test_of_a_log_that_breaks_off_what_there_is_is_mirrored() -> None:
    assert await kept_of(b"", b"a", ConnectionResetError()) == {(UID, 1, 1): b"a"}


async def test_a_kubelet_that_hangs_holds_up_no_other_log_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(log_tails, "_READ_WITHIN_SECONDS", 0.01)
    assert await kept_of(b"", None) == {}


class LinesApi(Api):
    """A log of these lines."""

    def __init__(self, lines: list[bytes]) -> None:
        self._lines = lines
        self.requests = 0

    async def stream(self, path: str, **params: str) -> AsyncIterator[bytes]:
        assert path == _PATH
        self.requests += 1
        yield b""
        for line in self._lines[-int(params["tailLines"]) :]:
            yield line


@pytest.mark.parametrize(
    ("lines", "want_lines", "want_requests"),
    [
        pytest.param([b"x" * 99 + b"\n"] * 1000, 163, 1, id="a few lines are enough"),
        pytest.param([b"x" * 39 + b"\n"] * 1000, 409, 2, id="short lines"),
        pytest.param([b"\n"] * 20_000, 16_384, 2, id="the shortest lines"),
        pytest.param([b"x" * 39 + b"\n"] * 300, 300, 2, id="all there is"),
        pytest.param([b"x" * 39 + b"\n"] * 100, 100, 1, id="all there is, at once"),
    ],
)
@pytest.mark.parametrize("is_followed", [True, False])
async def test_the_last_16_kib_are_kept_in_whole_lines_however_short_they_are(
    lines: list[bytes], want_lines: int, want_requests: int, is_followed: bool
) -> None:
    api, mirror = LinesApi(lines), Mirror()
    tails, pod = LogTails(api, mirror), running()
    if is_followed:
        await tails.follow("shop", pod)
        tails.keep(UID, "shop", pod)
        assert (tails.tail(pod.uid) or "").encode() == b"".join(lines[-want_lines:])
    else:
        await tails.read((UID, 1, 1), _PATH)
        assert api.requests == want_requests
    assert mirror.logs == {(UID, 1, 1): b"".join(lines[-want_lines:])}


async def test_the_rest_of_a_value_whose_name_was_cut_off_is_not_kept() -> None:
    line = b"password=" + b"x" * 1000 + b"\n"
    [kept] = (await kept_of(b"", line * 20)).values()
    assert kept == line * 16


async def test_logs_to_keep_are_read_behind_what_goes_on() -> None:
    mirror = Mirror()
    tails = LogTails(FakeApi(b"", b"out\n"), mirror)
    tails.keep(UID, "shop", failed())
    assert mirror.logs == {}
    running_on = asyncio.create_task(tails.run())
    for _ in range(20):
        await asyncio.sleep(0)
    running_on.cancel()
    assert mirror.logs == {(UID, 1, 1): b"out\n"}


async def test_a_log_that_was_followed_is_not_read_again() -> None:
    api, mirror = FakeApi(b"", b"out\n", None), Mirror()
    tails = LogTails(api, mirror)
    await tails.follow("shop", running())
    for _ in range(20):
        await asyncio.sleep(0)
    tails.keep(UID, "shop", running())
    tails.close()
    assert mirror.logs == {(UID, 1, 1): b"out\n"}


async def test_a_log_that_the_mirror_had_no_room_for_is_not_taken_for_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Or it would not be read again before its pod goes."""
    monkeypatch.setattr(writer, "_MOST_LOG_TAILS", 1)
    tails = LogTails(FakeApi(b"", b"out\n"), MirrorWriter(sa.create_engine("sqlite://")))
    first, second = (UID, 1, 1), (UID, 1, 2)
    await tails.read(first, _PATH)
    assert tails.is_kept(first)
    await tails.read(second, _PATH)
    assert not tails.is_kept(first)
    assert tails.is_kept(second)
