"""A database that dies, turns read-only or is replaced by another one loses nothing."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests import mariadb
from tests.server import wait_until
from tests.unit.builders import NOW, background_job

from bgjobs.domain.resource import BackgroundJob
from bgjobs.mirror.database import connect
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import JOB_DETAILS, JOBS
from bgjobs.mirror.writer import MirrorWriter

_JOBS = 1200
_WITHIN_S = 60


@pytest.fixture
def server(tmp_path: Path) -> Iterator[mariadb.Server]:
    """One of this test's own."""
    with mariadb.running(tmp_path) as server:
        yield server


@pytest.fixture
def engine(server: mariadb.Server) -> Iterator[sa.Engine]:
    """As a user whom a read-only server lets write nothing."""
    url = sa.make_url(mariadb.fresh_database(server.port))
    server.execute("CREATE USER writer")
    server.execute(f"GRANT ALL ON {url.database}.* TO writer")
    engine = connect(url.set(username="writer").render_as_string())
    upgrade(engine)
    yield engine
    engine.dispose()


def begin(engine: sa.Engine) -> MirrorWriter:
    """A writer with much to write, in batches."""
    writer = MirrorWriter(engine)
    for state in some_jobs():
        writer.put(state, NOW)
    return writer


def some_jobs() -> Iterator[BackgroundJob]:
    return (background_job(uid=f"uid-{number:05}") for number in range(_JOBS))


def wait_written(engine: sa.Engine, writer: MirrorWriter) -> None:
    wait_until(lambda: writer.pending == 0, lambda: f"{writer.pending} are left", _WITHIN_S)
    writer.stop(10)
    for table in (JOBS, JOB_DETAILS):
        with engine.connect() as connection:
            assert connection.scalar(sa.select(sa.func.count()).select_from(table)) == _JOBS


def test_a_server_that_is_killed_in_the_middle_of_a_batch_gets_it_again(
    server: mariadb.Server, engine: sa.Engine
) -> None:
    writer, killed = begin(engine), threading.Event()

    @sa.event.listens_for(engine, "after_cursor_execute")
    def after(*statement: Any) -> None:
        if "INSERT INTO jobs " in statement[2] and not killed.is_set():
            server.kill()
            killed.set()

    writer.start()
    assert killed.wait(_WITHIN_S)
    assert writer.pending == _JOBS
    server.start()
    wait_written(engine, writer)


def test_a_server_that_turned_read_only_is_tried_until_one_takes_over(
    server: mariadb.Server, engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    """By the connections that were open before, the new primary would never be reached."""
    writer = begin(engine)
    writer.write_oldest()
    before = [*connection_ids(engine)]
    server.execute("SET GLOBAL read_only = ON")
    writer.start()
    wait_until(lambda: "read-only" in caplog.text, lambda: caplog.text, _WITHIN_S)
    server.execute("SET GLOBAL read_only = OFF")
    wait_written(engine, writer)
    assert not set(before) & set(connection_ids(engine))


def test_a_server_that_takes_over_gets_what_the_dead_one_had_not_passed_on(
    server: mariadb.Server, engine: sa.Engine, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It answers at the same address, with a copy that lacks the last batch: a sweep tells."""
    writer, states = begin(engine), [*some_jobs()]
    server.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 2")  # so that files are up to date
    writer.write_oldest()
    replica = mariadb.Server(tmp_path / "replica", server.port)
    server.copy_to(replica.directory)
    writer.write_oldest()
    server.kill()
    writer.start()
    wait_until(lambda: "tries again" in caplog.text, lambda: "it misses nobody", _WITHIN_S)
    replica.start()
    try:
        wait_until(lambda: writer.pending == 0, lambda: f"{writer.pending} are left", _WITHIN_S)
        wait_until(lambda: writer.needs_sweep, lambda: "it takes the copy for the whole", _WITHIN_S)
        rows = writer.live_rows()
        lacking = [state for state in states if not rows.has(state.metadata)]
        assert len(lacking) == 500
        for state in lacking:
            writer.put(state, NOW)
        wait_written(engine, writer)
    finally:
        replica.kill()


def connection_ids(engine: sa.Engine) -> list[int]:
    with engine.connect() as connection:
        return [connection.scalar(sa.text("SELECT CONNECTION_ID()")) or 0]
