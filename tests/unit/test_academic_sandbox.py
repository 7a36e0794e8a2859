"""What academic.sandbox.RunProgram makes of programs that want more than to compute.

Started as a pod starts it, as a user without rights, with a secret in the environment.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from academic.sandbox import MAX_CASES, program_parameters
from academic.sandbox.outputs import digest

REPOSITORY = Path(__file__).parents[2]
USER = 65532
SECRET = "tr0ub4dor"
# Enough on a busy machine; what has to be ended for its time gets less.
SECONDS = 8

# The image has both on sys.path.
START = """
import runpy, sys
sys.path[:0] = sys.argv.pop().split(":")
runpy.run_module("bgjobs_runner", run_name="__main__", alter_sys=True)
"""

Perform = Callable[..., tuple[int, dict[str, Any]]]


def unprivileged() -> dict[str, Any]:
    return {"user": USER, "group": USER, "extra_groups": []} if os.geteuid() == 0 else {}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that every user may read, with the code in it, wherever the checkout lies."""
    with tempfile.TemporaryDirectory() as directory:
        place = Path(directory)
        shutil.copytree(REPOSITORY / "academic/src/academic", place / "academic")
        shutil.copytree(REPOSITORY / "job-image/src/bgjobs_runner", place / "bgjobs_runner")
        for path in (place, *place.rglob("*")):
            path.chmod(0o755)
        (place / "writable").mkdir()
        (place / "writable").chmod(0o777)
        yield place


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter that the user without rights may execute; root's own may lie in /root."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            subprocess.run([python, "-c", ""], check=True, cwd="/", **unprivileged())
        except OSError:
            continue
        return python
    pytest.fail("install python3: no Python here can be executed by a user other than root")


@pytest.fixture
def perform(place: Path, python: str) -> Perform:
    """Perform the job in a process; gives its exit code and termination message."""

    def perform(
        source: str, inputs: list[str], seconds: int = SECONDS, **overrides: Any
    ) -> tuple[int, dict[str, Any]]:
        log = place / "writable" / "termination-log"
        log.write_text("")
        log.chmod(0o666)
        parameters = {"source": source, "inputs": inputs, "seconds": seconds}
        process = subprocess.run(
            [python, "-I", "-B", "-c", START, str(place)],
            cwd="/",
            env={
                "DATABASE_URL": SECRET,
                "TMPDIR": str(place / "writable"),
                "BGJOB_CONTRACT": "1",
                "BGJOB_CLASS": "academic.sandbox.RunProgram",
                "BGJOB_METHOD": "handle",
                "BGJOB_PARAMETERS": json.dumps(parameters),
                "BGJOB_NAME": "run",
                "BGJOB_NAMESPACE": "academic",
                "BGJOB_UID": "1",
                "BGJOB_RUN": "1",
                "BGJOB_ATTEMPT": "1",
                "BGJOB_IDEMPOTENCY_KEY": "1-1",
                "BGJOB_TERMINATION_LOG": str(log),
            },
            timeout=120,
            **{**unprivileged(), **overrides},
        )
        return process.returncode, json.loads(log.read_bytes())

    return perform


@pytest.fixture
def run(perform: Perform) -> Callable[..., dict[str, Any]]:
    """Run a program with one input; gives what is reported of it."""

    def run(source: str, text: str = "", seconds: int = SECONDS) -> dict[str, Any]:
        code, message = perform(source, [text], seconds)
        assert code == 0
        [report] = message["result"]["runs"]
        assert isinstance(report, dict)
        return report

    return run


Run = Callable[..., dict[str, Any]]


def test_an_honest_program_reads_prints_and_ends(run: Run) -> None:
    report = run("print(int(input()) + int(input()))", "3\n4\n")
    assert report == {
        "outcome": "finished",
        "exit_code": 0,
        "output": "7\n",
        "digest": digest("7"),
        "error": "",
    }


