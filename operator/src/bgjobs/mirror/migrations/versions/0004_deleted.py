"""A phase of its own for what was deleted before it ended."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_UNFINISHED = ("Pending", "Running", "Retrying", "Cancelling")
_JOBS = sa.table("jobs", sa.column("phase"), sa.column("deleted_at"))


def upgrade() -> None:
    is_unfinished = _JOBS.c.phase.in_(_UNFINISHED)
    deleted = _JOBS.update().where(_JOBS.c.deleted_at.is_not(None), is_unfinished)
    op.execute(deleted.values(phase="Deleted"))


def downgrade() -> None:
    op.execute(_JOBS.update().where(_JOBS.c.phase == "Deleted").values(phase="Pending"))
