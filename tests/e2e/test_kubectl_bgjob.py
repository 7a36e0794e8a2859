"""kubectl bgjob shows what real pods print."""

import json
import re
import signal
import subprocess
from urllib.request import urlopen

import pytest
from tests.e2e.conftest import STATE, environment, shell
from tests.plugin import PROGRAM, readme_rows

from bgjobs_local.kubectl import Kubectl

_NAMESPACE = "kubectl-bgjob"


def _bgjob(*arguments: str) -> subprocess.CompletedProcess[str]:
    options = ("-n", _NAMESPACE, "--kubeconfig", str(STATE / "kubeconfig"))
    return subprocess.run(
        [str(PROGRAM), *arguments, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )


def test_logs_are_printed_while_a_job_runs_and_afterwards(kubectl: Kubectl) -> None:
    kubectl("create", "namespace", _NAMESPACE)
    submit = ("submit", "samples.jobs.Fail", "--name", "fails-once", "--param", "times=1")
    done = _bgjob(*submit, "--follow")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^attempt \d$", done.stdout, re.MULTILINE) == ["attempt 1", "attempt 2"]
    assert "fails-once Succeeded: Attempt 2 of 4 succeeded." in done.stderr.splitlines()[-1]
    assert "attempt 1" in _bgjob("logs", "fails-once", "--attempt", "1").stdout
    assert "attempt 2" in _bgjob("logs", "fails-once").stdout

    [plain] = [plain for command, plain in readme_rows() if command.startswith("logs ")]
    script = plain.replace("sync-7", "fails-once").replace("kubectl ", f"kubectl -n {_NAMESPACE} ")
    assert "attempt 2" in shell(script)


[_PORT_FORWARD] = [plain for command, plain in readme_rows() if command == "dashboard"]


@pytest.mark.parametrize(
    "command",
    # Each at a free port of this machine.
    ["kubectl bgjob dashboard --no-browser", _PORT_FORWARD.removesuffix("8080") + ":8080"],
)
def test_the_dashboard_answers_as_long_as_the_command_runs(kubectl: Kubectl, command: str) -> None:
    kubectl("rollout", "status", "-n", "bgjobs-system", "deployment/bgjobs-dashboard")
    with subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        env={**environment(), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
        # A shell's background jobs, and so perhaps these tests, ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        try:
            assert process.stdout is not None
            [address] = re.findall(r"127\.0\.0\.1:\d+", process.stdout.readline())
            with urlopen(f"http://{address}/api/openapi.json", timeout=30) as answer:
                assert json.load(answer)["info"]["title"] == "bgjobs"
        finally:
            process.send_signal(signal.SIGINT)
