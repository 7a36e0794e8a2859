"""The benchmark itself, at its smallest, from start to end."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest
from tests.server import ROOT

_JOBS, _ROUNDS, _STORED = 20, 1, 50


@pytest.fixture(scope="module", name="done")
def _done() -> subprocess.CompletedProcess[str]:
    sizes = {"jobs": _JOBS, "rounds": _ROUNDS, "stored": _STORED}
    options = [f"--{name}={size}" for name, size in sizes.items()]
    return subprocess.run(
        [sys.executable, "-m", "tests.bench", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


@pytest.fixture(scope="module", name="written")
def _written(done: subprocess.CompletedProcess[str]) -> Any:
    """The JSON, which does not outlive the test."""
    found = re.search(r"^Written to (\S+)$", done.stdout, re.MULTILINE)
    assert found, done.stdout + done.stderr
    file = ROOT / found[1]
    content = json.loads(file.read_text())
    file.unlink()
    return content


def test_it_shows_every_figure_that_it_writes(
    done: subprocess.CompletedProcess[str], written: Any
) -> None:
    assert written["sizes"] == {"jobs": _JOBS, "rounds": _ROUNDS, "stored": _STORED}
    assert len(written["figures"]) == 20
    assert all(figure["name"] in done.stdout for figure in written["figures"])


def test_it_fails_if_and_only_if_a_limit_is_passed(
    done: subprocess.CompletedProcess[str], written: Any
) -> None:
    failed = any(figure["verdict"] == "FAILED" for figure in written["figures"])
    assert done.returncode == int(failed), done.stderr


def test_it_counts_the_writes_of_every_job(written: Any) -> None:
    [one] = written["rounds"]
    assert one["plainJobs"]["writesPerJob"]["POST jobs"] == 1
    assert one["plainJobs"]["operatorsWritesPerJob"] == {}
    assert one["backgroundJobs"]["writesPerJob"]["POST backgroundjobs"] == 1
    assert one["backgroundJobs"]["operatorsWritesPerJob"]["POST jobs"] == 1


def test_plain_jobs_have_the_pods_that_background_jobs_get(written: Any) -> None:
    [one] = written["rounds"]
    for write in ("POST pods", "POST pods/binding", "PATCH pods/status"):
        both = [one[kind]["writesPerJob"][write] for kind in ("plainJobs", "backgroundJobs")]
        assert both[0] == both[1] > 0


def test_it_measures_what_each_process_used(written: Any) -> None:
    [one] = written["rounds"]
    used = one["backgroundJobs"]["cpuMillisecondsPerJob"]
    assert {name for name, milliseconds in used.items() if milliseconds > 0} >= {
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "kwok",
        "operator",
    }
