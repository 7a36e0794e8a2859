"""The passwords of the local cluster's databases, and the key of the dashboard's sessions."""

import secrets
from typing import Any

import yaml

_SERVER = "mariadb.bgjobs-system.svc:3306"
_MAIL = "smtp://postbox.academic.svc:25"


def database_secrets() -> str:
    """The manifests of the Secrets of bgjobs, its dashboard and the academic service.

    With new passwords. A URL of a database is an SQLAlchemy URL, of a user with
    all rights on it or, the dashboard's, of one who may only read. `init.sql`
    makes the databases and their users at each start of the server. Its root
    needs no password and comes in from inside its pod only.
    """
    passwords = {name: secrets.token_urlsafe(24) for name in ("bgjobs", "dashboard", "academic")}

    def url(user: str, database: str) -> str:
        return f"mysql+pymysql://{user}:{passwords[user]}@{_SERVER}/{database}?charset=utf8mb4"

    return yaml.safe_dump_all(
        [
            _secret(
                "bgjobs-system",
                "bgjobs-database",
                {"url": url("bgjobs", "bgjobs"), "init.sql": _init_sql(**passwords)},
            ),
            _secret(
                "bgjobs-system",
                "bgjobs-dashboard",
                {"url": url("dashboard", "bgjobs"), "session-key": secrets.token_urlsafe(32)},
            ),
            _secret(
                "academic",
                "academic",
                {
                    "ACADEMIC_DATABASE_URL": url("academic", "academic"),
                    "ACADEMIC_SMTP_URL": _MAIL,
                },
            ),
        ]
    )


def _secret(namespace: str, name: str, data: dict[str, str]) -> Any:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "stringData": data,
    }


def _init_sql(bgjobs: str, dashboard: str, academic: str) -> str:
    # One statement a line, as MariaDB's --init-file wants it. The passwords need no escaping:
    # they are letters, digits, - and _.
    return f"""\
CREATE DATABASE IF NOT EXISTS bgjobs CHARACTER SET utf8mb4;
CREATE DATABASE IF NOT EXISTS academic CHARACTER SET utf8mb4;
CREATE OR REPLACE USER bgjobs IDENTIFIED BY '{bgjobs}';
GRANT ALL ON bgjobs.* TO bgjobs;
CREATE OR REPLACE USER dashboard IDENTIFIED BY '{dashboard}';
GRANT SELECT ON bgjobs.* TO dashboard;
CREATE OR REPLACE USER academic IDENTIFIED BY '{academic}';
GRANT ALL ON academic.* TO academic;
"""
