"""Jobs dispatched through a table of the application's own database.

`Outbox.dispatch` writes a row in the application's transaction: there will be a job if that
commits, and none if not. An API server that hangs or is away costs the caller nothing.
`Outbox.drain` creates the jobs; any number of processes may run it. Needs SQLAlchemy 2.

    metadata = sa.MetaData()
    outbox = Outbox(metadata)

    with engine.begin() as connection:
        connection.execute(orders.insert().values(...))
        outbox.dispatch(connection, "shop.jobs.SyncStock", warehouse=7, key="stock-7")

No order is kept: a job may be created before one that was dispatched earlier.
"""

import enum
import functools
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Concatenate, NamedTuple, ParamSpec, TypeAlias, cast

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Session

from bgjobs.client import signatures
from bgjobs.client.blocking import Client, default_client
from bgjobs.client.errors import RefusedError, UnreachableError
from bgjobs.client.submission import Submission, submission

__all__ = ["Drained", "Outbox"]

_CLAIM_SECONDS = 60.0
_CLAIMED_AT_ONCE = 20
_LOOKED_AT = 100
_POLL_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_FIRST_RETRY_SECONDS = 2
_LONGEST_RETRY_SECONDS = 300
_MAX_NAME_CHARACTERS = 253
_MAX_REFUSAL_CHARACTERS = 4000

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")

_log = logging.getLogger(__name__)

P = ParamSpec("P")
Executor: TypeAlias = sa.Connection | Session


class Drained(NamedTuple):
    """What one look at the outbox came to."""

    created: int
    refused: int
    """For good: they stay in the table with the refusal."""
    postponed: int
    """To be tried again later."""
    is_away: bool
    """Whether the API server gave no answer."""


class _Outcome(enum.Enum):
    CREATED = enum.auto()
    REFUSED = enum.auto()
    POSTPONED = enum.auto()
    UNANSWERED = enum.auto()


def _writing(
    compose: Callable[P, Submission],
) -> Callable[Concatenate["Outbox", Executor, P], str]:
    @functools.wraps(compose, assigned=("__doc__",))
    def dispatch(self: "Outbox", connection: Executor, /, *args: P.args, **kwargs: P.kwargs) -> str:
        job = compose(*args, **kwargs)
        now = _now()
        connection.execute(
            self.table.insert().values(
                name=job.name,
                namespace=job.namespace,
                manifest=job.manifest,
                written_at=now,
                due_at=now,
                tries=0,
            )
        )
        return job.name

    signatures.show_as_own(dispatch, compose)
    return dispatch


