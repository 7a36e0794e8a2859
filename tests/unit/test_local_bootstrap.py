"""What `make` does first in a checkout: deploy/local/bootstrap.sh makes .local/venv."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Makes environments whose pip takes until the test goes on.
PYTHON = f"""#!/bin/sh
[ "$1" = -c ] && exec {sys.executable} "$@"
echo made >> made
mkdir -p .local/venv/bin
printf '#!/bin/sh\\necho installing\\nread -r _ < go\\n' > .local/venv/bin/pip
printf '#!/bin/sh\\n' > .local/venv/bin/uv
chmod +x .local/venv/bin/*
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "deploy" / "local").mkdir(parents=True)
    shutil.copy(ROOT / "deploy" / "local" / "bootstrap.sh", tmp_path / "deploy" / "local")
    (tmp_path / "deploy" / "requirements.lock").touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    os.mkfifo(tmp_path / "go")
    return tmp_path


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    first = _start(checkout)
    assert _line(first) == "installing\n"
    second = _start(checkout)
    assert "Waiting for another" in _line(second)
    (checkout / "go").write_text("\n")
    assert (first.wait(10), second.wait(10)) == (0, 0)
    assert (checkout / "made").read_text() == "made\n"


def test_one_that_was_broken_off_is_made_anew_by_the_one_that_waited(checkout: Path) -> None:
    first = _start(checkout)
    assert _line(first) == "installing\n"
    second = _start(checkout)
    assert "Waiting for another" in _line(second)
    (checkout / ".local" / "venv" / "bin" / "uv").write_text("#!/bin/sh\nexit 1\n")
    (checkout / "go").write_text("\n")
    assert first.wait(10) == 1
    assert _line(second) == "installing\n"
    (checkout / "go").write_text("\n")
    assert second.wait(10) == 0


def _start(checkout: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["timeout", "30", checkout / "deploy" / "local" / "bootstrap.sh"],
        env={**os.environ, "PYTHON": str(checkout / "python")},
        stdout=subprocess.PIPE,
        text=True,
    )


def _line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    return process.stdout.readline()
