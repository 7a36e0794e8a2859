"""The password of the local cluster's database."""

import secrets

import yaml

_ADDRESS = "mariadb.bgjobs-system.svc:3306/bgjobs?charset=utf8mb4"


def database_secret() -> str:
    """The manifest of the Secret `bgjobs-database`, with a new random password.

    `url` is the operator's SQLAlchemy URL. `init.sql` makes the database and its
    user at each start of the server. Its root needs no password and comes in from
    inside its pod only.
    """
    password = secrets.token_urlsafe(24)
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "bgjobs-database", "namespace": "bgjobs-system"},
            "stringData": {
                "url": f"mysql+pymysql://bgjobs:{password}@{_ADDRESS}",
                "init.sql": _init_sql(password),
            },
        }
    )


def _init_sql(password: str) -> str:
    # One statement a line, as MariaDB's --init-file wants it. The password needs no escaping:
    # it is letters, digits, - and _.
    return f"""\
CREATE DATABASE IF NOT EXISTS bgjobs CHARACTER SET utf8mb4;
CREATE OR REPLACE USER bgjobs IDENTIFIED BY '{password}';
GRANT ALL ON bgjobs.* TO bgjobs;
"""
