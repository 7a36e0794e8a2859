"""The migrations make the schema, and take it back."""

import io
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.dialects import mysql
from sqlalchemy.schema import CreateIndex, CreateTable
from tests.mariadb import fresh_database

from bgjobs.mirror.migrate import downgrade, upgrade
from bgjobs.mirror.schema import JOBS, METADATA

_BEFORE_HISTORY = "0002"
_MAX_KEY_BYTES = 3072


def _tables(engine: sa.Engine) -> set[str]:
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def test_they_make_exactly_the_schema(empty: sa.Engine) -> None:
    upgrade(empty)
    with empty.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []


def test_they_can_be_taken_back_and_repeated(empty: sa.Engine) -> None:
    upgrade(empty)
    downgrade(empty, _BEFORE_HISTORY)
    assert _tables(empty) == {"jobs", "job_details", "actions"}
    upgrade(empty)
    downgrade(empty, "base")
    assert _tables(empty) == set()
    upgrade(empty)
    assert _tables(empty) == set(METADATA.tables)


def test_rows_survive_and_those_of_live_jobs_are_to_be_read_anew(empty: sa.Engine) -> None:
    upgrade(empty)
    downgrade(empty, _BEFORE_HISTORY)
    rows = sa.text(
        "INSERT INTO jobs (uid, namespace, name, class, method, priority, delay_seconds, retries,"
        " phase, reason, message, run, attempts_total, created_at, deleted_at, resource_version)"
        " VALUES (:uid, 'shop', 'stock', 'shop.Sync', 'handle', 2, 0, 3, 'Failed', 'Error', '',"
        " 1, 1, '2030-01-31 12:00:00', :deleted_at, :version)"
    )
    with empty.begin() as connection:
        for uid, deleted_at in (("live", None), ("gone", "2030-01-31 13:00:00")):
            version = "7".zfill(39)
            values = {"uid": uid, "deleted_at": deleted_at, "version": version}
            connection.execute(rows, values)
    upgrade(empty)
    with empty.connect() as connection:
        columns = sa.select(JOBS.c.uid, JOBS.c.resource_version, JOBS.c.attempts_of_run)
        found = {row.uid: row for row in connection.execute(columns)}
    assert {uid: int(row.resource_version) for uid, row in found.items()} == {"live": 0, "gone": 7}
    assert found["live"].attempts_of_run == 0


def test_what_was_deleted_before_it_ended_gets_a_phase_of_its_own(empty: sa.Engine) -> None:
    upgrade(empty)
    jobs = [
        ("ended", "Failed", "2030-01-31 13:00:00"),
        ("live", "Running", None),
        ("stopped", "Running", "2030-01-31 13:00:00"),
    ]
    downgrade(empty, "0003")
    insert = sa.text(
        "INSERT INTO jobs (uid, namespace, name, class, method, priority, delay_seconds, retries,"
        " phase, reason, message, run, attempts_total, created_at, deleted_at, resource_version)"
        " VALUES (:uid, 'shop', :uid, 'shop.Sync', 'handle', 2, 0, 3, :phase, 'Running', '',"
        " 1, 1, '2030-01-31 12:00:00', :deleted_at, '1')"
    )
    with empty.begin() as connection:
        for uid, phase, deleted_at in jobs:
            connection.execute(insert, {"uid": uid, "phase": phase, "deleted_at": deleted_at})
    upgrade(empty)
    with empty.connect() as connection:
        phases = connection.scalars(sa.select(JOBS.c.phase).order_by(JOBS.c.uid)).all()
    assert phases == ["Failed", "Running", "Deleted"]


class KilledError(Exception):
    """As if its process had been killed."""


def runs_until_done(engine: sa.Engine, step: str, migrate: Callable[[], None]) -> int:
    """How often a migration is run that is killed each time after its first step of this kind."""

    def kill(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if re.match(step, statement.strip()):
            raise KilledError

    sa.event.listen(engine, "after_cursor_execute", kill)
    for run in range(1, 100):
        with suppress(KilledError):
            migrate()
            sa.event.remove(engine, "after_cursor_execute", kill)
            return run
    raise AssertionError("it does not get on")


def test_one_that_is_killed_after_any_step_goes_on_from_there(mariadb: int) -> None:
    """MariaDB keeps each step; SQLite takes most of them back."""
    engine = sa.create_engine(fresh_database(mariadb))
    tables = len(METADATA.tables)
    made = runs_until_done(engine, "CREATE|ALTER.*ADD", lambda: upgrade(engine))
    assert made > 2 * tables
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), METADATA) == []
    dropped = runs_until_done(engine, "DROP|ALTER.*DROP", lambda: downgrade(engine, "base"))
    assert dropped > 2 * tables
    assert _tables(engine) == set()
    engine.dispose()


def test_names_that_differ_in_case_alone_are_two(empty: sa.Engine) -> None:
    upgrade(empty)
    labels = METADATA.tables["job_labels"]
    row = {"value": "x", "created_at": sa.func.now(), "resource_version": "1"}
    with empty.begin() as connection:
        for name in ("team", "Team"):
            connection.execute(labels.insert().values(uid="u", name=name, **row))


def test_mysql_takes_every_table_and_index() -> None:
    """No such server is at hand: the statements compile, and no key is longer than it takes."""
    dialect = mysql.dialect()
    for table in METADATA.tables.values():
        assert "utf8mb4_bin" in str(CreateTable(table).compile(dialect=dialect))
        for index in table.indexes:
            assert str(CreateIndex(index).compile(dialect=dialect)).startswith("CREATE INDEX")
            assert sum(map(_bytes, index.columns)) <= _MAX_KEY_BYTES, index.name
        assert sum(map(_bytes, table.primary_key.columns)) <= _MAX_KEY_BYTES, table.name


@pytest.mark.parametrize("direction", ["upgrade", "downgrade"])
def test_every_step_of_the_migrations_is_a_statement_of_mysqls(direction: str) -> None:
    """Not one that MariaDB alone knows."""
    written = io.StringIO()
    context = MigrationContext.configure(
        dialect_name="mysql", opts={"as_sql": True, "output_buffer": written}
    )
    scripts = [*ScriptDirectory("operator/src/bgjobs/mirror/migrations").walk_revisions()]
    with Operations.context(context):
        for script in reversed(scripts) if direction == "upgrade" else scripts:
            getattr(script.module, direction)()
    statements = [each.strip() for each in written.getvalue().split(";") if each.strip()]
    made = "CREATE TABLE" if direction == "upgrade" else "DROP TABLE"
    assert sum(each.startswith(made) for each in statements) == len(METADATA.tables)
    assert not [each for each in statements if "IF NOT EXISTS" in each or "IF EXISTS" in each]


def _bytes(column: sa.Column[object]) -> int:
    return 4 * (getattr(column.type, "length", None) or 2)