def test_a_program_may_use_the_standard_library_and_nothing_else(run: Run) -> None:
    assert run("import asyncio, decimal, heapq, json, re, statistics")["exit_code"] == 0
    assert "No module named 'bgjobs_runner'" in run("import bgjobs_runner")["error"]


def test_an_error_names_the_students_file_and_line(run: Run) -> None:
    report = run("x = 1\nprint(x / 0)\n")
    assert (report["outcome"], report["exit_code"]) == ("finished", 1)
    assert 'File "program.py", line 2' in report["error"]
    assert report["error"].endswith("ZeroDivisionError: division by zero\n")


def test_every_input_starts_a_program_that_knows_nothing_of_the_others(perform: Perform) -> None:
    code, message = perform(
        "import math; math.seen = input(); print(vars(math)['seen'])", ["a", "b"]
    )
    assert code == 0
    assert [report["output"] for report in message["result"]["runs"]] == ["a\n", "b\n"]


def test_every_input_has_files_of_its_own(perform: Perform) -> None:
    """Or one run would see which of them the run before it has read."""
    code, message = perform("import os; print(os.getcwd())", ["", ""])
    assert code == 0
    assert len({report["output"] for report in message["result"]["runs"]}) == 2


@pytest.mark.parametrize(
    "source",
    [
        pytest.param("while True: pass", id="computes"),
        # Sleeps of the submitted program, which would outlast its time: the sandbox must end it.
        pytest.param("import time; time.sleep(600)", id="sleeps"),
        pytest.param(
            "import time\nwhile True: print(1, flush=True); time.sleep(0.01)", id="prints slowly"
        ),
        pytest.param(
            "import os, time; os.close(1); os.close(2); time.sleep(600)", id="sleeps in silence"
        ),
        pytest.param(
            "import signal\nfor number in (15, 2, 24): signal.signal(number, signal.SIG_IGN)\n"
            "while True: pass",
            id="ignores signals",
        ),
        pytest.param(
            "import os\nwhile True:\n  try: os.fork()\n  except OSError: pass",
            id="forks without end",
        ),
    ],
)
def test_a_program_that_does_not_end_is_ended(run: Run, source: str) -> None:
    assert run(source, seconds=1)["outcome"] == "timed out"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_program_that_prints_for_ever_is_ended(run: Run, stream: str) -> None:
    report = run(f"import sys\nwhile True: print('again and again', file=sys.{stream})")
    assert report["outcome"] == "printed too much"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        pytest.param("import os; os.fork()", "BlockingIOError", id="fork"),
        pytest.param(
            "import threading; threading.Thread(target=print).start()",
            "can't start new thread",
            id="thread",
        ),
        pytest.param("import subprocess; subprocess.run(['id'])", "BlockingIOError", id="program"),
        pytest.param("x = bytearray(10**9)", "MemoryError", id="memory"),
        pytest.param("import os\nwhile True: os.dup(0)", "Too many open files", id="open files"),
        pytest.param("import os; os.kill(os.getppid(), 9)", "PermissionError", id="kill the judge"),
        pytest.param("import os; os.kill(-1, 9)", "PermissionError", id="kill everybody"),
        pytest.param(
            "import os, resource; resource.prlimit(os.getppid(), resource.RLIMIT_FSIZE, (0, 0))",
            "PermissionError",
            id="limit the judge",
        ),
        pytest.param(
            "import os; os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
            "PermissionError",
            id="slow the judge down",
        ),
        pytest.param(
            "import os; os.sched_setaffinity(os.getppid(), {min(os.sched_getaffinity(0))})",
            "PermissionError",
            id="move the judge",
        ),
        pytest.param(
            "import ctypes, os\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "number = {'x86_64': 248, 'aarch64': 217}[os.uname().machine]\n"
            "user_keyring = -4\n"
            "libc.syscall(number, b'user', b'academic', b'secret', 6, user_keyring)\n"
            "raise OSError(ctypes.get_errno(), 'add_key')",
            "PermissionError",
            id="leave a key",
        ),
        pytest.param(
            "import resource; resource.setrlimit(resource.RLIMIT_NPROC, (9, 9))",
            "not allowed to raise maximum limit",
            id="raise its own limit",
        ),
        pytest.param(
            "import os; open(f'/proc/{os.getppid()}/environ')",
            "PermissionError",
            id="environment of the judge",
        ),
        pytest.param(
            "import os; open(f'/proc/{os.getppid()}/mem', 'rb')",
            "PermissionError",
            id="memory of the judge",
        ),
    ],
)
def test_what_a_program_must_not_do_is_refused(run: Run, source: str, error: str) -> None:
    report = run(source)
    assert report["outcome"] == "finished"
    assert error in report["error"]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param("fcntl.fcntl(end, fcntl.F_SETSIG, signal.SIGTERM)", id="signal"),
        pytest.param("fcntl.fcntl(end, fcntl.F_SETOWN, os.getppid())", id="process"),
        pytest.param(
            "fcntl.fcntl(end, 15, struct.pack('ii', 1, os.getppid()))", id="process or group"
        ),
        pytest.param("fcntl.ioctl(end, 0x8901, judge)", id="process, by FIOSETOWN"),
        pytest.param("fcntl.ioctl(end, 0x8902, judge)", id="process, by SIOCSPGRP"),
        pytest.param("fcntl.ioctl(end, 0x5452, struct.pack('i', 1))", id="begin, by FIOASYNC"),
    ],
)
def test_a_program_has_no_signal_sent_to_its_judge(run: Run, order: str) -> None:
    """The kernel would send it once the socket can be read, though the program may not."""
    report = run(
        "import fcntl, os, signal, socket, struct\n"
        "one, other = socket.socketpair()\n"
        "end = one.fileno()\n"
        "judge = struct.pack('i', os.getppid())\n"
        "fcntl.fcntl(end, fcntl.F_SETFL, fcntl.fcntl(end, fcntl.F_GETFL) | os.O_NONBLOCK)\n"
        f"{order}\n"
    )
    assert f"line 6, in <module>\n    {order}" in report["error"]
    assert report["error"].endswith("PermissionError: [Errno 1] Operation not permitted\n")


