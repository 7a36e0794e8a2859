"""An outbox that is drained where jobs run inline: its rows, and a database that fails."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.server import wait_until
from tests.unit.shop import SyncStock

from bgjobs.client import JobFailedError, NoSuchJobError, handle, inline
from bgjobs.client.outbox import Drained, Outbox

_WITHIN_S = 30


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path}/shop.sqlite")
    yield engine
    engine.dispose()


@pytest.fixture
def outbox(engine: sa.Engine) -> Outbox:
    outbox = Outbox(metadata := sa.MetaData(), name="jobs_to_create")
    metadata.create_all(engine)
    return outbox


def _rows(engine: sa.Engine, outbox: Outbox) -> int:
    with engine.connect() as connection:
        count = sa.select(sa.func.count()).select_from(outbox.table)
        return connection.scalar(count) or 0


def _dispatch(engine: sa.Engine, outbox: Outbox, warehouse: int) -> str:
    with engine.begin() as connection:
        return outbox.dispatch(connection, SyncStock, warehouse=warehouse)


def test_draining_runs_its_jobs(engine: sa.Engine, outbox: Outbox) -> None:
    with inline():
        name = _dispatch(engine, outbox, 7)
        with pytest.raises(NoSuchJobError):
            handle(name).state()
        assert outbox.drain_once(engine).created == 1
        assert handle(name).result()["warehouse"] == 7


def test_a_job_that_fails_was_created_all_the_same(engine: sa.Engine, outbox: Outbox) -> None:
    with inline():
        name = _dispatch(engine, outbox, -1)
        assert outbox.drain_once(engine) == Drained(1, 0, 0, is_away=False)
        with pytest.raises(JobFailedError):
            handle(name).result()


def test_what_is_more_than_one_look_takes_is_left_for_the_next(
    engine: sa.Engine, outbox: Outbox
) -> None:
    with inline():
        for warehouse in range(21):
            _dispatch(engine, outbox, warehouse)
        assert outbox.drain_once(engine).created == 20
        assert outbox.drain_once(engine).created == 1
        assert outbox.drain_once(engine) == Drained(0, 0, 0, is_away=False)


def test_draining_outlasts_a_database_that_fails(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    outbox, stop = Outbox(metadata := sa.MetaData()), threading.Event()
    drainer = threading.Thread(target=outbox.drain, args=(engine, None, stop))
    with inline():
        drainer.start()
        try:
            wait_until(
                lambda: "no such table" in caplog.text, lambda: "it does not look", _WITHIN_S
            )
            metadata.create_all(engine)
            _dispatch(engine, outbox, 7)
            wait_until(lambda: _rows(engine, outbox) == 0, lambda: "it has ended", _WITHIN_S)
        finally:
            stop.set()
            drainer.join()
