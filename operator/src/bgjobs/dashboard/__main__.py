"""python -m bgjobs.dashboard: serves the dashboard."""

import logging
import os
import sys
import time
from functools import partial

import sqlalchemy as sa
import uvicorn
from kubernetes.config import ConfigException
from sqlalchemy.exc import ArgumentError

from bgjobs.dashboard import cluster
from bgjobs.dashboard.access import Gate
from bgjobs.dashboard.app import create
from bgjobs.dashboard.context import Dashboard
from bgjobs.dashboard.session import Sessions
from bgjobs.dashboard.settings import Settings

_DATABASE_SECONDS = 3
_CONNECTION_LASTS_SECONDS = 300
_STATEMENTS_KEPT = 100
"""Of those that are put together for each page; lists keep theirs as texts (sql)."""


def main() -> int:
    try:
        settings = Settings.from_environment(os.environ)
        engine = _engine(settings.database_url)
        client = cluster.own_client()
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except (ArgumentError, ImportError) as error:
        print(f"BGJOBS_DATABASE_URL cannot be used: {error}", file=sys.stderr)
        return 2
    except ConfigException as error:
        print(f"no way to the API server, set KUBECONFIG: {error}", file=sys.stderr)
        return 1
    logging.basicConfig(
        level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    dashboard = Dashboard(
        engine=engine,
        client=client,
        sessions=Sessions(settings.session_key),
        gate=Gate(partial(cluster.review, client), time.monotonic),
        operator_namespace=settings.namespace,
        has_actions=settings.actions,
    )
    uvicorn.run(
        create(dashboard),
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
    )
    return 0


def _engine(url: str) -> sa.Engine:
    """A database that is slow is as good as none: nobody waits longer for a page."""
    seconds = {
        "connect_timeout": _DATABASE_SECONDS,
        "read_timeout": _DATABASE_SECONDS,
        "write_timeout": _DATABASE_SECONDS,
    }
    engine = sa.make_url(url)
    return sa.create_engine(
        engine,
        pool_pre_ping=True,
        pool_recycle=_CONNECTION_LASTS_SECONDS,
        pool_timeout=_DATABASE_SECONDS,
        isolation_level="AUTOCOMMIT",
        query_cache_size=_STATEMENTS_KEPT,
        connect_args=seconds if engine.get_backend_name() in ("mysql", "mariadb") else {},
    )


if __name__ == "__main__":
    sys.exit(main())
