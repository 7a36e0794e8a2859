"""The mirror's tables. Listed columns in one table, large ones in another."""

from sqlalchemy import (
    CHAR,
    Column,
    DateTime,
    Float,
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

_LARGE_TEXT = Text().with_variant(MEDIUMTEXT(), "mysql", "mariadb")

JOBS = Table(
    "jobs",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("namespace", String(63), nullable=False),
    Column("name", String(253), nullable=False),
    Column("class", String(253), nullable=False),
    Column("method", String(253), nullable=False),
    Column("priority", SmallInteger, nullable=False),
    Column("delay_seconds", Integer, nullable=False),
    Column("effective_delay_seconds", Integer),
    Column("retries", Integer, nullable=False),
    Column("effective_retries", Integer),
    Column("phase", String(16), nullable=False),
    Column("reason", String(32), nullable=False),
    Column("message", String(1024), nullable=False),
    Column("run", Integer, nullable=False),
    Column("attempts_total", Integer, nullable=False),
    Column("run_seconds", Float),
    Column("created_at", DateTime, nullable=False),
    Column("next_attempt_at", DateTime),
    Column("started_at", DateTime),
    Column("completed_at", DateTime),
    Column("deleted_at", DateTime),
    Column("resource_version", CHAR(RESOURCE_VERSION_DIGITS), nullable=False),
    mysql_charset="utf8mb4",
)

JOB_DETAILS = Table(
    "job_details",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("parameters", _LARGE_TEXT, nullable=False),
    Column("result", Text),
    Column("resource_version", CHAR(RESOURCE_VERSION_DIGITS), nullable=False),
    mysql_charset="utf8mb4",
)

ACTIONS = Table(
    "actions",
    METADATA,
    Column("uid", CHAR(36), primary_key=True),
    Column("action", String(16), primary_key=True),
    Column("ordinal", Integer, primary_key=True, autoincrement=False),
    Column("by_user", String(MAX_USER_CHARACTERS), nullable=False),
    Column("at", DateTime, nullable=False),
    mysql_charset="utf8mb4",
)
"""Who did what to a job; the ordinal counts starts by hand and retries, a cancel has its run's."""
