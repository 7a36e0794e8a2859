"""The passwords of the local cluster's database, and the key of the dashboard's sessions."""

import secrets
from typing import Any

import yaml

_ADDRESS = "mariadb.bgjobs-system.svc:3306/bgjobs?charset=utf8mb4"


def database_secrets() -> str:
    """The manifests of the Secrets `bgjobs-database` and `bgjobs-dashboard`, with new passwords.

    `url` is an SQLAlchemy URL, of a user with all rights and of one who may only
    read. `init.sql` makes the database and its users at each start of the server.
    Its root needs no password and comes in from inside its pod only.
    """
    writer, reader = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    return yaml.safe_dump_all(
        [
            _secret(
                "bgjobs-database",
                {
                    "url": f"mysql+pymysql://bgjobs:{writer}@{_ADDRESS}",
                    "init.sql": _init_sql(writer, reader),
                },
            ),
            _secret(
                "bgjobs-dashboard",
                {
                    "url": f"mysql+pymysql://dashboard:{reader}@{_ADDRESS}",
                    "session-key": secrets.token_urlsafe(32),
                },
            ),
        ]
    )


def _secret(name: str, data: dict[str, str]) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "bgjobs-system"},
        "stringData": data,
    }


def _init_sql(writer: str, reader: str) -> str:
    # One statement a line, as MariaDB's --init-file wants it. The passwords need no escaping:
    # they are letters, digits, - and _.
    return f"""\
CREATE DATABASE IF NOT EXISTS bgjobs CHARACTER SET utf8mb4;
CREATE OR REPLACE USER bgjobs IDENTIFIED BY '{writer}';
GRANT ALL ON bgjobs.* TO bgjobs;
CREATE OR REPLACE USER dashboard IDENTIFIED BY '{reader}';
GRANT SELECT ON bgjobs.* TO dashboard;
"""
