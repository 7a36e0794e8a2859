"""kubectl bgjob shows what real pods print."""

import re
import subprocess

from tests.e2e.conftest import STATE, shell
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
