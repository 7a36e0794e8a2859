"""The table of the jobs that the API server does not have yet."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from academic.store.schema import Base
from bgjobs.client.outbox import Outbox

OUTBOX = Outbox(Base.metadata)


class Refusal(NamedTuple):
    text: str
    is_final: bool
    """Else the job is offered again, by itself."""


def refusals(session: Session, names: Sequence[str]) -> Mapping[str, Refusal]:
    """Why those of these jobs that were offered to the API server are not there."""
    table = OUTBOX.table
    statement = sa.select(table.c.name, table.c.refusal, table.c.due_at).where(
        table.c.name.in_(names), table.c.refusal.is_not(None)
    )
    rows = session.execute(statement)
    return {row.name: Refusal(row.refusal, is_final=row.due_at is None) for row in rows}
