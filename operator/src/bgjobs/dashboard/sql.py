"""How statements are put together and run.

To put one together takes longer than to run it, so those of many shapes are kept as texts: a
statement itself takes a hundred times the memory.
"""

import copy
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from bgjobs.domain.resource import Reason

Row = dict[str, Any]
Rows = list[Row]


def rows_of(
    connection: sa.Connection,
    query: sa.Select[Any] | sa.TextualSelect,
    values: Mapping[str, Any] | None = None,
) -> Rows:
    return [dict(row) for row in connection.execute(query, values).mappings()]


@functools.lru_cache(maxsize=4_000)
def text(
    dialect: sa.Dialect, build: Callable[..., sa.Select[Any]], *arguments: Any
) -> sa.TextualSelect:
    """The statement that `build` makes of the arguments; what it is given comes later."""
    named = copy.copy(dialect)
    named.paramstyle, named.positional = "named", False
    query = build(*arguments)
    compiled = query.compile(dialect=named, compile_kwargs={"render_postcompile": True})
    types = {name: bind.type for name, bind in compiled.binds.items()}
    binds = [sa.bindparam(name, value, types.get(name)) for name, value in compiled.params.items()]
    # Columns of their own: those of the statement would keep all of it.
    columns = [sa.column(column.name, column.type) for column in query.selected_columns]
    return sa.text(str(compiled)).bindparams(*binds).columns(*columns)


def fixed(value: object) -> sa.BindParameter[Any]:
    """A value that is part of the text: a bound one would be kept with its name and its type."""
    return sa.literal(value, literal_execute=True)


def one_of(values: Collection[object]) -> sa.BindParameter[Any]:
    return sa.bindparam(None, values, expanding=True, literal_execute=True)


def merged(parts: Sequence[sa.Select[Any]]) -> sa.Select[Any]:
    """All rows of all parts."""
    if len(parts) == 1:
        return parts[0]
    # MariaDB wants a derived table around each.
    return sa.select(sa.union_all(*(sa.select(part.subquery()) for part in parts)).subquery())


def of_pairs(
    table: sa.FromClause, pairs: Collection[tuple[str, Reason]]
) -> Sequence[sa.ColumnElement[bool]]:
    """The phase and the reason are of these."""
    return [
        table.c.phase.in_(one_of(sorted({str(phase) for phase, _ in pairs}))),
        table.c.reason.in_(one_of(sorted({str(reason) for _, reason in pairs}))),
    ]
