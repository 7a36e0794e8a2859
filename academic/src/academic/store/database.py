"""How the database is reached."""

from collections.abc import Mapping

import sqlalchemy as sa

VARIABLE = "ACADEMIC_DATABASE_URL"
_ANSWERS_WITHIN_SECONDS = 10
_CONNECTION_LASTS_SECONDS = 300
_TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")


def connect(url: str) -> sa.Engine:
    """An engine that notices when the server or the way to it is gone.

    Raises ArgumentError or ImportError where the URL cannot be used.
    """
    made = sa.make_url(url)
    is_mysql = made.get_backend_name() in ("mysql", "mariadb")
    engine = sa.create_engine(
        made,
        pool_pre_ping=True,
        pool_recycle=_CONNECTION_LASTS_SECONDS,
        # Each statement sees what was committed before it, as the jobs' results are.
        isolation_level="READ COMMITTED" if is_mysql else "SERIALIZABLE",
        connect_args=dict.fromkeys(_TIMEOUTS, _ANSWERS_WITHIN_SECONDS) if is_mysql else {},
    )
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _enforce_foreign_keys)
    return engine


def from_environment(environment: Mapping[str, str]) -> sa.Engine:
    """Raises ValueError where the variable is missing or cannot be used."""
    url = environment.get(VARIABLE)
    if not url:
        raise ValueError(f"set {VARIABLE}, for example mysql+pymysql://user:password@host/academic")
    try:
        return connect(url)
    except (sa.exc.ArgumentError, ImportError) as error:
        raise ValueError(f"{VARIABLE} cannot be used: {error}") from error


def _enforce_foreign_keys(connection: object, _: object) -> None:
    connection.execute("PRAGMA foreign_keys = ON")  # type: ignore[attr-defined]