def test_a_program_finds_no_secret_in_its_environment(run: Run) -> None:
    report = run("import os; print(dict(os.environ), open('/proc/self/environ').read())")
    assert report["exit_code"] == 0
    assert "BGJOB" not in report["output"]
    assert SECRET not in report["output"]


def test_a_program_reaches_no_server_even_where_the_network_is_open(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        report = run(f"import socket; socket.create_connection({address!r})")
        assert "PermissionError" in report["error"]
        server.setblocking(False)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param("open({new!r}, 'w')", id="create"),
        pytest.param("open({old!r}, 'w')", id="empty"),
        pytest.param("open({old!r}, 'a').write('x' * 10**9)", id="fill the disk"),
        pytest.param("os.mkdir({new!r})", id="folder"),
        pytest.param("os.symlink('/', {new!r})", id="symbolic link"),
        pytest.param("os.link({old!r}, {new!r})", id="link"),
        pytest.param("os.mkfifo({new!r})", id="pipe"),
        pytest.param("os.rename({old!r}, {new!r})", id="rename"),
        pytest.param("os.remove({old!r})", id="remove"),
        pytest.param("os.truncate({old!r}, 0)", id="truncate"),
        pytest.param("os.chmod({old!r}, 0)", id="mode"),
        pytest.param("os.remove('program.py')", id="remove the program"),
        pytest.param("os.utime({old!r}, (1, 1))", id="times"),
        pytest.param("os.utime(os.open('program.py', os.O_RDONLY))", id="times by descriptor"),
        pytest.param("os.chown({old!r}, -1, -1)", id="owner"),
        pytest.param("os.setxattr({old!r}, 'user.secret', b'x')", id="attribute"),
        pytest.param(
            "os.setxattr(os.open({old!r}, os.O_RDONLY), 'user.secret', b'x')",
            id="attribute by descriptor",
        ),
        pytest.param("os.removexattr({old!r}, 'user.secret')", id="remove an attribute"),
    ],
)
def test_a_program_changes_no_file(place: Path, run: Run, change: str) -> None:
    old, new = place / "writable" / "old", place / "writable" / "new"
    old.write_text("kept")
    if os.geteuid() == 0:
        # So that only the filter stands between the program and the file.
        os.chown(old, USER, USER)
    old.chmod(0o666)
    report = run("import os\n" + change.format(old=str(old), new=str(new)))
    assert "PermissionError: [Errno 1]" in report["error"]
    assert (old.read_text(), old.stat().st_mode & 0o777) == ("kept", 0o666)
    assert sorted(path.name for path in old.parent.iterdir()) == ["old", "termination-log"]


