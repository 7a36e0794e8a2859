"""What is done to the cluster and to the operator, and what is measured meanwhile."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson
import sqlalchemy as sa
from tests import auditing, operating, watching
from tests import server as api
from tests.bench import bodies, load, processes, writes
from tests.bench.load import Burst, Client, Kind
from tests.bench.place import INSTANT, SECOND, Place

from bgjobs.kube import labels
from bgjobs.mirror.retention import OF_JOBS
from bgjobs.mirror.schema import JOBS, METADATA

MOST_KEPT = 20
"""How many BackgroundJobs may be left of a burst, for what happens to them later."""

_SECONDS_BETWEEN_SAMPLES = 1.0
_SECONDS_BETWEEN_IDLE_JOBS = 0.25
_URGENT_ONES = 5
_WITHIN_S = 120.0
_WITHIN_S_PER_JOB = 0.5
_SUCCEEDED = "status.phase=Succeeded"
_KEEP = "bench/keep"
_COUNT_ROWS = sa.text("SELECT COUNT(*) FROM jobs WHERE namespace = :namespace AND phase = :phase")


@dataclass(frozen=True)
class Measured:
    """A burst of one kind, and what every process and the API server had to do for it."""

    burst: Burst
    cpu_seconds: Mapping[str, float]
    writes: Counter[str]
    operators_writes: Counter[str]
    mirror_lag_seconds: list[float]


async def burst_of_background_jobs(
    place: Place, client: Client, prefix: str, count: int, keep: int = 0
) -> Measured:
    """Their pods end at once. All but those to keep are deleted afterwards."""
    jobs = {
        f"{prefix}-{number}": bodies.background_job(
            f"{prefix}-{number}", INSTANT, {_KEEP: "true"} if number < keep else {}
        )
        for number in range(count)
    }
    measured = await _burst(place, client, Kind(place.jobs.path, _SUCCEEDED), jobs)
    _delete_background_jobs(place)
    return measured


async def burst_of_plain_jobs(place: Place, client: Client, prefix: str, count: int) -> Measured:
    """With the same pods, by the same client."""
    names = [f"{prefix}-{number}" for number in range(count)]
    kind = Kind(watching.jobs_path(place.jobs), "status.successful=1")
    jobs = {name: bodies.plain_job(name, INSTANT) for name in names}
    measured = await _burst(place, client, kind, jobs)
    _delete_all(place, kind.path, bodies.PLAIN)
    return measured


async def _burst(place: Place, client: Client, kind: Kind, jobs: Mapping[str, bytes]) -> Measured:
    await processes.quiet(place.pids)
    writes_before = writes.counted(place.server)
    operators_before = len(auditing.writes(place.server, place.jobs.namespace))
    cpu_before = processes.cpu_seconds(place.pids)
    client_before = time.process_time()
    async with _sampled(place, "bgjobs_mirror_lag_seconds") as lags:
        burst = await load.burst(client, kind, jobs, _WITHIN_S + _WITHIN_S_PER_JOB * len(jobs))
    client_seconds = time.process_time() - client_before
    await processes.quiet(place.pids)
    cpu_after = processes.cpu_seconds(place.pids)
    operators = auditing.writes(place.server, place.jobs.namespace)
    return Measured(
        burst=burst,
        cpu_seconds={
            **{name: after - cpu_before[name] for name, after in cpu_after.items()},
            "client": client_seconds,
        },
        writes=writes.counted(place.server) - writes_before,
        operators_writes=Counter(write.what for write in operators[operators_before:]),
        mirror_lag_seconds=lags,
    )


@asynccontextmanager
async def _sampled(place: Place, metric: str) -> AsyncIterator[list[float]]:
    """The values that one of the operator's metrics takes until the block ends."""
    values = [0.0]

    async def sample() -> None:
        while True:
            values.append(await asyncio.to_thread(operating.metric, place.operator, metric))
            await asyncio.sleep(_SECONDS_BETWEEN_SAMPLES)

    task = asyncio.create_task(sample())
    try:
        yield values
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _delete_background_jobs(place: Place) -> None:
    _delete_all(place, place.jobs.path, f"!{_KEEP}")


def _delete_all(place: Place, path: str, selector: str) -> None:
    """Returns once the garbage collector has taken their pods, too."""
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    url, timed_out = f"{path}?labelSelector={selector}", 504
    while (answer := api.request(place.server, "DELETE", url, options)).status == timed_out:
        pass  # It goes on from there.
    assert answer.status == 200, answer.message
    api.wait_until(
        lambda: _pods(place) <= MOST_KEPT, lambda: f"{_pods(place)} pods are left", _WITHIN_S
    )


def _pods(place: Place) -> int:
    page = api.request(place.server, "GET", f"{watching.pods_path(place.jobs)}?limit=1").body
    return len(page["items"]) + int(page["metadata"].get("remainingItemCount", 0))


def writes_of_kept_jobs(place: Place, prefix: str, keep: int) -> Counter[str]:
    """The operator's writes for what a burst kept, once it has deleted the child Jobs."""
    names = tuple(f"{prefix}-{number}" for number in range(keep))
    children = tuple(f"{name}-" for name in names)

    def theirs() -> Counter[str]:
        return Counter(
            write.what
            for write in auditing.writes(place.server, place.jobs.namespace)
            if write.name in names or write.name.startswith(children)
        )

    api.wait_until(
        lambda: theirs()["DELETE jobs"] >= keep,
        lambda: f"the operator has not deleted all child Jobs: {theirs()}",
        _WITHIN_S,
    )
    return theirs()


