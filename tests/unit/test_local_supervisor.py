"""What keeps a local cluster's daemons up."""

import subprocess
import sys
from pathlib import Path

from tests.server import wait_until

_WITHIN_S = 10

# Of its daemons the second can start at once, and each leaves a file.
SUPERVISOR = """
import sys
from pathlib import Path
from bgjobs_local.processes import Component
from bgjobs_local.supervisor import _keep_running

logs = Path(sys.argv[1])
names = ("late", "early")
_keep_running(tuple(Component(name, ("touch", str(logs / name))) for name in names), logs)
"""


def test_a_full_disk_and_a_log_that_cannot_be_opened_do_not_end_it(tmp_path: Path) -> None:
    in_the_way = tmp_path / "late.log"
    in_the_way.mkdir()
    with Path("/dev/full").open("w") as full:
        supervisor = subprocess.Popen([sys.executable, "-c", SUPERVISOR, tmp_path], stdout=full)
    try:
        wait_until((tmp_path / "early").exists, lambda: "none was started", _WITHIN_S)
        assert not (tmp_path / "late").exists()
        in_the_way.rmdir()
        wait_until((tmp_path / "late").exists, lambda: "it was not tried again", _WITHIN_S)
        assert supervisor.poll() is None
    finally:
        supervisor.kill()
        supervisor.wait()
