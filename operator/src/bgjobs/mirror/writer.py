"""Writes the mirror in a thread of its own: the database never delays a job."""

import logging
import threading
import time
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import SQLAlchemyError

from bgjobs.domain.resource import BackgroundJob
from bgjobs.mirror.rows import details_row, job_row
from bgjobs.mirror.schema import JOB_DETAILS, JOBS

_BATCH_ROWS = 500
_LONGEST_PAUSE_SECONDS = 30.0

logger = logging.getLogger(__name__)


class MirrorWriter:
    """The latest state of each BackgroundJob that is still to be written, and its writer.

    Memory is bounded by the number of BackgroundJobs: a newer state takes the
    place of an older one that was not yet written.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._jobs: dict[str, BackgroundJob] = {}
        self._deleted: dict[str, datetime] = {}
        self._oldest_at: float | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Writes what is left, within a time, and ends the thread."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_seconds)

    @property
    def pending(self) -> int:
        return len(self._jobs) + len(self._deleted)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest unwritten state has waited."""
        oldest_at = self._oldest_at
        return 0.0 if oldest_at is None else time.monotonic() - oldest_at

    def put(self, job: BackgroundJob) -> None:
        with self._changed:
            self._jobs[job.metadata.uid] = job
            self._note_change()

    def deleted(self, uid: str, when: datetime) -> None:
        with self._changed:
            self._deleted[uid] = when
            self._note_change()

    def _note_change(self) -> None:
        self._oldest_at = self._oldest_at or time.monotonic()
        self._changed.notify()

    def _run(self) -> None:
        pause = 0.0
        while self._wait(pause):
            jobs, deleted, since = self._take()
            try:
                self._write(jobs, deleted)
                pause = 0.0
            except SQLAlchemyError as error:
                self._put_back(jobs, deleted, since)
                pause = min(_LONGEST_PAUSE_SECONDS, pause * 2 or 0.5)
                logger.warning(
                    "the mirror is %s behind (%.0f s) and tries again in %.1f s: %s",
                    self.pending,
                    self.lag_seconds,
                    pause,
                    str(error).splitlines()[0],
                )

    def _wait(self, pause_seconds: float) -> bool:
        """Waits until there is something to write; False once the writer is to end."""
        with self._changed:
            if pause_seconds:
                self._changed.wait_for(lambda: self._stopping, pause_seconds)
            self._changed.wait_for(lambda: self.pending or self._stopping)
            return not self._stopping or (self.pending > 0 and not pause_seconds)

    def _take(self) -> tuple[dict[str, BackgroundJob], dict[str, datetime], float | None]:
        with self._changed:
            uids = list(self._jobs)[:_BATCH_ROWS]
            jobs = {uid: self._jobs.pop(uid) for uid in uids}
            deleted, self._deleted = self._deleted, {}
            since = self._oldest_at
            self._oldest_at = time.monotonic() if self._jobs else None
            return jobs, deleted, since

    def _put_back(
        self, jobs: dict[str, BackgroundJob], deleted: dict[str, datetime], since: float | None
    ) -> None:
        """What could not be written, except where a newer state has come."""
        with self._changed:
            self._jobs = {**jobs, **self._jobs}
            self._deleted = {**deleted, **self._deleted}
            self._oldest_at = since

    def _write(self, jobs: dict[str, BackgroundJob], deleted: dict[str, datetime]) -> None:
        # In the order of the uid, so that two writers never wait for each other's rows.
        ordered = [jobs[uid] for uid in sorted(jobs)]
        with self._engine.begin() as connection:
            if ordered:
                upsert = guarded_upsert(self._engine.dialect.name, JOBS)
                connection.execute(upsert, [job_row(job) for job in ordered])
                upsert = guarded_upsert(self._engine.dialect.name, JOB_DETAILS)
                connection.execute(upsert, [details_row(job) for job in ordered])
            for uid in sorted(deleted):
                gone_at = deleted[uid].astimezone(UTC).replace(tzinfo=None)
                connection.execute(
                    sa.update(JOBS).where(JOBS.c.uid == uid).values(deleted_at=gone_at)
                )


def guarded_upsert(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts a row, or updates it unless the row is of a newer resourceVersion."""
    version = table.c.resource_version
    others = [c for c in table.columns if c.name not in ("uid", "resource_version")]
    if dialect == "sqlite":
        lite = sqlite.insert(table)
        return lite.on_conflict_do_update(
            index_elements=["uid"],
            set_={c.name: lite.excluded[c.name] for c in (*others, version)},
            where=lite.excluded.resource_version >= version,
        )
    insert = mysql.insert(table)
    newer = insert.inserted.resource_version >= version
    # MySQL assigns from left to right: the version goes last, or every guard after it would
    # compare the new version with itself.
    assignments: list[tuple[str, Any]] = [
        (c.name, sa.func.if_(newer, insert.inserted[c.name], c)) for c in (*others, version)
    ]
    return insert.on_duplicate_key_update(assignments)
