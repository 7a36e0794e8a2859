"""etcd is restored from an older backup: the mirror follows what the API server then has.

Whoever has seen newer objects ends, since it would never see them change.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa
import urllib3
from tests import operating, watching
from tests import server as api
from tests.mariadb import fresh_database
from tests.server import Server
from tests.watching import CLASS, change, reason, submit, wait, wait_finished

from bgjobs_local.controlplane import ControlPlane, control_plane
from bgjobs_local.processes import ENVIRONMENT

_SWEEP_OFTEN = {"BGJOBS_SWEEP_SECONDS": "1"}
_ANSWERS_WITHIN_S = 60


def test_rows_newer_than_a_restored_etcd_do_not_freeze_the_mirror(
    mariadb: int, tmp_path: Path
) -> None:
    url, backup = fresh_database(mariadb), tmp_path / "backup"
    database = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    (directory := tmp_path / "operator").mkdir()
    (beside := tmp_path / "beside").mkdir()
    with control_plane(tmp_path / "control-plane") as parts:
        server = api.connect(parts)
        api.install(server)
        operating.install(server)
        with (
            operating.running(server, url, directory, **_SWEEP_OFTEN) as operator,
            operating.beside(server, operator, beside, server.url) as standby,
        ):
            operating.start(standby)
            jobs = watching.new_namespace(server, "restored")
            watching.allow(jobs, CLASS)
            changed = submit(jobs, "changed", suspend=True)
            watching.wait_row(database, wait(jobs, "changed", reason("Suspended")))
            _back_up(parts, backup)
            change(jobs, "changed", cancelled=True)
            watching.wait_row(database, wait_finished(jobs, "changed"))
            lost = submit(jobs, "lost", suspend=True)
            watching.wait_row(database, wait(jobs, "lost", reason("Suspended")))

            operating.kill(operator)
            with _restored(server, backup):
                api.wait_until(
                    lambda: operating.ended(standby),
                    lambda: f"the standby goes on:\n{operating.log_tail(standby)}",
                    _ANSWERS_WITHIN_S,
                )
                assert "the API server was restored" in operating.log_tail(standby)
                operating.start(operator, **_SWEEP_OFTEN)
                row = watching.wait_row_where(database, changed, lambda row: row["epoch"] == 1)
                assert (row["phase"], row["deleted_at"]) == ("Pending", None)
                watching.wait_row_where(database, lost, lambda row: row["deleted_at"] is not None)
                # Started again, it serves the resource before its policies know the kind.
                api.wait_until(
                    lambda: api.patch_spec(jobs, "changed", cancelled=True).status == 200,
                    lambda: "the API server takes no change",
                    _ANSWERS_WITHIN_S,
                )
                watching.wait_row(database, wait_finished(jobs, "changed"))
                operating.kill(operator)
    database.dispose()


def _back_up(parts: ControlPlane, to: Path) -> None:
    """What etcd has written until a moment."""
    os.kill(parts.pids["etcd"], signal.SIGSTOP)
    try:
        shutil.copytree(_data(parts), to)
    finally:
        os.kill(parts.pids["etcd"], signal.SIGCONT)


@contextlib.contextmanager
def _restored(server: Server, backup: Path) -> Iterator[None]:
    """etcd with the files of the backup and the API server, started again as they were."""
    parts = server.control_plane
    names = ("etcd", "kube-apiserver")
    commands = [Path(f"/proc/{parts.pids[name]}/cmdline").read_bytes() for name in names]
    for name in reversed(names):
        os.kill(parts.pids[name], signal.SIGKILL)
        os.waitid(os.P_PID, parts.pids[name], os.WEXITED | os.WNOWAIT)
    shutil.rmtree(_data(parts))
    shutil.copytree(backup, _data(parts))
    with contextlib.ExitStack() as stack:
        for name, command in zip(names, commands, strict=True):
            log = stack.enter_context((parts.logs / f"{name}-restored.log").open("wb"))
            process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *command.decode().split("\0")[:-1]],
                env=ENVIRONMENT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
        api.wait_until(
            lambda: _is_ready(server), lambda: "the API server is not ready", _ANSWERS_WITHIN_S
        )
        yield


def _data(parts: ControlPlane) -> Path:
    return parts.logs.parent / "etcd"


def _is_ready(server: Server) -> bool:
    try:
        return bool(server.pool.request("GET", f"{server.url}/readyz", retries=False).status == 200)
    except urllib3.exceptions.HTTPError:
        return False
