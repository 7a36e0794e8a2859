"""Building programs from source into the per-user cache."""

import subprocess
import sys
from pathlib import Path

import pytest

from bgjobs_local import binaries


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of ours; the compiler keeps its own."""
    monkeypatch.setenv("GOCACHE", str(binaries.cache().with_name("go-build")))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def ensure_pause() -> subprocess.Popen[str]:
    code = "from bgjobs_local import binaries; binaries.ensure(['pause'])"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def test_two_callers_at_once_build_a_program_once() -> None:
    callers = [ensure_pause() for _ in range(2)]
    said = [caller.communicate()[0] for caller in callers]
    assert [caller.returncode for caller in callers] == [0, 0]
    assert "".join(said).count("pause: built in") == 1


def test_a_built_program_is_not_built_again(capsys: pytest.CaptureFixture[str]) -> None:
    binaries.ensure(["pause"])
    capsys.readouterr()
    binaries.ensure(["pause"])
    assert capsys.readouterr().out == ""


def test_another_pin_is_another_place_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "MODULES", tmp_path)
    go_mod = tmp_path / "pause" / "go.mod"
    go_mod.parent.mkdir()
    (go_mod.parent / "main.go").write_text("package main\nfunc main() {}\n")
    go_mod.write_text("module bgjobs.dev/local/pause\n")
    before = binaries.ensure(["pause"])
    go_mod.write_text("module bgjobs.dev/local/pause\n\ngo 1.26.0\n")
    assert binaries.ensure(["pause"]) != before
