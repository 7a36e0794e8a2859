"""The academic service's tables, made by its migrations."""

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from academic.service.outbox import OUTBOX
from academic.store.migrate import downgrade, upgrade
from academic.store.schema import Base


def test_the_migrations_make_the_schema_that_the_code_uses(empty: sa.Engine) -> None:
    assert OUTBOX.table.metadata is Base.metadata
    upgrade(empty)
    with empty.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_they_can_be_taken_back_and_repeated(empty: sa.Engine) -> None:
    for _ in range(2):
        upgrade(empty)
        upgrade(empty)
        downgrade(empty, "base")
    assert sa.inspect(empty).get_table_names() == ["alembic_version"]
