"""Fixtures that several of the tests share which need no server."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import academics
from tests.academics import School


@pytest.fixture(scope="session")
def sqlite_school(tmp_path_factory: pytest.TempPathFactory) -> School:
    """To be copied (academics.copy), because it takes a second to make."""
    school = academics.school(f"sqlite:///{tmp_path_factory.mktemp('school')}/school.db")
    school.engine.dispose()
    return school


@pytest.fixture
def school(sqlite_school: School, tmp_path: Path) -> Iterator[School]:
    """The academic service's database, for one test."""
    school = academics.copy(sqlite_school, tmp_path)
    yield school
    school.engine.dispose()
