"""Posting Events: what cannot be posted, or can wait, holds up no other one."""

import asyncio
from typing import Any

import pytest
from tests.unit.builders import NOW, background_job

from bgjobs.controller.events import EventPoster
from bgjobs.domain.decision import Event, EventType
from bgjobs.kube.api import Api, ApiError

_ENDING = "unable to create new content in namespace shop because it is being terminated"


class FakeApi(Api):
    """Takes Events, but not the first ones where refusals are given."""

    def __init__(self, *refusals: Exception) -> None:
        self.refusals = [*refusals]
        self.posted: asyncio.Queue[str] = asyncio.Queue()

    async def create(self, path: str, body: Any) -> Any:
        if self.refusals:
            raise self.refusals.pop()
        self.posted.put_nowait(f"{path} {body['reason']}")


@pytest.mark.parametrize(
    ("refusal", "told"),
    [
        pytest.param(ApiError(403, "Forbidden", "no right"), True, id="without the right"),
        pytest.param(TimeoutError(), True, id="without an answer"),
        pytest.param(ApiError(403, "Forbidden", _ENDING), False, id="in a namespace that ends"),
        pytest.param(ApiError(404, "NotFound", "no shop"), False, id="in one that is gone"),
    ],
)
async def test_an_event_that_is_not_posted_is_told_of_if_it_could_have_been(
    refusal: Exception, told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    api = FakeApi(refusal)
    poster = EventPoster(api, is_busy=lambda: False)
    for word in ("Failed", "Succeeded"):
        poster.post(background_job(), Event(type=EventType.NORMAL, reason=word, message=""), NOW)
    posting = asyncio.create_task(poster.run())
    async with asyncio.timeout(5):
        assert await api.posted.get() == "/api/v1/namespaces/shop/events Succeeded"
    posting.cancel()
    assert ("an Event was not posted" in caplog.text) == told


async def test_warnings_go_first_while_many_jobs_start() -> None:
    api = FakeApi()
    poster = EventPoster(api, is_busy=lambda: True)
    events = ((EventType.NORMAL, "Succeeded"), (EventType.WARNING, "Failed"))
    for type_, word in events:
        poster.post(background_job(), Event(type=type_, reason=word, message=""), NOW)
    posting = asyncio.create_task(poster.run())
    async with asyncio.timeout(5):
        posted = [(await api.posted.get()).split()[-1] for _ in events]
    posting.cancel()
    assert posted == ["Failed", "Succeeded"]
