"""How the mirror's database is reached."""

import sqlalchemy as sa

_ANSWERS_WITHIN_SECONDS = 30
_TIMEOUTS = ("connect_timeout", "read_timeout", "write_timeout")


def connect(url: str) -> sa.Engine:
    """An engine that notices when a server or the way to it is gone.

    Raises ArgumentError and ImportError where the URL cannot be used.
    """
    is_mysql = sa.make_url(url).get_driver_name() == "pymysql"
    timeouts = dict.fromkeys(_TIMEOUTS, _ANSWERS_WITHIN_SECONDS) if is_mysql else {}
    return sa.create_engine(url, pool_pre_ping=True, connect_args=timeouts)
