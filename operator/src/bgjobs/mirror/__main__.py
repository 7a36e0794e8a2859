"""python -m bgjobs.mirror: upgrades the schema of the database at BGJOBS_DATABASE_URL."""

import os
import sys
import time

import sqlalchemy as sa
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from bgjobs.mirror.database import connect
from bgjobs.mirror.migrate import upgrade

_REFUSED_FOR_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_CANNOT_CONNECT = 2003
"""MySQL's client error CR_CONN_HOST_ERROR."""


def main() -> int:
    url = os.environ.get("BGJOBS_DATABASE_URL")
    if not url:
        print("set BGJOBS_DATABASE_URL, for example mysql+pymysql://...", file=sys.stderr)
        return 2
    try:
        _upgrade_once_it_answers(connect(url))
    except (SQLAlchemyError, ImportError) as error:
        print(f"the schema was not upgraded: {error}", file=sys.stderr)
        return 1
    print("the schema is up to date")
    return 0


def _upgrade_once_it_answers(engine: sa.Engine) -> None:
    """A server that is still starting refuses connections for a while."""
    deadline = time.monotonic() + _REFUSED_FOR_SECONDS
    while True:
        try:
            return upgrade(engine)
        except OperationalError as error:
            code = error.orig.args[0] if error.orig and error.orig.args else None
            if code != _CANNOT_CONNECT or time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
