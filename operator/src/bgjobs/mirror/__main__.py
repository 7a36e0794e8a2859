"""python -m bgjobs.mirror: upgrades the schema of the database at BGJOBS_DATABASE_URL."""

import os
import sys

from sqlalchemy.exc import SQLAlchemyError

from bgjobs.mirror.database import connect
from bgjobs.mirror.migrate import upgrade


def main() -> int:
    url = os.environ.get("BGJOBS_DATABASE_URL")
    if not url:
        print("set BGJOBS_DATABASE_URL, for example mysql+pymysql://...", file=sys.stderr)
        return 2
    try:
        upgrade(connect(url))
    except (SQLAlchemyError, ImportError) as error:
        print(f"the schema was not upgraded: {error}", file=sys.stderr)
        return 1
    print("the schema is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
