"""A mirror with as many jobs as asked for, made up by the database itself (MariaDB's SEQUENCE).

Skewed as real ones are: of 50 classes and 20 namespaces the first have a third, one job in a
hundred is of High priority, few have failed, the newest are not finished, some labels and errors
are of a few jobs and some of many. Hard on purpose: a team's label is of its namespaces alone, and
no job of the second half is named scan. python -m tests.bench.history URL JOBS fills a database
at hand.
"""

import math
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import sqlalchemy as sa

from bgjobs.mirror import rollups
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import (
    ATTEMPTS,
    BUCKET_SECONDS,
    ERROR_ROLLUPS,
    HOURLY_ROLLUPS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    ROLLUPS,
    STALE_BUCKETS,
)

_DAYS = 30
_UNFINISHED_SHARE = 500
"""One in so many jobs, the newest, is not finished."""
_AT_ONCE = 100_000
_GOLDEN = (math.sqrt(5) - 1) / 2
_FILLED = (JOBS, JOB_DETAILS, JOB_LABELS, ATTEMPTS)


def _drawn(letter: str) -> str:
    """A number from 0 to 1 that only the job and the letter decide."""
    return f"(CONV(LEFT(MD5(CONCAT('{letter}', seq)), 8), 16, 10) / 4294967296)"


# Uids grow with `k`, so that rows are written in the order of their keys; `seq`, a permutation of
# it, is the place in time.
_NUMBERED = {
    "seq": "1 + MOD(k * :step, :jobs)",
    "uid": "CONCAT_WS('-', LPAD(LOWER(HEX(FLOOR(k * 4294967296 / :jobs))), 8, '0'),"
    " SUBSTR(MD5(k), 1, 4), SUBSTR(MD5(k), 5, 4), SUBSTR(MD5(k), 9, 4), SUBSTR(MD5(k), 13, 12))",
}
_DRAWN = {
    "created_at": "TIMESTAMP(:began) + INTERVAL FLOOR(seq * :seconds_each) SECOND",
    "namespace": f"CONCAT('team-', FLOOR(20 * POW({_drawn('n')}, 4)))",
    "class": f"CONCAT('shop.jobs.Class', FLOOR(50 * POW({_drawn('c')}, 4)))",
    "name": f"CONCAT(IF(seq < :jobs / 2 AND {_drawn('o')} < 0.1, 'scan',"
    f" ELT(1 + FLOOR(3 * POW({_drawn('m')}, 3)), 'mail', 'sync', 'bill')), '-', seq)",
    "priority": f"ELT(1 + ({_drawn('p')} > 0.01) + ({_drawn('p')} > 0.8), 1, 2, 3)",
    "phase": "IF(seq > :finished,"
    f" ELT(1 + FLOOR(3 * {_drawn('u')}), 'Pending', 'Retrying', 'Running'),"
    f" ELT(1 + ({_drawn('f')} > 0.97) + ({_drawn('f')} > 0.995) + ({_drawn('f')} > 0.999),"
    " 'Succeeded', 'Failed', 'Cancelled', 'Rejected'))",
}
_JOB = {
    **{name: f"`{name}`" for name in ("uid", *_DRAWN)},
    "reason": f"CASE phase WHEN 'Pending' THEN ELT(1 + FLOOR(4 * {_drawn('w')}), 'Queued',"
    f" 'Delayed', 'Paused', 'Starting') WHEN 'Retrying' THEN 'BackingOff' WHEN 'Failed' THEN"
    f" ELT(1 + FLOOR(3 * {_drawn('w')}), 'Error', 'OOMKilled', 'DeadlineExceeded')"
    " WHEN 'Rejected' THEN 'NotAllowed' ELSE phase END",
    "method": "'handle'",
    "delay_seconds": "0",
    "retries": "3",
    "message": "'Attempt 1 of 4 is told of here in so many words as such a message has.'",
    "run": "1",
    "attempts_total": f"1 + ({_drawn('a')} < 0.05)",
    "attempts_of_run": f"1 + ({_drawn('a')} < 0.05)",
    "run_seconds": f"FLOOR(100 * POW({_drawn('d')}, 4))",
    "could_start_at": "IF(seq > :finished, created_at, NULL)",
    "next_attempt_at": "IF(seq > :finished, created_at, NULL)",
    "started_at": "created_at",
    "completed_at": "IF(seq > :finished, NULL, created_at + INTERVAL 30 SECOND)",
    "deleted_at": "IF(seq > :finished OR created_at > :kept_from, NULL,"
    " created_at + INTERVAL 1 HOUR)",
    "error_group": "IF(phase = 'Failed', LEFT(MD5(class), 12), NULL)",
    "resource_version": "LPAD(seq, 39, '0')",
}
_OF_BATCH = "FROM jobs WHERE uid >= :first_uid AND uid < :end_uid"
_SEQ = "(resource_version + 0)"
_FAILED = "(phase = 'Failed' OR attempt < attempts_total)"
_ATTEMPT = {
    **{name: name for name in ("uid", "run", "attempt", "run_seconds", "started_at", "priority")},
    "class": "class",
    "created_at": "created_at",
    "resource_version": "resource_version",
    "job_name": f"CONCAT('job-', {_SEQ})",
    "node_name": "'node-1'",
    "outcome": f"IF({_FAILED}, 'Failed', 'Succeeded')",
    "reason": f"IF({_FAILED}, 'Error', phase)",
    "message": "'failed with exit code 1'",
    "exit_code": f"{_FAILED}",
    "could_start_at": "created_at",
    "finished_at": "created_at + INTERVAL 15 * attempt SECOND",
    "wait_seconds": "1",
    "peak_memory_bytes": "100000000",
    "memory_limit_bytes": "268435456",
    "error_group": f"IF({_FAILED}, LEFT(MD5(class), 12), NULL)",
    "error_type": f"IF({_FAILED}, 'ValueError', NULL)",
    "ended_as": "IF(attempt = attempts_total, phase, NULL)",
}
_LABELS = {
    "team": "MOD(SUBSTR(namespace, 6), 5)",
    "customer": "MOD(CONV(LEFT(MD5(uid), 8), 16, 10), 10000)",
}