class Outbox:
    """A table in the application's MetaData, which its migrations create like its others.

    A row is deleted once its job exists, which then tells the rest: kept rows would only grow.
    `due_at` is when to try next, null once the API server has refused for good; `refusal` is what
    it said last. dispatch() returns the name of the job, for `bgjobs.client.handle`.
    """

    def __init__(self, metadata: sa.MetaData, name: str = "bgjobs_outbox") -> None:
        self.table = _table(metadata, name)

    dispatch = _writing(submission)

    def drain(
        self, engine: sa.Engine, client: Client | None = None, stop: threading.Event | None = None
    ) -> None:
        """Creates jobs as they are dispatched, until `stop` is set; without, for ever.

        Goes on whatever becomes of the database and the API server, and logs it.
        """
        stop, pause = stop or threading.Event(), _POLL_SECONDS
        while not stop.is_set():
            try:
                drained = self.drain_once(engine, client)
            # Whatever it is: a thread that ended would be missed only when jobs are.
            except Exception as error:
                _log.exception("the outbox cannot be drained just now: %s", error)
                drained = Drained(0, 0, 0, is_away=True)
            if drained.is_away:
                pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            elif any(drained):
                continue
            else:
                pause = _POLL_SECONDS
            stop.wait(pause)

    def drain_once(self, engine: sa.Engine, client: Client | None = None) -> Drained:
        """Creates jobs that are due, at most 20.

        Raises NoClusterError, and what the database raises.
        """
        client = client or default_client()
        token, ends = secrets.token_hex(8), time.monotonic() + _CLAIM_SECONDS / 2
        rows = self._claimed(engine, token)
        outcomes: list[_Outcome] = []
        try:
            for row in rows:
                outcomes.append(self._create(engine, client, row))
                if outcomes[-1] is _Outcome.UNANSWERED or time.monotonic() > ends:
                    break
        finally:
            if len(outcomes) < len(rows):
                self._release(engine, token)
        unanswered = outcomes.count(_Outcome.UNANSWERED)
        return Drained(
            created=outcomes.count(_Outcome.CREATED),
            refused=outcomes.count(_Outcome.REFUSED),
            postponed=outcomes.count(_Outcome.POSTPONED) + unanswered,
            is_away=unanswered > 0,
        )

    def retry_refused(self, connection: Executor, name: str | None = None) -> int:
        """Lets what was refused for good be tried again, all of it or the job of a name.

        Returns how many that are.
        """
        table = self.table
        is_chosen = table.c.due_at.is_(None) & (sa.true() if name is None else table.c.name == name)
        result = connection.execute(
            table.update().where(is_chosen).values(due_at=_now(), tries=0, refusal=None)
        )
        return cast(sa.CursorResult[Any], result).rowcount

    def _claimed(self, engine: sa.Engine, token: str) -> Sequence[Any]:
        """Rows that no other process tries for a minute: by then they are done, or it has died."""
        table, now = self.table, _now()
        is_due = table.c.due_at <= now
        with engine.connect() as connection:
            due = list(
                connection.scalars(
                    sa.select(table.c.id).where(is_due).order_by(table.c.due_at).limit(_LOOKED_AT)
                )
            )
        if not due:
            return ()
        # Any of the first, for other processes look at the same ones.
        chosen = table.c.id.in_(sorted(random.sample(due, min(len(due), _CLAIMED_AT_ONCE))))
        until = now + timedelta(seconds=_CLAIM_SECONDS)
        with engine.begin() as connection:
            claim = table.update().where(chosen, is_due).values(claim=token, due_at=until)
            connection.execute(claim)
            mine = sa.select(table).where(chosen, table.c.claim == token).order_by(table.c.id)
            return connection.execute(mine).all()

    def _create(self, engine: sa.Engine, client: Client, row: Any) -> _Outcome:
        try:
            client.submit(Submission(row.name, row.namespace, row.manifest))
        except RefusedError as refusal:
            seconds = None if refusal.is_final else _retry_seconds(row.tries)
            self._postpone(engine, row, seconds, str(refusal))
            return _Outcome.REFUSED if refusal.is_final else _Outcome.POSTPONED
        except UnreachableError as error:
            # Not first again: it might be this row alone that gets no answer.
            self._postpone(engine, row, _LONGEST_PAUSE_SECONDS, str(error))
            return _Outcome.UNANSWERED
        with engine.begin() as connection:
            connection.execute(self.table.delete().where(self.table.c.id == row.id))
        return _Outcome.CREATED

    def _postpone(self, engine: sa.Engine, row: Any, seconds: float | None, refusal: str) -> None:
        """Until so many seconds from now; None: for good."""
        _log.warning("job %s of the outbox is not created: %s", row.name, refusal)
        values = {
            "due_at": None if seconds is None else _now() + timedelta(seconds=seconds),
            "tries": row.tries + 1,
            "refusal": refusal[:_MAX_REFUSAL_CHARACTERS],
            "claim": None,
        }
        with engine.begin() as connection:
            connection.execute(self.table.update().where(self.table.c.id == row.id).values(values))

    def _release(self, engine: sa.Engine, token: str) -> None:
        """What was claimed and not tried is due again."""
        release = self.table.update().where(self.table.c.claim == token)
        with engine.begin() as connection:
            connection.execute(release.values(claim=None, due_at=self.table.c.written_at))


def _table(metadata: sa.MetaData, name: str) -> sa.Table:
    return sa.Table(
        name,
        metadata,
        # SQLite counts only integers of this very type.
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column("name", sa.String(_MAX_NAME_CHARACTERS), nullable=False),
        sa.Column("namespace", sa.String(_MAX_NAME_CHARACTERS)),
        sa.Column("manifest", sa.JSON, nullable=False),
        sa.Column("written_at", _TIME, nullable=False),
        sa.Column("due_at", _TIME, index=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("refusal", sa.Text),
        sa.Column("claim", sa.String(16), index=True),
    )


def _retry_seconds(tries: int) -> float:
    return float(min(_FIRST_RETRY_SECONDS * 2 ** min(tries, 10), _LONGEST_RETRY_SECONDS))


def _now() -> datetime:
    """UTC, as every database keeps a time: without saying so."""
    return datetime.now(UTC).replace(tzinfo=None)
