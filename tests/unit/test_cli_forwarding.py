"""The way to the dashboard is kubectl's port-forward, as long as that runs."""

from pathlib import Path

import pytest

from bgjobs.cli.errors import CommandError
from bgjobs.cli.forwarding import forward


def _kubectl(directory: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program = directory / "kubectl"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")


def test_it_opens_the_port_that_kubectl_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _kubectl(
        tmp_path,
        'echo "$@" > "$(dirname "$0")/asked"\n'
        "echo 'Forwarding from 127.0.0.1:4242 -> 8080'\n"
        "echo 'Forwarding from [::1]:4242 -> 8080'",
        monkeypatch,
    )
    opened: list[str] = []
    forward("elsewhere", 0, ["--context", "c"], opened.append)
    assert opened == ["http://127.0.0.1:4242"]
    assert (tmp_path / "asked").read_text().split() == [
        *("port-forward", "-n", "elsewhere", "--context", "c"),
        *("service/bgjobs-dashboard", ":8080"),
    ]


def test_where_kubectl_fails_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _kubectl(tmp_path, "exit 1", monkeypatch)
    with pytest.raises(CommandError, match="kubectl has said why"):
        forward("n", 8080, [], print)


def test_without_kubectl_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(CommandError, match="install kubectl"):
        forward("n", 8080, [], print)
