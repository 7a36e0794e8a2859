"""The steps of migrations, each unless it is done.

MySQL keeps each at once, also of a migration that is killed: run again, it goes on from there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op


def create_table(name: str, *columns: sa.Column[Any], **options: Any) -> None:
    if _is_due(lambda found: not found.has_table(name)):
        op.create_table(name, *columns, **options)


def drop_table(name: str) -> None:
    if _is_due(lambda found: found.has_table(name)):
        op.drop_table(name)


def add_column(table: str, column: sa.Column[Any]) -> None:
    if _is_due(lambda found: not _has_column(found, table, column.name)):
        op.add_column(table, column)


def drop_column(table: str, name: str) -> None:
    if _is_due(lambda found: _has_column(found, table, name)):
        op.drop_column(table, name)


def create_index(name: str, table: str, columns: Sequence[str]) -> None:
    if _is_due(lambda found: not found.has_index(table, name)):
        op.create_index(name, table, columns)


def drop_index(name: str, table: str) -> None:
    if _is_due(lambda found: found.has_index(table, name)):
        op.drop_index(name, table)


def _is_due(is_due: Callable[[sa.Inspector], bool]) -> bool:
    """Where statements are only written down, every one is."""
    return op.get_context().as_sql or is_due(sa.inspect(op.get_bind()))


def _has_column(found: sa.Inspector, table: str, name: str) -> bool:
    return name in {column["name"] for column in found.get_columns(table)}
