"""python -m bgjobs.mirror waits for a server that is still starting, and for nothing else."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from bgjobs.mirror import __main__ as mirror


def _error(code: int) -> OperationalError:
    return OperationalError("", {}, Exception(code, "said the server"))


@pytest.mark.parametrize(
    ("code", "exit_code", "tries"),
    [
        pytest.param(2003, 0, 2, id="refused: again"),
        pytest.param(1045, 1, 1, id="a wrong password: not again"),
    ],
)
def test_only_a_refused_connection_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, code: int, exit_code: int, tries: int
) -> None:
    made: list[sa.Engine] = []

    def upgrade(engine: sa.Engine) -> None:
        made.append(engine)
        if len(made) == 1:
            raise _error(code)

    monkeypatch.setattr(mirror, "upgrade", upgrade)
    monkeypatch.setattr(mirror, "_PAUSE_SECONDS", 0)
    monkeypatch.setenv("BGJOBS_DATABASE_URL", "sqlite://")
    assert (mirror.main(), len(made)) == (exit_code, tries)
