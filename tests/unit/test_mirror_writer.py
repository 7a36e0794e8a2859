"""The mirror's writer on SQLite: the newest state wins, and no failure loses one."""

import re
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from tests.server import wait_until
from tests.unit.builders import NOW, UID, attempt, background_job, seconds

from bgjobs.domain.resource import BackgroundJob, Phase, Status, Who
from bgjobs.mirror import writer as mirror_writer
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import ACTIONS, ATTEMPTS, JOB_DETAILS, JOBS
from bgjobs.mirror.statements import guarded_upsert
from bgjobs.mirror.writer import MirrorWriter


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/mirror.db")
    upgrade(engine)
    yield engine
    engine.dispose()


def job(version: int, phase: Phase = Phase.PENDING, uid: str = UID) -> BackgroundJob:
    status = Status(phase=phase, result={"version": version})
    return background_job(status, uid=uid, resource_version=str(version))


def write(engine: sa.Engine, *jobs: BackgroundJob, deleted: tuple[str, ...] = ()) -> None:
    """Writes these states with a writer of their own, which ends."""
    writer = MirrorWriter(engine)
    for each in jobs:
        writer.put(each, NOW + seconds(600))
    for uid in deleted:
        writer.deleted(uid, NOW)
    writer.start()
    writer.stop(10)
    assert writer.pending == 0


def rows(engine: sa.Engine, table: sa.Table = JOBS) -> list[Any]:
    with engine.connect() as connection:
        return list(connection.execute(sa.select(table).order_by(table.c.uid)))


def versions(engine: sa.Engine) -> list[int]:
    """Of the listed and of the large columns, which must be of the same state."""
    listed = [int(row.resource_version) for row in rows(engine)]
    large = [int(row.resource_version) for row in rows(engine, JOB_DETAILS)]
    assert [row.result for row in rows(engine, JOB_DETAILS)] == [
        f'{{"version":{version}}}' for version in large
    ]
    assert listed == large
    return listed


def test_deletions_come_in_batches_too(engine: sa.Engine) -> None:
    """Or a transaction would lock as many rows as a namespace had jobs."""
    writer = MirrorWriter(engine)
    for n in range(1201):
        writer.deleted(f"uid-{n:04}", NOW)
    writer.write_oldest()
    assert writer.pending == 701


def test_a_job_becomes_a_row(engine: sa.Engine) -> None:
    write(engine, job(100))
    (row,) = rows(engine)
    assert (row.uid, row.name, row.phase) == (UID, "stock", "Pending")
    assert versions(engine) == [100]


def test_a_newer_state_replaces_an_older_row(engine: sa.Engine) -> None:
    write(engine, job(99))
    write(engine, job(100, Phase.RUNNING))
    assert (versions(engine), rows(engine)[0].phase) == ([100], "Running")


def test_an_older_state_replaces_no_newer_row(engine: sa.Engine) -> None:
    write(engine, job(100, Phase.RUNNING))
    write(engine, job(99))
    assert (versions(engine), rows(engine)[0].phase) == ([100], "Running")


def test_an_older_state_replaces_no_newer_one_that_waits(engine: sa.Engine) -> None:
    write(engine, job(100, Phase.RUNNING), job(99))
    assert (versions(engine), rows(engine)[0].phase) == ([100], "Running")


def test_more_than_a_batch_is_written(engine: sa.Engine) -> None:
    write(engine, *(job(100, uid=f"uid-{n:04}") for n in range(1201)))
    assert versions(engine) == [100] * 1201


def test_a_batch_is_written_in_the_order_of_the_uid(engine: sa.Engine) -> None:
    """Whatever order it came in: or two writers would wait for each other's rows."""
    orders = {}

    @sa.event.listens_for(engine, "before_cursor_execute")
    def before(*sent: Any) -> None:
        if sent[5]:  # many rows
            orders[sent[2].split("(")[0]] = [values[0] for values in sent[3]]

    write(engine, *(job(100, uid=uid) for uid in "cabed"))
    assert orders == {"INSERT INTO jobs ": [*"abcde"], "INSERT INTO job_details ": [*"abcde"]}


