"""What the writer makes of BackgroundJobs in a real database."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa
from tests.unit.builders import (
    CONFIG,
    NOW,
    UID,
    after,
    attempt,
    background_job,
    child_job,
    failed,
    seconds,
    see,
)

from bgjobs.domain.decide import decide
from bgjobs.domain.resource import (
    AttemptError,
    AttemptOutcome,
    BackgroundJob,
    Phase,
    Priority,
    Resources,
    Status,
)
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.retention import OF_JOBS
from bgjobs.mirror.schema import (
    ATTEMPTS,
    ERROR_ROLLUPS,
    HOURLY_ROLLUPS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    METADATA,
    ROLLUPS,
)
from bgjobs.mirror.writer import MirrorWriter


@pytest.fixture
def engine(empty: sa.Engine) -> sa.Engine:
    upgrade(empty)
    return empty


def write(engine: sa.Engine, *states: BackgroundJob) -> None:
    """Each as a batch of its own."""
    for state in states:
        writer = MirrorWriter(engine)
        writer.put(state, NOW)
        writer.write_oldest()
        assert writer.pending == 0


def read(engine: sa.Engine, table: sa.Table, *names: str) -> list[Any]:
    """These columns of all rows, in the order of the key; a single one without a tuple."""
    columns = [table.c[name] for name in names]
    with engine.connect() as connection:
        rows = [*connection.execute(sa.select(*columns).order_by(*table.primary_key))]
    return [row[0] if len(names) == 1 else tuple(row) for row in rows]


def labelled(version: int, **labels: str) -> BackgroundJob:
    job = background_job(resource_version=str(version))
    return msgspec.structs.replace(
        job, metadata=msgspec.structs.replace(job.metadata, labels=labels)
    )


def test_labels_are_those_of_the_last_state(engine: sa.Engine) -> None:
    write(engine, labelled(1, team="stock", customer="42"), labelled(2, team="Stock"))
    assert read(engine, JOB_LABELS, "name", "value") == [("team", "Stock")]
    write(engine, labelled(1, team="stock", customer="42"))
    assert read(engine, JOB_LABELS, "name", "value") == [("team", "Stock")]


def tried(version: int, *numbers: int, **status: Any) -> BackgroundJob:
    """A job that failed in these attempts."""
    attempts = tuple(attempt(number=n, finish=NOW + seconds(n)) for n in numbers)
    return background_job(Status(attempts=attempts, **status), resource_version=str(version))


def test_attempts_stay_that_the_status_has_dropped(engine: sa.Engine) -> None:
    write(engine, tried(1, 1, 2), tried(2, 2, 3))
    assert read(engine, ATTEMPTS, "attempt") == [1, 2, 3]


def test_an_attempt_says_whether_it_ended_its_run(engine: sa.Engine) -> None:
    """Also when that comes out later: the retries were lowered while the job backed off."""
    write(engine, tried(1, 1, 2))
    assert read(engine, ATTEMPTS, "ended_as") == [None, None]
    write(engine, tried(2, 1, 2, phase=Phase.FAILED))
    assert read(engine, ATTEMPTS, "ended_as") == [None, "Failed"]
    write(engine, tried(1, 1, 2))
    assert read(engine, ATTEMPTS, "ended_as") == [None, "Failed"]


@pytest.mark.parametrize(
    ("spec", "allowlist", "want"),
    [
        pytest.param({"cancelled": True}, CONFIG.allowlist, "Cancelled", id="cancelled"),
        pytest.param({}, {}, "Rejected", id="rejected"),
    ],
)
@pytest.mark.parametrize("is_late", [False, True], ids=["each state", "the last state alone"])
def test_a_run_that_ended_while_it_backed_off_has_ended_so_after_a_retry_too(
    engine: sa.Engine, spec: dict[str, Any], allowlist: Any, want: str, is_late: bool
) -> None:
    config = msgspec.structs.replace(CONFIG, allowlist=allowlist)
    now = NOW + seconds(5)
    job = background_job()
    job = after(job, decide(see(job, child_job(), failed()), CONFIG, now), **spec)
    ended = after(job, decide(see(job), config, now), cancelled=False, retry_requests=1)
    again = after(ended, decide(see(ended), CONFIG, now))
    assert again.status.run == 2
    write(engine, *([again] if is_late else [job, ended, again]))
    assert read(engine, ATTEMPTS, "ended_as") == [want]
    MirrorWriter(engine).tend()
    assert read(engine, ROLLUPS, "failed", "cancelled") == [(0, want == "Cancelled")]


def test_a_log_is_kept_without_its_secrets(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    writer.log_tail((UID, 1, 2), b"password=hunter2\nGr\xfc\xdfe \xf0\x9f\x92\xa5\n")
    writer.write_oldest()
    [text] = read(engine, LOG_TAILS, "text")
    assert text == "password=[redacted]\nGr\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}e 💥\n"


def test_logs_that_cannot_be_written_take_bounded_memory(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    for number in range(1001):
        writer.log_tail((UID, 1, number), b"x")
    for _ in range(3):
        writer.write_oldest()
    assert read(engine, LOG_TAILS, "attempt") == [*range(1, 1001)]


# After a restore of etcd


def test_states_of_a_restored_api_server_replace_newer_versions(engine: sa.Engine) -> None:
    write(engine, background_job(Status(phase=Phase.SUCCEEDED), resource_version="900"))
    writer = MirrorWriter(engine)
    rows = writer.live_rows()
    assert rows.are_ahead_of(850)
    rows = writer.begin_epoch(rows)
    restored = background_job(Status(phase=Phase.RUNNING), resource_version="800")
    assert not rows.has(restored.metadata)
    writer.put(restored, NOW)
    writer.write_oldest()
    assert read(engine, JOBS, "phase", "epoch") == [("Running", 1)]
    assert writer.live_rows().has(restored.metadata)


def test_a_restore_that_versions_have_outgrown_since_is_seen_by_a_job(engine: sa.Engine) -> None:
    write(engine, background_job(resource_version="900"))
    rows = MirrorWriter(engine).live_rows()
    assert not rows.are_ahead_of(950)
    assert rows.is_ahead_of(background_job(resource_version="800").metadata)
    assert not rows.is_ahead_of(background_job(resource_version="900").metadata)
    assert not rows.is_ahead_of(background_job(uid="other", resource_version="1").metadata)


def test_a_job_that_a_backup_brought_back_is_no_longer_gone(engine: sa.Engine) -> None:
    write(engine, background_job(resource_version="900"))
    writer = MirrorWriter(engine)
    writer.deleted(UID, NOW)
    writer.write_oldest()
    writer.begin_epoch(writer.live_rows())
    writer.put(background_job(resource_version="800"), NOW)
    writer.write_oldest()
    assert read(engine, JOBS, "phase", "deleted_at") == [("Pending", None)]


@pytest.mark.parametrize(
    ("seen_late", "phase"), [(Phase.PENDING, "Deleted"), (Phase.SUCCEEDED, "Succeeded")]
)
def test_what_was_deleted_before_it_ended_is_in_a_phase_of_its_own(
    engine: sa.Engine, seen_late: Phase, phase: str
) -> None:
    write(engine, background_job(resource_version="900"))
    writer = MirrorWriter(engine)
    writer.deleted(UID, NOW)
    writer.write_oldest()
    assert read(engine, JOBS, "phase") == ["Deleted"]
    write(engine, background_job(Status(phase=seen_late), resource_version="901"))
    assert read(engine, JOBS, "phase") == [phase]


def test_the_epoch_outlives_the_operator(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    writer.begin_epoch(writer.live_rows())
    writer.tend()
    write(engine, background_job())
    assert read(engine, JOBS, "epoch") == [1]


def test_a_state_from_before_the_restore_is_not_written(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    writer.put(background_job(resource_version="900"), NOW)
    writer.deleted("other", NOW)
    writer.begin_epoch(writer.live_rows())
    assert writer.pending == 0


# Rollups


def ended(
    number: int,
    outcome: AttemptOutcome,
    waited: float,
    ran: float,
    peak: int,
    limit: int = 200,
    **error: Any,
) -> Any:
    start = NOW + timedelta(seconds=waited)
    return msgspec.structs.replace(
        attempt(outcome, number=number, finish=start + seconds(ran)),
        due_time=NOW,
        start=start,
        resources=Resources(peak_memory_bytes=peak, cpu_seconds=0.5, memory_limit_bytes=limit),
        error=AttemptError(**error) if error else None,
    )


def test_rollups_count_outcomes_times_and_memory_of_5_minutes(engine: sa.Engine) -> None:
    failed = ended(1, AttemptOutcome.FAILED, 1, 9, 150, type="ValueError")
    succeeded = ended(2, AttemptOutcome.SUCCEEDED, 25, 20, 100)
    later = ended(1, AttemptOutcome.SUCCEEDED, 290, 30, 50)
    done: dict[str, Any] = {"phase": Phase.SUCCEEDED}
    write(
        engine,
        background_job(Status(attempts=(failed, succeeded), **done), priority=Priority.HIGH),
        background_job(Status(attempts=(later,), **done), uid="later", priority=Priority.HIGH),
    )
    MirrorWriter(engine).tend()
    with engine.connect() as connection:
        first, second = connection.execute(
            sa.select(ROLLUPS).order_by(ROLLUPS.c.bucket_at)
        ).mappings()
    assert first["bucket_at"] == datetime(2030, 1, 31, 12, 0)
    assert second["bucket_at"] == datetime(2030, 1, 31, 12, 5)
    want = {
        "priority": 1,
        "attempts": 2,
        "failed_attempts": 1,
        "disrupted_attempts": 0,
        "succeeded": 1,
        "failed": 0,
        "cancelled": 0,
        "run_seconds": 29,
        "cpu_seconds": 1,
        "peak_memory_bytes": 150,
        "memory_limit_bytes": 200,
        "memory_share": 0.75,
    }
    assert {name: first[name] for name in want} == want
    steps = {name for name in first if name.startswith(("wait_", "run_")) and first[name]}
    assert steps == {"wait_0", "wait_6", "run_4", "run_5", "run_seconds"}
    [errors] = read(engine, ERROR_ROLLUPS, "bucket_at", "attempts", "failed")
    assert errors == (datetime(2030, 1, 31, 12, 0), 1, 0)


def test_rollups_of_an_hour_are_what_those_of_its_buckets_add_up_to(engine: sa.Engine) -> None:
    done: dict[str, Any] = {"phase": Phase.SUCCEEDED}
    waited = (1, 300, 3599, 3600)
    write(
        engine,
        *(
            background_job(Status(attempts=(one,), **done), uid=str(number))
            for number, seconds in enumerate(waited)
            if (one := ended(1, AttemptOutcome.SUCCEEDED, seconds, 0, 10 * number))
        ),
    )
    MirrorWriter(engine).tend()
    assert len(read(engine, ROLLUPS, "bucket_at")) == 4
    names = ("bucket_at", "attempts", "succeeded", "peak_memory_bytes", "wait_0", "wait_13")
    assert read(engine, HOURLY_ROLLUPS, *names) == [
        (datetime(2030, 1, 31, 12, 0), 3, 3, 20, 1, 1),
        (datetime(2030, 1, 31, 13, 0), 1, 1, 30, 0, 1),
    ]


def test_memory_is_no_share_of_a_limit_of_zero(engine: sa.Engine) -> None:
    """MySQL fails an INSERT that divides by it, and with it all that the mirror says of itself."""
    unlimited = ended(1, AttemptOutcome.FAILED, 1, 1, 150, limit=0)
    limited = ended(2, AttemptOutcome.SUCCEEDED, 1, 1, 100)
    write(engine, background_job(Status(attempts=(unlimited, limited), phase=Phase.SUCCEEDED)))
    MirrorWriter(engine).tend()
    names = ("attempts", "peak_memory_bytes", "memory_share")
    assert read(engine, ROLLUPS, *names) == [(2, 150, 0.5)]


@pytest.mark.parametrize("phase", [Phase.REJECTED, Phase.CANCELLED])
def test_a_job_that_ended_without_an_attempt_is_in_no_rollup(
    engine: sa.Engine, phase: Phase
) -> None:
    write(engine, background_job(Status(phase=phase, completion_time=NOW)))
    MirrorWriter(engine).tend()
    assert read(engine, ROLLUPS, "attempts") == []


def test_a_bucket_is_computed_anew_when_an_attempt_comes_late(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    for count, uid in enumerate(("a", "b"), start=1):
        one = ended(1, AttemptOutcome.SUCCEEDED, 1, 1, 1)
        write(engine, background_job(Status(attempts=(one,), phase=Phase.SUCCEEDED), uid=uid))
        writer.tend()
        assert read(engine, ROLLUPS, "attempts") == [count]


# Retention


def test_what_is_gone_long_enough_is_purged_a_part_at_a_time(engine: sa.Engine) -> None:
    one = ended(1, AttemptOutcome.SUCCEEDED, 1, 1, 1)
    old = [background_job(Status(attempts=(one,)), uid=f"old-{n:03}") for n in range(201)]
    writer = MirrorWriter(engine, history=timedelta(days=1))
    for state in (*old, background_job(uid="live")):
        writer.put(state, NOW)
    writer.put(background_job(uid="gone of late"), NOW)
    for state in old:
        writer.deleted(state.metadata.uid, datetime(2000, 1, 1).astimezone())
    writer.deleted("gone of late", datetime.now().astimezone())
    writer.write_oldest()
    writer.tend()
    assert read(engine, JOBS, "uid") == ["gone of late", "live", "old-200"]
    writer.tend()
    assert read(engine, JOBS, "uid") == ["gone of late", "live"]
    assert read(engine, ATTEMPTS, "uid") == []


def test_history_lasts_as_long_by_the_clock_of_the_api_server(engine: sa.Engine) -> None:
    """By that of a node which is years ahead, all of it would be over."""
    now = datetime(2000, 1, 3, tzinfo=UTC)
    writer = MirrorWriter(engine, history=timedelta(days=1), now=lambda: now)
    for uid, hours in (("gone for long", 25), ("gone of late", 23)):
        writer.put(background_job(uid=uid), NOW)
        writer.deleted(uid, now - timedelta(hours=hours))
    writer.write_oldest()
    writer.tend()
    assert read(engine, JOBS, "uid") == ["gone of late"]
    assert read(engine, META, "as_of", "written_at") == [(datetime(2000, 1, 3),) * 2]


def test_without_a_limit_nothing_is_purged(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    writer.put(background_job(), NOW)
    writer.deleted(UID, datetime(2000, 1, 1).astimezone())
    writer.write_oldest()
    writer.tend()
    assert read(engine, JOBS, "uid") == [UID]


def test_the_mirror_says_how_far_it_is(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    writer.put(background_job(), NOW)
    writer.tend()
    writer.end_sweep(77, NOW)
    writer.write_oldest()
    with engine.connect() as connection:
        behind = connection.execute(sa.select(META)).one()
    assert (behind.pending, behind.swept_at) == (1, None)
    assert behind.as_of <= behind.written_at
    writer.tend()
    with engine.connect() as connection:
        now = connection.execute(sa.select(META)).one()
    assert (now.pending, int(now.list_version)) == (0, 77)
    assert now.swept_at == NOW.replace(tzinfo=None)
    assert now.as_of >= behind.as_of


def test_every_table_is_tidied_up() -> None:
    """A table of jobs that retention forgets would grow for ever."""
    assert set(OF_JOBS) == {table for table in METADATA.tables.values() if "uid" in table.c}
