"""What the mirror sends to a server of MySQL's kind."""

import pytest
import sqlalchemy as sa
from pymysql.cursors import RE_INSERT_VALUES
from sqlalchemy.dialects.mysql.pymysql import MySQLDialect_pymysql

from bgjobs.mirror.schema import (
    ACTIONS,
    ATTEMPTS,
    JOB_DETAILS,
    JOB_LABELS,
    JOBS,
    LOG_TAILS,
    STALE_BUCKETS,
)
from bgjobs.mirror.statements import guarded_upsert, insert_missing, upsert

_STATEMENTS = [
    *(guarded_upsert("mysql", table) for table in (JOBS, JOB_DETAILS, JOB_LABELS, ATTEMPTS)),
    upsert("mysql", LOG_TAILS, "text"),
    insert_missing("mysql", ACTIONS),
    insert_missing("mysql", STALE_BUCKETS),
]


@pytest.mark.parametrize("statement", _STATEMENTS, ids=lambda statement: statement.table.name)
@pytest.mark.parametrize("is_mysql_8", [True, False], ids=["MySQL 8", "MariaDB"])
def test_many_rows_are_one_statement(statement: sa.Insert, is_mysql_8: bool) -> None:
    """PyMySQL sends them one by one unless it understands the statement.

    SQLAlchemy learns from the server that it is MySQL 8, which names the new row by an alias.
    """
    dialect = MySQLDialect_pymysql()
    dialect._requires_alias_for_on_duplicate_key = is_mysql_8
    sql = str(statement.compile(dialect=dialect))
    assert (" AS new ON DUPLICATE KEY" in sql) is is_mysql_8
    understood = RE_INSERT_VALUES.match(sql)
    assert understood
    assert understood[2].count("%s") == len(statement.table.columns)
    assert (
        understood[3].strip() == sql[sql.index(" AS new " if is_mysql_8 else " ON DUP") :].strip()
    )
