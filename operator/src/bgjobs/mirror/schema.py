"""The mirror's tables; what lists show lies apart from what is large. Times are UTC.

Names and labels compare by their bytes, as Kubernetes' do. A row of jobs, job_details, job_labels
and attempts is of one state of its BackgroundJob, told by (epoch, resource_version): the epoch
grows when the API server's versions went back, as after a restore of etcd.
"""

from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    Column,
    DateTime,
    Float,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
)
from sqlalchemy.dialects.mysql import MEDIUMTEXT

METADATA = MetaData()

RESOURCE_VERSION_DIGITS = 39
"""Digits of the largest 128-bit number; zero-padded, versions compare as text."""

MAX_USER_CHARACTERS = 512
"""Longer than any service account's name."""

DELETED = "Deleted"
"""The phase of what was deleted before it ended."""

BUCKET_SECONDS = 300
"""Of rollups; a bucket is named by its start."""

STEP_SECONDS = (1, 2, 3, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 21600)
"""Upper bounds, inclusive, of the histograms' steps; the last step of each has none."""

_LARGE_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

BY_BYTES: dict[str, Any] = {
    f"{dialect}_{option}": value
    for dialect in ("mysql", "mariadb")
    for option, value in (("charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}


def _version() -> tuple[Column[Any], ...]:
    return (
        Column("epoch", Integer, nullable=False, server_default="0"),
        Column("resource_version", CHAR(RESOURCE_VERSION_DIGITS), nullable=False),
    )


JOBS = Table(
    "jobs",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("class", String(253), nullable=False),
    Column("method", String(253), nullable=False),
    Column("priority", SmallInteger, nullable=False, doc="1 High, 2 Medium, 3 Low"),
    Column("delay_seconds", Integer, nullable=False),
    Column("effective_delay_seconds", Integer),
    Column("retries", Integer, nullable=False),
    Column("effective_retries", Integer),
    Column("phase", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("message", String(1024), nullable=False),
    Column("run", Integer, nullable=False),
    Column("attempts_total", Integer, nullable=False, doc="finished ones, of all runs"),
    Column("run_seconds", Float, doc="of the last attempt"),
    Column("created_at", DateTime, nullable=False),
    Column("next_attempt_at", DateTime),
    Column("started_at", DateTime, doc="the first attempt of all"),
    Column("completed_at", DateTime),
    Column("deleted_at", DateTime, doc="when its BackgroundJob was seen to be gone"),
    Column("resource_version", CHAR(RESOURCE_VERSION_DIGITS), nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column(
        "attempts_of_run",
        Integer,
        nullable=False,
        server_default="0",
        doc="finished ones of this run",
    ),
    Column("retries_used", Integer, nullable=False, server_default="0", doc="in this run"),
    Column("disruptions", Integer, nullable=False, server_default="0", doc="in this run"),
    Column(
        "could_start_at",
        DateTime,
        doc="when the next attempt of an unfinished job may start, or could have; "
        "ages of waiting count from here",
    ),
    Column("error_group", CHAR(12), doc="of the last attempt of this run, if that failed"),
    # Whatever combination of equalities a list has, one of these has it, in the list's order.
    # Priorities are few: a list of all is read as one of each, and of several reasons likewise.
    Index("jobs_by_time", "created_at", "uid"),
    Index("jobs_by_priority", "priority", "created_at", "uid"),
    Index("jobs_by_state", "phase", "reason", "priority", "created_at", "uid"),
    Index("jobs_by_class", "class", "priority", "created_at", "uid"),
    Index("jobs_by_class_state", "class", "phase", "reason", "priority", "created_at", "uid"),
    Index("jobs_by_namespace", "namespace", "priority", "created_at", "uid"),
    Index(
        "jobs_by_namespace_state",
        *("namespace", "phase", "reason", "priority", "created_at", "uid"),
    ),
    Index("jobs_by_namespace_class", "namespace", "class", "priority", "created_at", "uid"),
    Index(
        "jobs_by_namespace_class_state",
        *("namespace", "class", "phase", "reason", "priority", "created_at", "uid"),
    ),
    Index("jobs_by_name", "name", "created_at", "uid"),
    # What is in the cluster (deleted_at is null), the waiting ones in the queue's order.
    Index("jobs_by_deletion", "deleted_at", "phase", "reason", "priority", "could_start_at", "uid"),
    **BY_BYTES,
)
"""A row for each BackgroundJob there is or was, as lists show it."""

JOB_DETAILS = Table(
    "job_details",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("parameters", _LARGE_TEXT, nullable=False, doc="JSON"),
    Column("result", Text, doc="JSON; null if there is none"),
    Column("resource_version", CHAR(RESOURCE_VERSION_DIGITS), nullable=False),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column("spec", Text, doc="JSON: the spec but for its parameters"),
    **BY_BYTES,
)

JOB_LABELS = Table(
    "job_labels",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("name", String(317), primary_key=True),
    Column("value", String(63), nullable=False),
    Column("created_at", DateTime, nullable=False, doc="of the job"),
    *_version(),
    Index("job_labels_by_value", "name", "value", "created_at", "uid"),
    **BY_BYTES,
)

ATTEMPTS = Table(
    "attempts",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False, doc="from 1 in each run"),
    Column("job_name", String(63), nullable=False, doc="of the child Job"),
    Column("node_name", String(253)),
    Column("outcome", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("message", Text, nullable=False),
    Column("exit_code", Integer),
    Column("could_start_at", DateTime),
    Column("started_at", DateTime, doc="null if it never ran"),
    Column("finished_at", DateTime, nullable=False),
    Column("wait_seconds", Float, doc="from could_start_at to started_at; null if it never ran"),
    Column("run_seconds", Float, doc="from started_at to finished_at; null if it never ran"),
    Column("peak_memory_bytes", BigInteger),
    Column("memory_limit_bytes", BigInteger),
    Column("cpu_seconds", Float),
    Column("error_group", CHAR(12), doc="null unless it failed"),
    Column("error_type", String(256), doc="of the exception, else the reason"),
    Column("error_place", String(1024), doc="module:line in function; null if not known"),
    Column("ended_as", String(16), doc="the phase in which it ended its run; null if it did not"),
    # As its job has them.
    Column("class", String(253), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("created_at", DateTime, nullable=False, doc="of the job"),
    *_version(),
    Index("attempts_by_time", "finished_at"),
    Index("attempts_by_error", "error_group", "created_at", "uid"),
    Index("attempts_by_error_time", "error_group", "finished_at"),
    **BY_BYTES,
)
"""Every attempt that has ended, also those that the status has dropped."""

LOG_TAILS = Table(
    "log_tails",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("run", Integer, primary_key=True, autoincrement=False),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("text", _LARGE_TEXT, nullable=False, doc="the last 16 KiB, redacted"),
    **BY_BYTES,
)

ACTIONS = Table(
    "actions",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("by_user", String(MAX_USER_CHARACTERS), nullable=False),
    Column("at", DateTime, nullable=False),
    **BY_BYTES,
)
"""Who did what to a job; the ordinal counts starts by hand and retries, a cancel has its run's."""

WAIT_STEPS = tuple(f"wait_{number}" for number in range(len(STEP_SECONDS) + 1))
RUN_STEPS = tuple(f"run_{number}" for number in range(len(STEP_SECONDS) + 1))
ROLLUP_SUMS = (
    *("attempts", "failed_attempts", "disrupted_attempts"),
    *("succeeded", "failed", "cancelled", "run_seconds", "cpu_seconds"),
    *WAIT_STEPS,
    *RUN_STEPS,
)
ROLLUP_MAXIMA = ("peak_memory_bytes", "memory_limit_bytes", "memory_share")
"""How the figures of several rollups become one: these are added up, of those the highest holds."""


def _rollups(name: str) -> Table:
    return Table(
        name,
        METADATA,
        Column("bucket_at", DateTime, primary_key=True),
        Column("class", String(253), primary_key=True),
        Column("priority", SmallInteger, primary_key=True, autoincrement=False),
        Column("attempts", Integer, nullable=False),
        Column("failed_attempts", Integer, nullable=False, doc="Failed and JobDeleted"),
        Column("disrupted_attempts", Integer, nullable=False),
        Column("succeeded", Integer, nullable=False, doc="runs of jobs, as the next two"),
        Column("failed", Integer, nullable=False),
        Column("cancelled", Integer, nullable=False),
        Column("run_seconds", Float, nullable=False, doc="the sum"),
        Column("cpu_seconds", Float, nullable=False, doc="the sum"),
        Column("peak_memory_bytes", BigInteger, doc="the highest"),
        Column("memory_limit_bytes", BigInteger, doc="the highest"),
        Column("memory_share", Float, doc="the highest peak as a share of its attempt's limit"),
        *(Column(step, Integer, nullable=False) for step in (*WAIT_STEPS, *RUN_STEPS)),
        Index(f"{name}_by_class", "class", "bucket_at"),
        **BY_BYTES,
    )


ROLLUPS = _rollups("rollups")
"""The attempts that finished within 5 minutes, and the runs that they ended.

A job that ended without one, rejected or cancelled before it started, is in none: it took no time.
wait_n and run_n count attempts that waited and ran more than STEP_SECONDS[n - 1] and at most
STEP_SECONDS[n].
"""

HOURLY_ROLLUPS = _rollups("hourly_rollups")
"""What those of an hour add up to, for periods that have too many of them."""

ERROR_ROLLUPS = Table(
    "error_rollups",
    METADATA,
    Column("bucket_at", DateTime, primary_key=True),
    Column("error_group", CHAR(12), primary_key=True),
    Column("class", String(253), primary_key=True),
    Column("attempts", Integer, nullable=False),
    Column("failed", Integer, nullable=False, doc="runs of jobs that one of them ended"),
    Index("error_rollups_by_group", "error_group", "bucket_at"),
    **BY_BYTES,
)

STALE_BUCKETS = Table(
    "stale_buckets",
    METADATA,
    Column("bucket_at", DateTime, primary_key=True),
    **BY_BYTES,
)
"""Whose attempts have changed since their rollups were computed."""

META = Table(
    "meta",
    METADATA,
    Column("id", SmallInteger, primary_key=True, autoincrement=False, doc="always 1"),
    Column("as_of", DateTime, doc="all that was known by then is written"),
    Column("written_at", DateTime, doc="the last sign of life; more than 30 s ago: it is stuck"),
    Column("pending", Integer, nullable=False, server_default="0", doc="jobs still to write"),
    Column("swept_at", DateTime, doc="when the last sweep that saw everything began"),
    Column("epoch", Integer, nullable=False, server_default="0"),
    Column(
        "list_version",
        CHAR(RESOURCE_VERSION_DIGITS),
        doc="of the last sweep; a lower one of the same epoch means a restored etcd",
    ),
    **BY_BYTES,
)
"""How far the mirror is. Its one row is there once an operator has written."""
