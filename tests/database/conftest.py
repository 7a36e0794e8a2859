"""The mirror's tables in real databases, without a cluster."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.mariadb import fresh_database


@pytest.fixture(params=["mariadb", "sqlite"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sa.Engine]:
    """A database without tables."""
    url = f"sqlite:///{tmp_path}/mirror.db"
    if request.param == "mariadb":
        url = fresh_database(request.getfixturevalue("mariadb"))
    engine = sa.create_engine(url)
    yield engine
    engine.dispose()