async def one_by_one(
    place: Place, client: Client, prefix: str, count: int, class_: str, **spec: Any
) -> tuple[list[float], list[float]]:
    """Seconds from each request to its child Job, and to its end."""
    sent, jobs_path = {}, watching.jobs_path(place.jobs)
    async with (
        load.watching(client, jobs_path, "", _owner_name) as children,
        load.watching(client, place.jobs.path, _SUCCEEDED) as finished,
    ):
        for number in range(count):
            name = f"{prefix}-{number}"
            body = bodies.background_job(name, class_, **spec)
            sent[name] = time.monotonic()
            await load.create(client, place.jobs.path, body)
            await finished.wait([name], _WITHIN_S)
            await children.wait([name], _WITHIN_S)
            await asyncio.sleep(_SECONDS_BETWEEN_IDLE_JOBS)
    return (
        [children.at[name] - at for name, at in sent.items()],
        [finished.at[name] - at for name, at in sent.items()],
    )


def _owner_name(child: Any) -> str:
    return str(child["metadata"]["annotations"][labels.NAME])


async def urgent(place: Place, client: Client, low: int) -> tuple[list[float], list[float]]:
    """Seconds that urgent jobs, one after the other, take alone, and behind so many Low ones."""
    take = partial(one_by_one, place, client, class_=SECOND, priority="High")
    await processes.quiet(place.pids)
    _, alone = await take("alone", _URGENT_ONES)
    await processes.quiet(place.pids)
    crowd = {
        f"low-{number}": bodies.background_job(f"low-{number}", SECOND, priority="Low")
        for number in range(low)
    }
    await load.for_each(crowd, lambda _, body: load.create(client, place.jobs.path, body))
    _, behind = await take("urgent", _URGENT_ONES)
    operating.kill(place.operator)  # or it would go on to start what is being deleted
    _delete_background_jobs(place)
    operating.start(place.operator)
    return alone, behind


@dataclass(frozen=True)
class Stored:
    """How the operator bears many BackgroundJobs that need nothing of it."""

    active_rss_mb: float
    finished_rss_mb: float
    restart_seconds: float
    caught_up_jobs_per_second: float
    caught_up_rows_per_second: float


async def stored(place: Place, client: Client, count: int) -> Stored:
    """Many that wait, then the same as finished ones, over restarts of the operator."""
    await processes.quiet(place.pids)
    jobs = watching.new_namespace(place.server, "stored")
    await one_by_one(place, client, "sample", 1, INSTANT)
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"
    waiting = {
        f"stored-{number}": bodies.background_job(f"stored-{number}", INSTANT, startAt=tomorrow)
        for number in range(count)
    }
    await load.for_each(waiting, lambda _, body: load.create(client, jobs.path, body))
    _wait_mirrored(place, jobs.namespace, "Pending", count)
    active_rss_mb = processes.rss_mb(place.pids["operator"])

    operating.kill(place.operator)
    status = api.request(place.server, "GET", f"{place.jobs.path}/sample-0").body["status"]
    body = orjson.dumps({"status": status})
    await load.for_each(
        waiting, lambda name, _: load.patch(client, f"{jobs.path}/{name}/status", body)
    )
    began = time.monotonic()
    operating.start(place.operator)
    restart_seconds = time.monotonic() - began
    _wait_mirrored(place, jobs.namespace, "Succeeded", count)
    finished_rss_mb = processes.rss_mb(place.pids["operator"])
    jobs_per_second, rows_per_second = _caught_up_per_second(place, count)
    return Stored(
        active_rss_mb=active_rss_mb,
        finished_rss_mb=finished_rss_mb,
        restart_seconds=restart_seconds,
        caught_up_jobs_per_second=jobs_per_second,
        caught_up_rows_per_second=rows_per_second,
    )


def _caught_up_per_second(place: Place, count: int) -> tuple[float, float]:
    """Jobs and rows that a mirror without rows gets each second, from the first of them on."""

    def jobs() -> int:
        return _count_rows(place, [JOBS])

    operating.kill(place.operator)
    with place.database.connect() as connection:
        for table in METADATA.tables.values():
            connection.execute(table.delete())
    operating.start(place.operator)
    api.wait_until(lambda: jobs() > 0, lambda: "the mirror stays empty", _WITHIN_S)
    first, began = jobs(), time.monotonic()
    api.wait_until(lambda: jobs() >= count, lambda: "the mirror does not catch up", _WITHIN_S)
    per_second = (count - first) / (time.monotonic() - began)
    return per_second, per_second * _count_rows(place, OF_JOBS) / jobs()


def _count_rows(place: Place, tables: Iterable[sa.Table]) -> int:
    counts = (sa.select(sa.func.count()).select_from(table) for table in tables)
    with place.database.connect() as connection:
        return sum(connection.scalar(count) or 0 for count in counts)


def _wait_mirrored(place: Place, namespace: str, phase: str, count: int) -> None:
    def rows() -> int:
        with place.database.connect() as connection:
            query = {"namespace": namespace, "phase": phase}
            return int(connection.execute(_COUNT_ROWS, query).scalar_one())

    api.wait_until(
        lambda: rows() >= count,
        lambda: f"the mirror has {rows()} of {count} rows in phase {phase}",
        _WITHIN_S + _WITHIN_S_PER_JOB * count,
    )
