"""Brings the database to a version of its schema."""

import time

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from sqlalchemy.exc import OperationalError

_REFUSED_FOR_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
_CANNOT_CONNECT = 2003
"""MySQL's client error CR_CONN_HOST_ERROR."""


def upgrade(engine: sa.Engine) -> None:
    """To the newest."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), "head")


def downgrade(engine: sa.Engine, revision: str) -> None:
    """To an older one; "base" leaves no table. What that cannot hold is lost."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def upgrade_once_it_answers(engine: sa.Engine) -> None:
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


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "academic.store:migrations")
    config.attributes["connection"] = connection
    return config