def test_a_program_that_crashes_is_told_from_one_that_ends(run: Run) -> None:
    report = run("import ctypes; ctypes.string_at(0)")
    assert (report["outcome"], report["exit_code"]) == ("killed", -11)


def test_the_source_may_be_anything(run: Run) -> None:
    assert "SyntaxError" in run("def f(:")["error"]
    assert run("print('naïve 🦉', input())", "ß")["output"] == "naïve 🦉 ß\n"


def test_the_result_of_the_most_cases_and_longest_outputs_is_whole(perform: Perform) -> None:
    source = "import sys; print('\\0é' * 9000); print('ü' * 9000, file=sys.stderr); sys.exit(255)"
    code, message = perform(source, ["x"] * MAX_CASES)
    reports = message["result"]["runs"]
    assert code == 0
    assert len(reports) == MAX_CASES
    assert {report["digest"] for report in reports} == {digest("\0é" * 9000)}


def test_how_much_is_told_of_one_output_tells_nothing_of_another(perform: Perform) -> None:
    source = "print('x' * int(input()))"
    shown = [
        perform(source, ["5000", hidden])[1]["result"]["runs"][0]["output"]
        for hidden in ("1", "200", "5000")
    ]
    assert len(set(shown)) == 1


def test_as_much_of_the_output_is_told_as_there_is_room_for(perform: Perform) -> None:
    code, message = perform("print('x' * 5000)", ["", ""])
    assert code == 0
    assert len(json.dumps(message["result"], separators=(",", ":"))) > 3000


@pytest.mark.parametrize(
    ("inputs", "seconds", "sentence"),
    [
        pytest.param([], 1, "There are 0 cases, 1 to 20 are possible.", id="no case"),
        pytest.param(["x"] * 21, 1, "There are 21 cases", id="too many cases"),
        pytest.param(["x"], 0, "A case may take 0 seconds, 1 to 10 are possible.", id="no time"),
        pytest.param(["x" * 65536], 1, "take 65579 bytes, at most 65536", id="too large"),
    ],
)
def test_what_cannot_be_run_is_refused_before_it_is_sent(
    inputs: list[str], seconds: int, sentence: str
) -> None:
    with pytest.raises(ValueError, match=sentence):
        program_parameters("pass", inputs, seconds)


def test_what_can_be_run_is_sent_as_the_job_takes_it(perform: Perform) -> None:
    parameters = program_parameters("print(input())", ["x"], 2)
    assert perform(**parameters)[0] == 0


def test_unfit_parameters_fail_for_good(perform: Perform) -> None:
    code, message = perform("pass", [])
    assert (code, message["error"]["message"]) == (65, "There are 0 cases, 1 to 20 are possible.")


def test_root_runs_no_program(perform: Perform) -> None:
    code, message = perform("print(1)", ["x"], user=0, group=0)
    assert code == 66
    assert "run this as another user" in message["error"]["message"]
