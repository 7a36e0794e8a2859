"""Brings the mirror's database to the newest schema."""

import sqlalchemy as sa
from alembic import command
from alembic.config import Config


def upgrade(engine: sa.Engine) -> None:
    config = Config()
    config.set_main_option("script_location", "bgjobs.mirror:migrations")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
