"""Writes the mirror in a thread of its own: the database never delays a job."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, NamedTuple, TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import DataError, SQLAlchemyError

from bgjobs.domain.resource import BackgroundJob, Metadata
from bgjobs.mirror import retention, rollups, rows
from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    META,
    STALE_BUCKETS,
)
from bgjobs.mirror.statements import (
    guarded_upsert,
    insert_missing,
    phase_once_deleted,
    upsert,
)

_BATCH_ROWS = 500
_GATHERED_FOR_SECONDS = 0.4
"""A batch costs little more than a row, and of each job only the last state is written."""
_LONGEST_PAUSE_SECONDS = 15.0
_MOST_WAITING = 10_000
"""Jobs, and as many deletions, that wait to be written: some 40 MB, as jobs usually are."""
_MOST_EARLIER_ATTEMPTS = 20_000
"""That wait to be written though no state has them any more: some 2 KB each."""
_MOST_LOG_TAILS = 1000
"""That wait to be written, of 16 KiB at most."""
_TENDED_EVERY_SECONDS = 5.0
_BUCKETS_AT_ONCE = 20
_PURGED_AT_ONCE = 200
_UNWRITABLE = (DataError, OverflowError, RecursionError, TypeError, ValueError)
"""What a row's own content causes."""

logger = logging.getLogger(__name__)


Value = TypeVar("Value")
Actions = dict[tuple[str, int], dict[str, Any]]
"""Rows by action and ordinal."""
Attempts = dict[tuple[int, int, str], dict[str, Any]]
"""Rows by run, attempt and resourceVersion."""
AttemptKey = tuple[str, int, int]
"""The uid of the BackgroundJob, run and attempt."""
Version = tuple[int, int]
"""The epoch and the resourceVersion, as a number."""


class _Unwritten(NamedTuple, Generic[Value]):
    value: Value
    since: float


class _Job(NamedTuple):
    state: BackgroundJob
    seen_at: datetime
    earlier_actions: Actions
    """Of states that a newer one has replaced."""
    earlier_attempts: Attempts
    """Of such states, too: a status has only its latest ones."""


class _Batch(NamedTuple):
    jobs: dict[str, _Unwritten[_Job]]
    deleted: dict[str, _Unwritten[datetime]]
    log_tails: dict[AttemptKey, bytes]


class LiveRows(NamedTuple):
    """The rows of BackgroundJobs that are not known to be gone, by uid.

    What was read from the API server later is older only if that was restored
    from a backup.
    """

    epoch: int
    newest_list: int
    """The version of the last list that the mirror followed."""
    versions: Mapping[str, Version]

    def has(self, job: Metadata) -> bool:
        """Whether the row is of this very state."""
        return self.versions.get(job.uid) == (self.epoch, job.version)

    def are_ahead_of(self, list_version: int) -> bool:
        now = (self.epoch, list_version)
        return self.newest_list > list_version or any(row > now for row in self.versions.values())

    def is_ahead_of(self, job: Metadata) -> bool:
        now = (self.epoch, job.version)
        return self.versions.get(job.uid, now) > now


