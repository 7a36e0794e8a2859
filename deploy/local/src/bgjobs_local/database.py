"""The passwords of the local cluster's database."""

import secrets

import yaml

_ADDRESS = "mariadb.bgjobs-system.svc:3306/bgjobs?charset=utf8mb4"


def database_secret() -> str:
    """The manifest of the Secret `bgjobs-database`, with new random passwords.

    `url` is the operator's SQLAlchemy URL, `dashboard-url` that of a user who may
    only read. `init.sql` makes the database and both users at each start of the
    server. Its root needs no password and comes in from inside its pod only.
    """
    operator, dashboard = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "bgjobs-database", "namespace": "bgjobs-system"},
            "stringData": {
                "url": f"mysql+pymysql://bgjobs:{operator}@{_ADDRESS}",
                "dashboard-url": f"mysql+pymysql://dashboard:{dashboard}@{_ADDRESS}",
                "init.sql": _init_sql(operator, dashboard),
            },
        }
    )


def _init_sql(operator: str, dashboard: str) -> str:
    # One statement a line, as MariaDB's --init-file wants it. The passwords need no escaping:
    # they are letters, digits, - and _.
    return f"""\
CREATE DATABASE IF NOT EXISTS bgjobs CHARACTER SET utf8mb4;
CREATE OR REPLACE USER bgjobs IDENTIFIED BY '{operator}';
GRANT ALL ON bgjobs.* TO bgjobs;
CREATE OR REPLACE USER dashboard IDENTIFIED BY '{dashboard}';
GRANT SELECT ON bgjobs.* TO dashboard;
"""
