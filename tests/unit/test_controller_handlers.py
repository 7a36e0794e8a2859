"""What watches tell goes into the views, and its key into the queue where it is news."""

from typing import Any

import pytest
from tests.unit.builders import (
    NOW,
    RUNNING_STATE,
    UID,
    Time,
    background_job,
    background_job_json,
    pod_json,
    seconds,
    terminated,
)

from bgjobs.controller.handlers import background_job_seen
from bgjobs.controller.pods import pod_seen
from bgjobs.controller.workqueue import WorkQueue
from bgjobs.domain.resource import parse
from bgjobs.kube.views import Doubt, Views


class Seen:
    """Views and a queue, and how many keys an event adds to it."""

    def __init__(self) -> None:
        self.views = Views()
        self.queue = WorkQueue(Time().now)

    async def job(self, raw: dict[str, Any], type: str = "MODIFIED") -> int:
        background_job_seen(self.views, self.queue, type, raw, NOW)
        return await self._added()

    async def pod(self, raw: dict[str, Any], type: str = "MODIFIED") -> int:
        pod_seen(self.views, self.queue, type, raw)
        return await self._added()

    async def _added(self) -> int:
        added = len(self.queue)
        for _ in range(added):
            self.queue.done(await self.queue.get())
        return added


def _job(version: str) -> dict[str, Any]:
    raw = background_job_json()
    raw["metadata"]["resourceVersion"] = version
    return raw


async def test_a_background_job_is_looked_at_when_it_comes_changes_and_leaves() -> None:
    seen = Seen()
    assert await seen.job(_job("1"), "ADDED") == 1
    assert await seen.job(_job("2")) == 1
    assert await seen.job(_job("2"), "DELETED") == 1
    assert seen.views.is_doubted(UID, Doubt.JOB)


async def test_one_that_breaks_the_schema_is_ignored_and_the_log_says_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    seen, broken = Seen(), _job("1")
    broken["spec"]["priority"] = "urgent"
    assert await seen.job(broken) == 0
    (said,) = caplog.messages
    assert "BackgroundJob shop/stock is ignored" in said
    assert "mend it or delete it" in said


async def test_what_the_operator_has_written_itself_is_no_news() -> None:
    seen = Seen()
    seen.views.listed(NOW - seconds(29))
    seen.views.put_job(parse(_job("2")))
    assert await seen.job(_job("2")) == 0
    assert await seen.job(_job("1")) == 0
    old = background_job(created=NOW - seconds(3600))
    assert seen.views.is_trusted(old, NOW + seconds(29))


@pytest.mark.parametrize(
    ("state", "version", "news"),
    [
        pytest.param(RUNNING_STATE, "1", 0, id="the same again"),
        pytest.param(RUNNING_STATE, "2", 0, id="changed in what nobody asks for"),
        pytest.param(terminated(), "2", 1, id="changed"),
        pytest.param(terminated(), "0", 0, id="older"),
    ],
)
async def test_a_pod_is_looked_at_where_it_says_something_new(
    state: dict[str, Any], version: str, news: int
) -> None:
    seen = Seen()
    assert await seen.pod(pod_json("Running", RUNNING_STATE, resource_version="1")) == 1
    assert await seen.pod(pod_json("Running", state, resource_version=version)) == news


async def test_a_pod_is_looked_at_when_it_goes() -> None:
    seen = Seen()
    raw = pod_json("Running", RUNNING_STATE, resource_version="1")
    await seen.pod(raw)
    assert await seen.pod(raw, "DELETED") == 1
