"""The plugin installs as README.md says, without the parts of a server."""

import os
import subprocess
import sys
from pathlib import Path

from tests.server import ROOT

_SERVER_PARTS = {
    "alembic",
    "kopf",
    "orjson",
    "prometheus_client",
    "pymysql",
    "sqlalchemy",
    "uvloop",
}


def test_it_installs_as_a_tool_of_its_own(tmp_path: Path) -> None:
    command = "uv tool install './operator[cli]'"
    assert f"`{command}`" in (ROOT / "README.md").read_text()
    # The versions of the lock, and no tool of whoever runs the tests.
    script = f"{command} --constraints deploy/requirements.lock --python {sys.executable}"
    tools, programs = tmp_path / "tools", tmp_path / "bin"
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "UV_TOOL_DIR": str(tools),
        "UV_TOOL_BIN_DIR": str(programs),
    }
    _run("bash", "-c", script, environment=environment)
    assert {each.name for each in programs.iterdir()} == {
        "kubectl-bgjob",
        "kubectl_complete-bgjob",
    }
    [packages] = tools.glob("bgjobs/lib/python*/site-packages")
    installed = {each.name.lower() for each in packages.iterdir()}
    assert {"bgjobs", "kubernetes", "rich", "typer"} <= installed
    assert installed & _SERVER_PARTS == set()
    said = _run(str(programs / "kubectl-bgjob"), "--help", environment=environment)
    assert said.startswith("Usage: kubectl bgjob ")


def _run(*command: str, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
