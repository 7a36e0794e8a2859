"""The table of the jobs that the API server does not have yet."""

from collections.abc import Mapping, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from academic.store.schema import Base
from bgjobs.client.outbox import Outbox

OUTBOX = Outbox(Base.metadata)


def refusals(session: Session, names: Sequence[str]) -> Mapping[str, str]:
    """What the API server said of those of these jobs that it refused for good."""
    table = OUTBOX.table
    statement = sa.select(table.c.name, table.c.refusal).where(
        table.c.name.in_(names), table.c.due_at.is_(None)
    )
    return {row.name: row.refusal for row in session.execute(statement)}
