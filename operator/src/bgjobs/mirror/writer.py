"""Writes the mirror in a thread of its own: the database never delays a job."""

import functools
import itertools
import logging
import threading
import time
from datetime import datetime
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import DataError, SQLAlchemyError

from bgjobs.domain.resource import BackgroundJob
from bgjobs.mirror.rows import action_rows, details_row, job_row, naive, padded
from bgjobs.mirror.schema import ACTIONS, JOB_DETAILS, JOBS

_BATCH_ROWS = 500
_GATHERED_FOR_SECONDS = 0.2
"""A batch costs little more than a row, and of each job only the last state is written."""
_LONGEST_PAUSE_SECONDS = 30.0
_UNWRITABLE = (DataError, OverflowError, RecursionError, TypeError, ValueError)
"""What a row's own content causes."""

logger = logging.getLogger(__name__)


Value = TypeVar("Value")


class _Unwritten(NamedTuple, Generic[Value]):
    value: Value
    since: float


class _Job(NamedTuple):
    state: BackgroundJob
    actions: dict[tuple[str, int], dict[str, Any]]
    """Rows by action and ordinal, also of states that a newer one has replaced."""


class MirrorWriter:
    """The latest state of each BackgroundJob that is still to be written, and its writer.

    Memory is bounded by the number of BackgroundJobs: a newer state takes the
    place of an older one that was not yet written. Who did what is kept of both.
    """

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._jobs: dict[str, _Unwritten[_Job]] = {}
        self._deleted: dict[str, _Unwritten[datetime]] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Writes what is left, within a time, and ends the thread."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        self._thread.join(timeout_seconds)

    @property
    def pending(self) -> int:
        return len(self._jobs) + len(self._deleted)

    @property
    def lag_seconds(self) -> float:
        """How long the oldest unwritten state has waited."""
        now = time.monotonic()
        with self._changed:
            job = next((entry.since for entry in self._jobs.values()), now)
            deletion = next((entry.since for entry in self._deleted.values()), now)
        return now - min(job, deletion)

    def put(self, job: BackgroundJob, now: datetime) -> None:
        """Takes a state over, unless it knows a newer one."""
        uid = job.metadata.uid
        actions = {(row["action"], row["ordinal"]): row for row in action_rows(job, now)}
        with self._changed:
            known = self._jobs.get(uid)
            since = time.monotonic()
            if known is not None:
                since, actions = known.since, actions | known.value.actions
                if known.value.state.metadata.version > job.metadata.version:
                    job = known.value.state
            self._jobs[uid] = _Unwritten(_Job(job, actions), since)
            self._changed.notify()

    def deleted(self, uid: str, when: datetime) -> None:
        with self._changed:
            self._deleted.setdefault(uid, _Unwritten(when, time.monotonic()))
            self._changed.notify()

    def live_rows(self, up_to_version: str) -> dict[str, str]:
        """The rows, no newer than that, whose BackgroundJob is not known to be gone.

        Their zero-padded resourceVersions by uid. Reads the database; raises SQLAlchemyError.
        """
        columns = JOBS.c
        query = sa.select(columns.uid, columns.resource_version).where(
            columns.deleted_at.is_(None), columns.resource_version <= padded(up_to_version)
        )
        with self._engine.connect() as connection:
            return {row.uid: row.resource_version for row in connection.execute(query)}

    def _run(self) -> None:
        pause = 0.0
        while self._wait(pause):
            try:
                self.write_oldest()
            except SQLAlchemyError as error:
                pause = _longer(pause)
                logger.warning(
                    "the mirror is %s behind (%.0f s) and tries again in %.1f s; if tables are "
                    "missing, run `python -m bgjobs.mirror` (make deploy does): %s",
                    self.pending,
                    self.lag_seconds,
                    pause,
                    str(error).splitlines()[0],
                )
            except Exception:  # a driver may raise anything, and nobody restarts the thread
                pause = _longer(pause)
                logger.exception("a fault of the mirror; it tries again in %.1f s", pause)
            else:
                pause = 0.0

    def write_oldest(self) -> None:
        """Writes one batch. Raises SQLAlchemyError where the database fails."""
        jobs, deleted = self._oldest()
        self._write_batch(
            [entry.value for entry in jobs.values()],
            {uid: entry.value for uid, entry in deleted.items()},
        )
        self._drop(jobs, deleted)

    def _wait(self, pause_seconds: float) -> bool:
        """Waits until there is a batch to write; False once the writer is to end."""
        stopping = self._stopping
        with self._changed:
            self._changed.wait_for(lambda: self.pending or stopping.is_set())
        if pause_seconds or self.pending < _BATCH_ROWS:
            stopping.wait(pause_seconds or _GATHERED_FOR_SECONDS)
        return not stopping.is_set() or (self.pending > 0 and not pause_seconds)

    def _oldest(
        self,
    ) -> tuple[dict[str, _Unwritten[_Job]], dict[str, _Unwritten[datetime]]]:
        """A batch to write: jobs, and deletions of such as have no state left to write."""
        with self._changed:
            jobs = dict(itertools.islice(self._jobs.items(), _BATCH_ROWS))
            ripe = (
                (uid, entry)
                for uid, entry in self._deleted.items()
                if uid in jobs or uid not in self._jobs
            )
            deleted = dict(itertools.islice(ripe, _BATCH_ROWS))
        return jobs, deleted

    def _drop(
        self,
        jobs: dict[str, _Unwritten[_Job]],
        deleted: dict[str, _Unwritten[datetime]],
    ) -> None:
        """Forgets what was written, except where a newer state has come meanwhile."""
        with self._changed:
            for uid, written in jobs.items():
                entry = self._jobs.pop(uid)
                if entry is not written:
                    self._jobs[uid] = entry._replace(since=time.monotonic())
            for uid in deleted:
                del self._deleted[uid]

    def _write_batch(self, jobs: list[_Job], deleted: dict[str, datetime]) -> None:
        """Writes all that can be written: a row that the database cannot hold stops no other.

        Raises SQLAlchemyError where it is the database that fails.
        """
        try:
            self._write(jobs, deleted)
        except _UNWRITABLE:
            for job in jobs:
                try:
                    self._write([job], {})
                except _UNWRITABLE as error:
                    why = str(error).splitlines()[0]
                    logger.error("%s cannot be mirrored: %s", job.state.key, why)
            self._write([], deleted)

    def _write(self, jobs: list[_Job], deleted: dict[str, datetime]) -> None:
        # In the order of the uid, so that two writers never wait for each other's rows.
        jobs.sort(key=lambda job: job.state.metadata.uid)
        states = [job.state for job in jobs]
        dialect = self._engine.dialect.name
        with self._engine.begin() as connection:
            if jobs:
                connection.execute(guarded_upsert(dialect, JOBS), [*map(job_row, states)])
                connection.execute(
                    guarded_upsert(dialect, JOB_DETAILS), [*map(details_row, states)]
                )
                if actions := [row for job in jobs for row in job.actions.values()]:
                    connection.execute(insert_missing(dialect, ACTIONS), actions)
            for uid in sorted(deleted):
                row = sa.update(JOBS).where(JOBS.c.uid == uid)
                connection.execute(row.values(deleted_at=naive(deleted[uid])))


def _longer(pause_seconds: float) -> float:
    return min(_LONGEST_PAUSE_SECONDS, pause_seconds * 2 or 0.5)


@functools.cache
def insert_missing(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts a row unless there is one of its key."""
    if dialect == "sqlite":
        return sqlite.insert(table).on_conflict_do_nothing()
    # Not INSERT IGNORE: that cuts what does not fit, too.
    return mysql.insert(table).on_duplicate_key_update(uid=table.c.uid)


@functools.cache
def guarded_upsert(dialect: str, table: sa.Table) -> sa.Insert:
    """Inserts a row, or updates it unless the row is of a newer resourceVersion.

    A row once marked deleted stays so: no BackgroundJob's uid comes back.
    """
    version = table.c.resource_version
    others = [c for c in table.columns if c.name not in ("uid", "resource_version", "deleted_at")]
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
