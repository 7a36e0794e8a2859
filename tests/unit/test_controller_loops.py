"""What fails is told of in words, and tried again where it is to be."""

import pytest

from bgjobs.controller.loops import try_once, until_done
from bgjobs.kube.api import ApiError


async def test_the_log_says_what_failed_and_why(caplog: pytest.LogCaptureFixture) -> None:
    async def look() -> None:
        raise TimeoutError

    assert not await try_once("the look at slow starts", look)
    assert caplog.messages == ["the look at slow starts failed and is tried again: TimeoutError"]


async def test_a_fault_of_the_operator_is_not_hidden() -> None:
    async def look() -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await try_once("the look", look)


async def test_it_is_tried_until_it_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bgjobs.controller.loops._SECONDS_BETWEEN_TRIES", 0)
    answers = [ApiError(500, "", "busy"), ApiError(429, "", "busy"), None]

    async def look() -> None:
        if (error := answers.pop(0)) is not None:
            raise error

    await until_done("the look", look)
    assert answers == []