class MirrorWriter:
    """The latest state of each BackgroundJob that is still to be written, and its writer.

    A newer state takes the place of an older one that was not yet written; who did what, and the
    attempts, are kept of both. Memory is bounded: what comes while 10,000 wait is missing until a
    sweep brings it, but for attempts that no status has by then.
    """

    def __init__(
        self,
        engine: sa.Engine,
        history: timedelta | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`history` says how long rows outlive their BackgroundJobs; None: for ever.

        `now` is of the clock by which deletions are told, too: the API server's.
        """
        self._engine = engine
        self._dialect = engine.dialect.name
        self._history = history
        self._now = now
        self._changed = threading.Condition()
        self._jobs: dict[str, _Unwritten[_Job]] = {}
        self._deleted: dict[str, _Unwritten[datetime]] = {}
        self._log_tails: dict[AttemptKey, bytes] = {}
        self._earlier_attempts = 0
        """Of all jobs."""
        self._epoch: int | None = None
        self._swept: dict[str, Any] = {}
        self._missing_since: float | None = None
        self._missed_in_sweep = False
        self._pause_seconds = 0.0
        """Above 0 while the database takes nothing."""
        self._leads = False
        self._tended_at = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def lead(self) -> None:
        """From here on it says how far the mirror is, and computes and purges.

        Until a sweep has compared them the rows may lack what became of jobs before.
        """
        self.missed()
        with self._changed:
            self._leads = True
            self._changed.notify()

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
        """How long the oldest unwritten state has waited, or has been missing."""
        now = time.monotonic()
        with self._changed:
            job = next((entry.since for entry in self._jobs.values()), now)
            deletion = next((entry.since for entry in self._deleted.values()), now)
            missing = now if self._missing_since is None else self._missing_since
        return now - min(job, deletion, missing)

    @property
    def is_half_full(self) -> bool:
        """A sweep waits meanwhile: the other half is for what changes."""
        return len(self._jobs) >= _MOST_WAITING // 2

    @property
    def needs_sweep(self) -> bool:
        """Whether states are missing, and the database takes them again."""
        return self._missing_since is not None and not self._pause_seconds

    def put(self, job: BackgroundJob, now: datetime) -> None:
        """Takes a state over, unless it knows a newer one or has no room."""
        uid = job.metadata.uid
        with self._changed:
            known = self._jobs.get(uid)
            if known is None and len(self._jobs) >= _MOST_WAITING:
                self.missed()
                return
            since, actions, attempts = time.monotonic(), {}, {}
            if known is not None:
                older, newer = known.value.state, job
                if older.metadata.version > newer.metadata.version:
                    older, newer = newer, older
                since, job = known.since, newer
                actions = known.value.earlier_actions | _actions(older, now)
                room = _MOST_EARLIER_ATTEMPTS - self._earlier_attempts
                dropped = itertools.islice(_attempts(older, newer).items(), max(0, room))
                attempts = known.value.earlier_attempts | dict(dropped)
                self._earlier_attempts += len(attempts) - len(known.value.earlier_attempts)
            self._jobs[uid] = _Unwritten(_Job(job, now, actions, attempts), since)
            self._changed.notify()

    def deleted(self, uid: str, when: datetime) -> None:
        with self._changed:
            if len(self._deleted) >= _MOST_WAITING:
                self.missed()
                return
            self._deleted.setdefault(uid, _Unwritten(when, time.monotonic()))
            self._changed.notify()

    def missed(self) -> None:
        """Some state is neither written nor waits to be: a sweep has to bring it."""
        with self._changed:
            if self._missing_since is None:
                self._missing_since = time.monotonic()
            self._missed_in_sweep = True

    def log_tail(self, attempt: AttemptKey, log: bytes) -> AttemptKey | None:
        """Takes over the end of an attempt's log.

        While very many wait, the oldest goes: returns whose log will not be written.
        """
        dropped = None
        with self._changed:
            self._log_tails[attempt] = log
            if len(self._log_tails) > _MOST_LOG_TAILS:
                dropped = next(iter(self._log_tails))
                del self._log_tails[dropped]
            self._changed.notify()
        return dropped

    def live_rows(self) -> LiveRows:
        """Reads the database, for a sweep that begins; raises SQLAlchemyError."""
        with self._changed:
            self._missed_in_sweep = False
        columns = JOBS.c.uid, JOBS.c.epoch, JOBS.c.resource_version
        with self._engine.connect() as connection:
            meta = connection.execute(sa.select(META.c.epoch, META.c.list_version)).first()
            live = connection.execute(sa.select(*columns).where(JOBS.c.deleted_at.is_(None)))
            versions = {uid: (epoch, int(version)) for uid, epoch, version in live}
        stored, newest_list = meta or (0, None)
        with self._changed:
            self._epoch = max(stored, self._epoch or 0)
        return LiveRows(self._epoch, int(newest_list or 0), versions)

    def begin_epoch(self, rows: LiveRows) -> LiveRows:
        """The API server was restored from a backup: what is known of it counts no more."""
        logger.warning("the API server was restored from a backup; the mirror follows it")
        with self._changed:
            self._jobs.clear()
            self._earlier_attempts = 0
            self._deleted.clear()
            self._epoch = self._swept["epoch"] = rows.epoch + 1
        return rows._replace(epoch=rows.epoch + 1, newest_list=0)

    def end_sweep(self, list_version: int, began: datetime) -> None:
        """All that the list had was put."""
        with self._changed:
            if not self._missed_in_sweep:
                self._missing_since = None
            self._swept |= {
                "list_version": rows.padded(str(list_version)),
                "swept_at": rows.naive(began),
            }

    def _run(self) -> None:
        while self._wait():
            try:
                self.write_oldest()
                self._tend()
            except SQLAlchemyError as error:
                self._pause()
                # What it is connected to may have become read-only, and another one the primary,
                # which may lack what the first has taken.
                self._engine.dispose()
                self.missed()
                logger.warning(
                    "the mirror is %s behind (%.0f s) and tries again in %.1f s; if tables are "
                    "missing, run `python -m bgjobs.mirror` (make deploy does): %s",
                    self.pending,
                    self.lag_seconds,
                    self._pause_seconds,
                    str(error).splitlines()[0],
                )
            except Exception:  # a driver may raise anything, and nobody restarts the thread
                self._pause()
                logger.exception("a fault of the mirror; it tries again")
            else:
                self._pause_seconds = 0.0

    def _pause(self) -> None:
        self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._pause_seconds * 2 or 0.5)

    def write_oldest(self) -> None:
        """Writes one batch. Raises SQLAlchemyError where the database fails."""
        batch = self._oldest()
        if batch.jobs or batch.deleted or batch.log_tails:
            self._write_batch(batch)
            self._drop(batch)

    def tend(self) -> None:
        """Says how far it is, computes stale rollups, takes a part of what is too old."""
        with self._changed:
            swept = dict(self._swept)
        now = self._now().astimezone(UTC).replace(tzinfo=None)
        meta = {
            "id": 1,
            "as_of": now - timedelta(seconds=self.lag_seconds),
            "written_at": now,
            "pending": self.pending,
            **swept,
        }
        with self._engine.begin() as connection:
            columns = [name for name in meta if name != "id"]
            connection.execute(upsert(self._dialect, META, *columns), meta)
            rollups.refresh(connection, _BUCKETS_AT_ONCE)
        if self._history is not None:
            with self._engine.begin() as connection:
                retention.purge(connection, now - self._history, _PURGED_AT_ONCE)

    def _tend(self) -> None:
        if self._leads and time.monotonic() - self._tended_at >= _TENDED_EVERY_SECONDS:
            self.tend()
            self._tended_at = time.monotonic()

    def _wait(self) -> bool:
        """Waits until there is something to do; False once the writer is to end."""
        stopping, pause_seconds = self._stopping, self._pause_seconds
        idle = _TENDED_EVERY_SECONDS if self._leads else None
        with self._changed:
            self._changed.wait_for(lambda: self._has_work or stopping.is_set(), idle)
        if pause_seconds or self.pending < _BATCH_ROWS:
            stopping.wait(pause_seconds or _GATHERED_FOR_SECONDS)
        return not stopping.is_set() or (self._has_work and not pause_seconds)

    @property
    def _has_work(self) -> bool:
        return bool(self._jobs or self._deleted or self._log_tails)

    def _oldest(self) -> _Batch:
        """A batch to write: jobs, and deletions of such as have no state left to write."""
        with self._changed:
            jobs = dict(itertools.islice(self._jobs.items(), _BATCH_ROWS))
            ripe = (
                (uid, entry)
                for uid, entry in self._deleted.items()
                if uid in jobs or uid not in self._jobs
            )
            deleted = dict(itertools.islice(ripe, _BATCH_ROWS))
            log_tails = dict(itertools.islice(self._log_tails.items(), _BATCH_ROWS))
        return _Batch(jobs, deleted, log_tails)

    def _drop(self, batch: _Batch) -> None:
        """Forgets what was written, except where a newer state has come meanwhile."""
        with self._changed:
            for uid, written in batch.jobs.items():
                entry = self._jobs.pop(uid, written)
                if entry is not written:
                    self._jobs[uid] = entry._replace(since=time.monotonic())
            left = (entry.value.earlier_attempts for entry in self._jobs.values())
            self._earlier_attempts = sum(map(len, left))
            for uid in batch.deleted:
                self._deleted.pop(uid, None)
            for attempt, log in batch.log_tails.items():
                if self._log_tails.get(attempt) is log:
                    del self._log_tails[attempt]

    def _write_batch(self, batch: _Batch) -> None:
        """Writes all that can be written: a row that the database cannot hold stops no other.

        Raises SQLAlchemyError where it is the database that fails.
        """
        # In the order of the uid, so that two writers never wait for each other's rows.
        jobs = [batch.jobs[uid].value for uid in sorted(batch.jobs)]
        try:
            self._write(jobs)
        except _UNWRITABLE:
            for job in jobs:
                try:
                    self._write([job])
                except _UNWRITABLE as error:
                    why = str(error).splitlines()[0]
                    logger.error("%s cannot be mirrored: %s", job.state.key, why)
        tails = [
            rows.log_tail_row(*attempt, log) for attempt, log in sorted(batch.log_tails.items())
        ]
        if not (tails or batch.deleted):
            return
        with self._engine.begin() as connection:
            if tails:
                connection.execute(upsert(self._dialect, LOG_TAILS, "text"), tails)
            for uid in sorted(batch.deleted):
                row = sa.update(JOBS).where(JOBS.c.uid == uid, JOBS.c.deleted_at.is_(None))
                when = rows.naive(batch.deleted[uid].value)
                connection.execute(row.values(deleted_at=when, phase=phase_once_deleted(JOBS.c)))

    def _write(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        states = [job.state for job in jobs]
        actions = [
            row
            for job in jobs
            for row in (job.earlier_actions | _actions(job.state, job.seen_at)).values()
        ]
        labels = [row for state in states for row in rows.label_rows(state)]
        attempts = [
            row
            for job in jobs
            for row in (*job.earlier_attempts.values(), *rows.attempt_rows(job.state))
        ]
        buckets = {rollups.bucket_of(row["finished_at"]) for row in attempts}
        with self._engine.begin() as connection:
            epoch = {"epoch": self._known_epoch(connection)}
            for table, written in (
                (JOBS, map(rows.job_row, states)),
                (JOB_DETAILS, map(rows.details_row, states)),
                (JOB_LABELS, labels),
                (ATTEMPTS, attempts),
            ):
                if versioned := [row | epoch for row in written]:
                    connection.execute(guarded_upsert(self._dialect, table), versioned)
            connection.execute(_OLD_LABELS, {"uids": [state.metadata.uid for state in states]})
            if actions:
                connection.execute(insert_missing(self._dialect, ACTIONS), actions)
            if buckets:
                stale = [{"bucket_at": bucket} for bucket in sorted(buckets)]
                connection.execute(insert_missing(self._dialect, STALE_BUCKETS), stale)

    def _known_epoch(self, connection: sa.Connection) -> int:
        if self._epoch is None:
            self._epoch = connection.scalar(sa.select(META.c.epoch)) or 0
        return self._epoch


_JOB_OF_LABEL = sa.select(JOBS.c.resource_version).where(JOBS.c.uid == JOB_LABELS.c.uid)
_OLD_LABELS = sa.delete(JOB_LABELS).where(
    JOB_LABELS.c.uid.in_(sa.bindparam("uids", expanding=True)),
    JOB_LABELS.c.resource_version != _JOB_OF_LABEL.scalar_subquery(),
)
"""Those that their job no longer has, which were not written with its last state."""


def _actions(job: BackgroundJob, now: datetime) -> Actions:
    return {(row["action"], row["ordinal"]): row for row in rows.action_rows(job, now)}


def _attempts(job: BackgroundJob, newer: BackgroundJob) -> Attempts:
    """Those that the newer state has dropped; none where there is one that fits no row."""
    try:
        dropped = rows.attempt_rows(job, newer)
    except _UNWRITABLE:
        return {}
    return {(row["run"], row["attempt"], row["resource_version"]): row for row in dropped}
