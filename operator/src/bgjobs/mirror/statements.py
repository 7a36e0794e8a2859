"""Upserts that SQLAlchemy writes for MySQL, MariaDB and SQLite."""

import functools
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite

from bgjobs.domain.resource import TERMINAL_PHASES
from bgjobs.mirror.schema import DELETED


def _in_the_text(word: str) -> sa.ColumnElement[str]:
    """PyMySQL puts no values into what follows the rows that it inserts."""
    return sa.literal_column(f"'{word}'")


_FINISHED = [*map(_in_the_text, sorted(TERMINAL_PHASES))]
_DELETED = _in_the_text(DELETED)


@functools.cache
def insert_missing(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts a row unless there is one of its key."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    # Not INSERT IGNORE: that cuts what does not fit, too.
    key = next(iter(table.primary_key))
    return mysql.insert(table).on_duplicate_key_update({key.name: key})


@functools.cache
def upsert(dialect: str, table: sa.Table, *columns: str) -> sa.Insert:
    """Inserts a row, or updates these columns of the one of its key."""
    if dialect == "sqlite":
        lite = sqlite.insert(table)
        return lite.on_conflict_do_update(
            index_elements=[*table.primary_key], set_={c: lite.excluded[c] for c in columns}
        )
    insert = mysql.insert(table)
    return insert.on_duplicate_key_update({c: insert.inserted[c] for c in columns})


@functools.cache
def guarded_upsert(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts a row, or updates it unless it is of a newer (epoch, resource_version).

    A row once marked deleted stays so in its epoch: no BackgroundJob's uid comes
    back, but from a backup.
    """
    epoch, version = table.c.epoch, table.c.resource_version
    kept = {*table.primary_key, epoch, version, table.c.get("deleted_at"), table.c.get("phase")}
    others = [column for column in table.columns if column not in kept]
    insert: Any = sqlite.insert(table) if dialect == "sqlite" else mysql.insert(table)
    new = insert.excluded if dialect == "sqlite" else insert.inserted
    of_newer_epoch = new.epoch > epoch
    is_newer = sa.or_(of_newer_epoch, sa.and_(new.epoch == epoch, new.resource_version >= version))
    changes: list[tuple[str, Any]] = [(column.name, new[column.name]) for column in others]
    if "deleted_at" in table.c:
        is_deleted = sa.and_(sa.not_(of_newer_epoch), table.c.deleted_at.is_not(None))
        phase = sa.case((is_deleted, phase_once_deleted(new)), else_=new.phase)
        deleted_at = sa.case((of_newer_epoch, sa.null()), else_=table.c.deleted_at)
        changes += [("phase", phase), ("deleted_at", deleted_at)]
    # MySQL assigns from left to right: the version goes last, or every guard after it would
    # compare the new version with itself.
    changes += [("resource_version", new.resource_version), ("epoch", new.epoch)]
    if dialect == "sqlite":
        return insert.on_conflict_do_update(  # type: ignore[no-any-return]
            index_elements=[*table.primary_key], set_=dict(changes), where=is_newer
        )
    return insert.on_duplicate_key_update(  # type: ignore[no-any-return]
        [(name, sa.func.if_(is_newer, value, table.c[name])) for name, value in changes]
    )


def phase_once_deleted(row: Any) -> sa.Case[str]:
    """Of what is deleted before it has ended nobody would look among what still goes on."""
    has_finished = sa.or_(*(row.phase == phase for phase in _FINISHED))
    return sa.case((has_finished, row.phase), else_=_DELETED)
