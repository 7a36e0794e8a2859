"""Takes what is older than it is to be kept out of the mirror, a little at a time."""

from datetime import datetime, timedelta

import sqlalchemy as sa

from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    ERROR_ROLLUPS,
    HOURLY_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    ROLLUPS,
)

OF_JOBS = (JOB_DETAILS, JOB_LABELS, ATTEMPTS, LOG_TAILS, ACTIONS, JOBS)
_ROLLUPS_AT_ONCE = timedelta(hours=6)


def purge(connection: sa.Connection, before: datetime, most: int) -> int:
    """Deletes up to so many jobs that were gone by then, and rollups; how many jobs it were.

    A job that is still in the cluster stays, however old it is.
    """
    gone = sa.select(JOBS.c.uid).where(JOBS.c.deleted_at < before)
    uids = [*connection.scalars(gone.order_by(JOBS.c.deleted_at).limit(most))]
    if uids:
        for table in OF_JOBS:
            connection.execute(sa.delete(table).where(table.c.uid.in_(uids)))
    for table in (ROLLUPS, HOURLY_ROLLUPS, ERROR_ROLLUPS):
        oldest = connection.scalar(sa.select(sa.func.min(table.c.bucket_at)))
        if oldest is not None and oldest < before:
            limit = min(before, oldest + _ROLLUPS_AT_ONCE)
            connection.execute(sa.delete(table).where(table.c.bucket_at < limit))
    return len(uids)
