"""A mirror with as many jobs as asked for, made up by the database itself (MariaDB's SEQUENCE).

Skewed as real ones are: of 50 classes and 20 namespaces the first have a third, one job in a
hundred is of High priority, few have failed, the newest are not finished, some labels and errors
are of a few jobs and some of many. python -m tests.bench.history URL JOBS fills a database at hand.
"""

import sys
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from bgjobs.mirror import rollups
from bgjobs.mirror.migrate import upgrade
from bgjobs.mirror.schema import BUCKET_SECONDS, STALE_BUCKETS

_DAYS = 30
_UNFINISHED_SHARE = 500
"""One in so many jobs, the newest, is not finished."""
_AT_ONCE = 20_000

# r(x) is a number from 0 to 1 that only the job and the letter decide.
_R = "(CRC32(CONCAT('{0}', seq)) / 4294967296)"
_COLUMNS = {
    "uid": "CONCAT_WS('-', SUBSTR(MD5(seq), 1, 8), SUBSTR(MD5(seq), 9, 4), SUBSTR(MD5(seq), 13, 4),"
    " SUBSTR(MD5(seq), 17, 4), SUBSTR(MD5(seq), 21))",
    "namespace": f"CONCAT('team-', FLOOR(20 * POW({_R.format('n')}, 4)))",
    "name": f"CONCAT(ELT(1 + FLOOR(4 * POW({_R.format('m')}, 3)), 'mail', 'sync', 'scan', 'bill'),"
    " '-', seq)",
    "class": f"CONCAT('shop.jobs.Class', FLOOR(50 * POW({_R.format('c')}, 4)))",
    "method": "'handle'",
    "priority": f"IF({_R.format('p')} < 0.01, 1, IF({_R.format('p')} < 0.8, 2, 3))",
    "delay_seconds": "0",
    "retries": "3",
    "phase": f"IF(seq > :finished, ELT(1 + FLOOR(3 * {_R.format('u')}), 'Pending', 'Retrying',"
    f" 'Running'), IF({_R.format('f')} < 0.97, 'Succeeded', IF({_R.format('f')} < 0.995, 'Failed',"
    f" IF({_R.format('f')} < 0.999, 'Cancelled', 'Rejected'))))",
    "reason": f"CASE phase_ WHEN 'Pending' THEN ELT(1 + FLOOR(4 * {_R.format('w')}), 'Queued',"
    f" 'Delayed', 'Paused', 'Starting') WHEN 'Retrying' THEN 'BackingOff' WHEN 'Failed' THEN"
    f" ELT(1 + FLOOR(3 * {_R.format('w')}), 'Error', 'OOMKilled', 'DeadlineExceeded')"
    " WHEN 'Rejected' THEN 'NotAllowed' ELSE phase_ END",
    "message": "'Attempt 1 of 4 is told of here in so many words as such a message has.'",
    "run": "1",
    "attempts_total": "1",
    "attempts_of_run": "1",
    "run_seconds": f"FLOOR(100 * POW({_R.format('d')}, 4))",
    "created_at": "created_",
    "could_start_at": "created_",
    "started_at": "created_",
    "completed_at": "IF(seq > :finished, NULL, created_ + INTERVAL 30 SECOND)",
    "error_group": "IF(phase_ = 'Failed', LEFT(MD5(CONCAT(class_, 'e')), 12), NULL)",
    "resource_version": "LPAD(seq, 39, '0')",
}
_CREATED = "(TIMESTAMP(:began) + INTERVAL FLOOR(seq * :seconds_each) SECOND)"


def fill(engine: sa.Engine, jobs: int) -> None:
    """Of the last 30 days, up to now. The rollups are of the last day."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    values = {
        "began": now - timedelta(days=_DAYS),
        "seconds_each": _DAYS * 86400 / jobs,
        "finished": jobs - jobs // _UNFINISHED_SHARE,
    }
    for first in range(1, jobs + 1, _AT_ONCE):
        last = min(jobs, first + _AT_ONCE - 1)
        with engine.begin() as connection:
            connection.exec_driver_sql("SET SESSION unique_checks = 0")
            for statement in _statements(first, last):
                connection.execute(sa.text(statement), values)
    _roll_up(engine, now)
    with engine.begin() as connection:
        for table in ("jobs", "job_labels", "attempts", "rollups", "error_rollups"):
            connection.exec_driver_sql(f"ANALYZE TABLE {table}")


def _statements(first: int, last: int) -> list[str]:
    derived = {
        "created_": _CREATED,
        "class_": _COLUMNS["class"],
        "phase_": _COLUMNS["phase"],
        "uid_": _COLUMNS["uid"],
    }
    source = ", ".join(f"{value} AS {name}" for name, value in derived.items())
    rows = f"(SELECT seq, {source} FROM seq_{first}_to_{last}) AS made"
    names = ", ".join(f"`{name}`" for name in _COLUMNS)
    job = ", ".join(_COLUMNS.values())
    attempt = (
        "uid, run, attempt, job_name, node_name, outcome, reason, message, exit_code,"
        " could_start_at, started_at, finished_at, wait_seconds, run_seconds, peak_memory_bytes,"
        " memory_limit_bytes, error_group, error_type, ended_as, class, priority, created_at,"
        " resource_version"
    )
    return [
        f"INSERT INTO jobs ({names}) SELECT {job} FROM {rows}",
        "INSERT INTO job_details (uid, parameters, spec, resource_version)"
        f" SELECT uid_, '{{}}', '{{}}', LPAD(seq, 39, '0') FROM {rows}",
        "INSERT INTO job_labels (uid, name, value, created_at, resource_version) SELECT uid_,"
        f" 'team', FLOOR(5 * POW({_R.format('t')}, 3)), created_, LPAD(seq, 39, '0') FROM {rows}",
        "INSERT INTO job_labels (uid, name, value, created_at, resource_version) SELECT uid_,"
        f" 'customer', FLOOR(10000 * {_R.format('k')}), created_, LPAD(seq, 39, '0') FROM {rows}",
        f"INSERT INTO attempts ({attempt}) SELECT uid_, 1, 1, CONCAT('job-', seq), 'node-1',"
        " IF(phase_ = 'Failed', 'Failed', 'Succeeded'), IF(phase_ = 'Failed', 'Error', phase_),"
        " 'failed with exit code 1', IF(phase_ = 'Failed', 1, 0), created_, created_,"
        f" created_ + INTERVAL 30 SECOND, 1, FLOOR(100 * POW({_R.format('d')}, 4)),"
        " 100000000, 268435456, IF(phase_ = 'Failed', LEFT(MD5(CONCAT(class_, 'e')), 12), NULL),"
        f" IF(phase_ = 'Failed', 'ValueError', NULL), phase_, class_, {_COLUMNS['priority']},"
        f" created_, LPAD(seq, 39, '0') FROM {rows} WHERE seq <= :finished",
    ]


def _roll_up(engine: sa.Engine, now: datetime) -> None:
    newest = rollups.bucket_of(now)
    buckets = [
        {"bucket_at": newest - timedelta(seconds=BUCKET_SECONDS * number)} for number in range(288)
    ]
    with engine.begin() as connection:
        connection.execute(sa.insert(STALE_BUCKETS), buckets)
        rollups.refresh(connection, len(buckets))


if __name__ == "__main__":
    database = sa.create_engine(sys.argv[1])
    upgrade(database)
    fill(database, int(sys.argv[2]))