def fill(engine: sa.Engine, jobs: int, rolled_up: timedelta = timedelta(days=_DAYS)) -> None:
    """Of the last 30 days, up to now; the rollups are of so long."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    values = {
        "jobs": jobs,
        "step": next(n for n in range(int(jobs * _GOLDEN), jobs + 1) if math.gcd(n, jobs) == 1),
        "began": now - timedelta(days=_DAYS),
        "seconds_each": _DAYS * 86400 / jobs,
        "finished": jobs - jobs // _UNFINISHED_SHARE,
        "kept_from": now - timedelta(hours=2),
    }
    _alter(engine, "DROP INDEX `{name}`")
    for first, end in pairwise([*range(0, jobs, _AT_ONCE), jobs]):
        of_batch = {"first_uid": _first_of_uid(first, jobs), "end_uid": _first_of_uid(end, jobs)}
        with engine.begin() as connection:
            connection.execute(sa.text(_job_rows(first, end - 1)), values)
            for statement in _OTHER_ROWS:
                connection.execute(sa.text(statement), values | of_batch)
    _alter(engine, "ADD INDEX `{name}` ({columns})")
    _roll_up(engine, now, rolled_up)
    with engine.begin() as connection:
        for table in (*_FILLED, ROLLUPS, HOURLY_ROLLUPS, ERROR_ROLLUPS):
            connection.exec_driver_sql(f"ANALYZE TABLE {table.name}")


def _alter(engine: sa.Engine, change: str) -> None:
    """Of every index at once: to build them of rows that are there takes a tenth of the time."""
    for table in _FILLED:
        changes = [
            change.format(name=index.name, columns=", ".join(f"`{c.name}`" for c in index.columns))
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
        if changes:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"ALTER TABLE {table.name} {', '.join(changes)}")


def _first_of_uid(k: int, jobs: int) -> str:
    return f"{k * 2**32 // jobs:08x}" if k < jobs else "g"


def _job_rows(first: int, last: int) -> str:
    numbered = ", ".join(f"{value} AS {name}" for name, value in _NUMBERED.items())
    drawn = ", ".join(f"{value} AS `{name}`" for name, value in _DRAWN.items())
    names = ", ".join(f"`{name}`" for name in _JOB)
    return (
        f"INSERT INTO jobs ({names}) SELECT {', '.join(_JOB.values())} FROM"
        f" (SELECT seq, uid, {drawn} FROM"
        f" (SELECT {numbered} FROM (SELECT seq AS k FROM seq_{first}_to_{last}) AS counted)"
        " AS numbered) AS drawn"
    )


def _attempt_rows(condition: str, attempt: str) -> str:
    names = ", ".join(f"`{name}`" for name in _ATTEMPT)
    return (
        f"INSERT INTO attempts ({names}) SELECT {', '.join(_ATTEMPT.values())} FROM"
        f" (SELECT *, {attempt} AS attempt {_OF_BATCH} AND {condition}) AS finished"
    )


_OTHER_ROWS = (
    "INSERT INTO job_details (uid, parameters, spec, resource_version)"
    f" SELECT uid, '{{}}', '{{}}', resource_version {_OF_BATCH}",
    *(
        "INSERT INTO job_labels (uid, name, value, created_at, resource_version)"
        f" SELECT uid, '{name}', {value}, created_at, resource_version {_OF_BATCH}"
        for name, value in _LABELS.items()
    ),
    _attempt_rows("completed_at IS NOT NULL", "attempts_total"),
    _attempt_rows("completed_at IS NOT NULL AND attempts_total = 2", "1"),
)


def _roll_up(engine: sa.Engine, now: datetime, span: timedelta) -> None:
    newest = rollups.bucket_of(now)
    count = int(span.total_seconds()) // BUCKET_SECONDS
    buckets = [
        {"bucket_at": newest - timedelta(seconds=BUCKET_SECONDS * number)}
        for number in range(count)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(STALE_BUCKETS), buckets)
        rollups.refresh(connection, len(buckets))


if __name__ == "__main__":
    database = sa.create_engine(sys.argv[1])
    upgrade(database)
    fill(database, int(sys.argv[2]))