def test_a_deleted_job_keeps_its_row_with_the_time(engine: sa.Engine) -> None:
    write(engine, job(100))
    write(engine, deleted=(UID,))
    (row,) = rows(engine)
    assert row.deleted_at == NOW.replace(tzinfo=None)


def test_a_deletion_follows_the_state_that_waits_before_it(engine: sa.Engine) -> None:
    """Though the state comes in a later batch than the first."""
    others = (job(100, uid=f"a-{n:04}") for n in range(700))
    write(engine, *others, job(100, uid="z"), deleted=("z",))
    assert rows(engine)[-1].deleted_at == NOW.replace(tzinfo=None)


def test_the_deletion_of_a_job_without_a_row_is_no_error(engine: sa.Engine) -> None:
    write(engine, deleted=("stranger",))
    assert rows(engine) == []


def test_what_waits_is_counted_until_it_is_written(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    assert (writer.pending, writer.lag_seconds) == (0, 0)
    for uid in ("a", "a", "b"):
        writer.put(job(100, uid=uid), NOW)
    writer.deleted("c", NOW + seconds(1))
    assert writer.pending == 3
    assert writer.lag_seconds > 0
    writer.start()
    writer.stop(10)
    assert (writer.pending, writer.lag_seconds) == (0, 0)


# While much waits, or the database takes nothing


def test_however_much_changes_10000_jobs_and_deletions_wait(engine: sa.Engine) -> None:
    writer = MirrorWriter(engine)
    for number in range(12_000):
        writer.put(job(100, uid=f"uid-{number}"), NOW)
        writer.deleted(f"gone-{number}", NOW)
    assert writer.pending == 2 * 10_000


@pytest.fixture
def full(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> MirrorWriter:
    """It has room for two, a and b."""
    monkeypatch.setattr(mirror_writer, "_MOST_WAITING", 2)
    writer = MirrorWriter(engine)
    for uid in ("a", "b", "c"):
        writer.put(job(100, uid=uid), NOW)
    return writer


def test_what_finds_no_room_is_behind_until_a_sweep_brings_it(
    engine: sa.Engine, full: MirrorWriter
) -> None:
    full.write_oldest()
    assert (versions(engine), full.pending) == ([100, 100], 0)
    assert full.needs_sweep
    assert full.lag_seconds > 0
    assert not full.live_rows().has(job(100, uid="c").metadata)
    full.put(job(100, uid="c"), NOW)
    full.end_sweep(100, NOW)
    full.write_oldest()
    assert versions(engine) == [100, 100, 100]
    assert (full.needs_sweep, full.lag_seconds) == (False, 0)


def test_a_newer_state_of_what_waits_always_has_room(engine: sa.Engine, full: MirrorWriter) -> None:
    full.put(job(101, uid="a"), NOW)
    full.write_oldest()
    assert versions(engine) == [101, 100]


def test_a_state_that_is_missed_while_a_sweep_goes_on_takes_another(full: MirrorWriter) -> None:
    """The list that it follows may be older."""
    full.live_rows()
    full.put(job(100, uid="c"), NOW)
    full.end_sweep(100, NOW)
    assert full.needs_sweep


def test_deletions_that_find_no_room_take_another_sweep(full: MirrorWriter) -> None:
    full.live_rows()
    for uid in ("d", "e", "f"):
        full.deleted(uid, NOW)
    full.end_sweep(100, NOW)
    assert full.needs_sweep


def test_who_leads_anew_is_behind_until_a_sweep_has_compared(engine: sa.Engine) -> None:
    """What was deleted or has succeeded meanwhile looks as it did before."""
    writer = MirrorWriter(engine)
    writer.lead()
    assert writer.lag_seconds > 0
    writer.live_rows()
    writer.end_sweep(100, NOW)
    assert writer.lag_seconds == 0


class Connections:
    """Holds up or fails the connections of an engine."""

    def __init__(self, engine: sa.Engine) -> None:
        self.asked, self.go_on = threading.Event(), threading.Event()
        self.failures = 0
        self.failure: Exception = sa.exc.OperationalError("BEGIN", {}, Exception("it is away"))
        sa.event.listen(engine, "begin", self._begin)

    def _begin(self, _: sa.Connection) -> None:
        self.asked.set()
        assert self.go_on.wait(10)
        if self.failures:
            self.failures -= 1
            raise self.failure


def test_what_is_being_written_still_counts_as_waiting(engine: sa.Engine) -> None:
    """Or a database that hangs would look like one that keeps up."""
    connections, writer = Connections(engine), MirrorWriter(engine)
    writer.put(job(100), NOW)
    writer.start()
    assert connections.asked.wait(10)
    assert writer.pending == 1
    assert writer.lag_seconds > 0
    connections.go_on.set()
    writer.stop(10)
    assert writer.pending == 0


def test_a_state_that_comes_while_an_older_one_is_written_is_written_too(
    engine: sa.Engine,
) -> None:
    connections, writer = Connections(engine), MirrorWriter(engine)
    writer.put(job(100), NOW)
    writer.start()
    assert connections.asked.wait(10)
    writer.put(job(101), NOW)
    connections.go_on.set()
    writer.stop(10)
    assert versions(engine) == [101]


@pytest.mark.parametrize("failure", [None, RuntimeError("a package of the driver is missing")])
def test_a_database_that_fails_loses_nothing(engine: sa.Engine, failure: Exception | None) -> None:
    connections, writer = Connections(engine), MirrorWriter(engine)
    connections.failures = 1
    connections.failure = failure or connections.failure
    connections.go_on.set()
    writer.put(job(100), NOW)
    writer.deleted("gone", NOW)
    writer.start()
    written = threading.Event()
    sa.event.listen(engine, "commit", lambda _: written.set())
    assert written.wait(10)
    writer.stop(10)
    assert (versions(engine), writer.pending) == ([100], 0)


def test_a_writer_that_is_stopped_while_the_database_is_away_ends(engine: sa.Engine) -> None:
    connections, writer = Connections(engine), MirrorWriter(engine)
    connections.failures = 1000
    connections.go_on.set()
    writer.put(job(100), NOW)
    writer.start()
    assert connections.asked.wait(10)
    writer.stop(10)
    assert "mirror" not in {thread.name for thread in threading.enumerate()}
    assert writer.pending == 1


def test_a_database_that_comes_back_is_compared_with_the_cluster(engine: sa.Engine) -> None:
    """It may be another one, that lacks something. No sooner: it could not be read."""
    connections, writer = Connections(engine), MirrorWriter(engine)
    connections.failures = 1
    connections.go_on.set()
    writer.put(job(100), NOW)
    while_away = []
    sa.event.listen(engine, "commit", lambda _: while_away.append(writer.needs_sweep))
    writer.start()
    wait_until(lambda: bool(while_away), lambda: "nothing is written", 10)
    writer.stop(10)
    assert (while_away, writer.needs_sweep) == ([False], True)


def test_a_row_that_cannot_be_written_stops_no_other(engine: sa.Engine) -> None:
    beyond_utc = datetime.fromisoformat("9999-12-31T23:59:59-14:00")
    unwritable = background_job(Status(next_attempt_time=beyond_utc), uid="a")
    write(engine, unwritable, job(100, uid="b"), deleted=("c",))
    assert [row.uid for row in rows(engine)] == ["b"]


def test_a_number_beyond_64_bits_is_written(engine: sa.Engine) -> None:
    write(engine, background_job(parameters={"n": 10**20}))
    with engine.connect() as connection:
        (text,) = connection.scalars(sa.select(JOB_DETAILS.c.parameters))
    assert text == '{"n":100000000000000000000}'


def test_a_late_state_revives_no_deleted_job(engine: sa.Engine) -> None:
    write(engine, job(100), deleted=(UID,))
    write(engine, job(101))
    (row,) = rows(engine)
    assert row.deleted_at == NOW.replace(tzinfo=None)


def test_live_rows_are_those_of_jobs_not_known_to_be_gone(engine: sa.Engine) -> None:
    write(engine, job(9, uid="old"), job(100, uid="new"))
    write(engine, job(50, uid="deleted"), deleted=("deleted",))
    assert MirrorWriter(engine).live_rows().versions == {"old": (0, 9), "new": (0, 100)}


def test_an_action_keeps_the_time_at_which_it_was_seen_first(engine: sa.Engine) -> None:
    for later in (5, 9):
        who = Who(created_by="ann", started_by="bob")
        changed = NOW + seconds(later)
        write(engine, background_job(who=who, changed=changed, start_requests=1))
    _, started = rows(engine, ACTIONS)
    assert started.at == (NOW + seconds(5)).replace(tzinfo=None)


def test_an_action_is_written_though_a_newer_state_has_replaced_its_own(
    engine: sa.Engine,
) -> None:
    cancelled = background_job(
        who=Who(cancelled_by="ann"), cancelled=True, resource_version="100", changed=NOW
    )
    retried = background_job(
        who=Who(cancelled_by="ann", retried_by="bob"),
        retry_requests=1,
        resource_version="101",
        changed=NOW + seconds(1),
    )
    write(engine, cancelled, retried)
    did = {(row.action, row.by_user, row.at.second) for row in rows(engine, ACTIONS)}
    assert did == {("cancelled", "ann", 0), ("retried", "bob", 1)}


def tried(number: int, finish: datetime = NOW) -> BackgroundJob:
    """A job after so many attempts, of which its status has the latest ten."""
    numbers = range(max(1, number - 9), number + 1)
    attempts = tuple(attempt(number=n, finish=finish) for n in numbers)
    return background_job(Status(attempts=attempts), resource_version=str(100 + number))


@pytest.mark.parametrize("reordered", [0, 1, 20])
def test_attempts_are_written_though_a_newer_state_that_lacks_them_has_replaced_theirs(
    engine: sa.Engine, reordered: int
) -> None:
    states = [tried(number) for number in range(31)]
    write(engine, *states[reordered:], *states[:reordered])
    assert {row.attempt for row in rows(engine, ATTEMPTS)} == {*range(1, 31)}


def test_attempts_that_cannot_be_written_take_bounded_memory(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror_writer, "_MOST_EARLIER_ATTEMPTS", 3)
    writer = MirrorWriter(engine)
    for number in range(31):
        writer.put(tried(number), NOW)
    writer.write_oldest()
    written = {1, 2, 3, *range(21, 31)}
    assert {row.attempt for row in rows(engine, ATTEMPTS)} == written
    for number in range(31, 61):  # there is room again
        writer.put(tried(number), NOW)
    writer.write_oldest()
    written |= {22, 23, 24, *range(51, 61)}
    assert {row.attempt for row in rows(engine, ATTEMPTS)} == written


def test_an_attempt_that_fits_no_row_holds_up_no_newer_state(engine: sa.Engine) -> None:
    beyond_utc = datetime.fromisoformat("9999-12-31T23:59:59-14:00")
    write(engine, tried(1, finish=beyond_utc), tried(20))
    assert [row.attempt for row in rows(engine, ATTEMPTS)] == [*range(11, 21)]


def test_on_mysql_the_guard_is_assigned_last() -> None:
    """MySQL assigns from left to right: every guard after it would compare it with itself."""
    sql = str(guarded_upsert("mysql", JOBS).compile(dialect=mysql.dialect()))
    assignments = sql.partition("ON DUPLICATE KEY UPDATE ")[2].replace("`", "")
    assigned = re.findall(r"(?:^|, )(\w+) = if\(", assignments)
    assert assigned[-2:] == ["resource_version", "epoch"]
    assert sorted(assigned) == sorted(set(JOBS.c.keys()) - {"uid"})


def test_the_migrations_can_be_repeated(engine: sa.Engine) -> None:
    write(engine, job(100, uid="kept"))
    upgrade(engine)
    assert MirrorWriter(engine).live_rows().versions.keys() == {"kept"}
