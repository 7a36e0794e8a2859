"""How the parts are wired together."""

import pytest
import sqlalchemy as sa
from tests.unit.builders import CLASS, Time, background_job

from bgjobs.domain.configuration import ALLOWLIST
from bgjobs.domain.resource import Phase, Status
from bgjobs.kube.api import Api
from bgjobs.main import Parts, assemble, main
from bgjobs.mirror.writer import MirrorWriter
from bgjobs.settings import Settings


class NoApi(Api):
    """Of which nothing is asked."""

    def __init__(self) -> None:
        pass


@pytest.fixture
def parts() -> Parts:
    mirror = MirrorWriter(sa.create_engine("sqlite://"))
    return assemble(Settings(database_url="sqlite://"), NoApi(), mirror, Time().now)


@pytest.mark.parametrize("url", ["", "database", "mysql://shop@db/jobs", "mysqll://shop@db/jobs"])
def test_what_is_no_database_ends_it_with_a_sentence(
    url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BGJOBS_DATABASE_URL", url)
    assert main() == 2
    assert capsys.readouterr().err.startswith("BGJOBS_DATABASE_URL cannot be used: ")


async def test_another_configuration_is_a_reason_to_look_at_what_is_not_finished(
    parts: Parts,
) -> None:
    parts.views.put_job(background_job(uid="waits"))
    parts.views.put_job(background_job(Status(phase=Phase.FAILED), uid="finished"))
    metadata = {"namespace": "bgjobs-system", "uid": "c"}
    parts.configuration.seen(ALLOWLIST, {"metadata": metadata, "data": {CLASS: "handle"}})
    assert len(parts.queue) == 1
    assert await parts.queue.get() == "waits"
