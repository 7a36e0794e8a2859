"""python -m academic: its database is prepared by command, and filled with something to look at."""

import subprocess
import sys
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.orm import Session
from tests import academics

from academic.service.accounts import Throttle, sign_in
from academic.service.outbox import OUTBOX
from academic.store.database import connect
from academic.store.schema import Submission
from bgjobs_local.processes import ENVIRONMENT


def _academic(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "academic", *arguments],
        env={**ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_empty_database_is_filled_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/academic.db"
    assert _academic("migrate", ACADEMIC_DATABASE_URL=url).returncode == 0
    password = ("--password", academics.PASSWORD)
    first = _academic("seed", *password, ACADEMIC_DATABASE_URL=url)
    assert first.returncode == 0, first.stderr
    assert academics.PASSWORD in first.stdout
    second = _academic("seed", *password, ACADEMIC_DATABASE_URL=url)
    assert second.returncode == 2
    assert "seed fills an empty one" in second.stderr
    with Session(connect(url)) as session:
        for email in ("admin", "mira", "ada", "ben", "chen", "dana", "elif"):
            assert email in first.stdout
            address = f"{email}@academic.example"
            assert sign_in(session, Throttle(lambda: 0.0), address, academics.PASSWORD)
        assert session.scalar(sa.select(sa.func.count(Submission.id))) == 7
        # Four jobs each, and the run of each of three programs.
        assert session.scalar(sa.select(sa.func.count()).select_from(OUTBOX.table)) == 31


def test_a_database_that_is_missing_is_named(tmp_path: Path) -> None:
    for command in ("migrate", "seed", "serve"):
        done = _academic(command)
        assert done.returncode == 2
        assert "ACADEMIC_DATABASE_URL" in done.stderr
    unusable = _academic("migrate", ACADEMIC_DATABASE_URL="no url")
    assert unusable.returncode == 2
    assert "cannot be used" in unusable.stderr
    untouched = _academic("seed", ACADEMIC_DATABASE_URL=f"sqlite:///{tmp_path}/none.db")
    assert untouched.returncode == 1
    assert "Traceback" not in untouched.stderr
