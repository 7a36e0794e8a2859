"""Brings the mirror's database to a version of its schema."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def upgrade(engine: sa.Engine) -> None:
    """To the newest."""
    with engine.begin() as connection:
        command.upgrade(_config(connection), "head")


def downgrade(engine: sa.Engine, revision: str) -> None:
    """To an older one, such as 0002; "base" leaves no table. What that cannot hold is lost."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def _config(connection: sa.Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "bgjobs.mirror:migrations")
    config.attributes["connection"] = connection
    return config
