"""One run of a student's program, from its input to its outcome."""

import os
import selectors
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from academic.sandbox.confinement import confine
from academic.sandbox.outputs import CaseRun, Outcome, digest

_MAX_OUTPUT_BYTES = 256 * 1024
_CHUNK_BYTES = 64 * 1024
# Seconds by the clock for one of CPU time: on a busy node a program is not to blame for waiting.
_PATIENCE = 3


def run_case(directory: Path, text: str, seconds: int) -> CaseRun:
    """Run program.py of `directory` with `text` on its stdin, for `seconds` of CPU time."""
    given = directory / "input"
    given.write_bytes(text.encode(errors="replace"))
    with (
        given.open("rb") as stdin,
        subprocess.Popen(
            # Isolated, without site-packages, no .pyc files, UTF-8 whatever the locale.
            [sys.executable, "-I", "-S", "-B", "-X", "utf8", "program.py"],
            cwd=directory,
            env={},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=partial(confine, cpu_seconds=seconds),
        ) as process,
    ):
        try:
            outcome, output, error = _follow(process, time.monotonic() + _PATIENCE * seconds)
        finally:
            # All of it: it could start no other process.
            process.kill()
    if outcome == "finished" and process.returncode < 0:
        # So the kernel ends a process that used up its CPU time.
        outcome = "timed out" if process.returncode == -signal.SIGKILL else "killed"
    printed = output.decode(errors="replace")
    # Tracebacks name the file as the student knows it.
    said = error.decode(errors="replace").replace(f"{directory}/", "")
    return CaseRun(outcome, process.returncode, printed, digest(printed), said)


def _follow(process: subprocess.Popen[bytes], deadline: float) -> tuple[Outcome, bytes, bytes]:
    """The outcome as far as it is known before the process is gone, its stdout and stderr."""
    assert process.stdout
    assert process.stderr
    output, error = bytearray(), bytearray()
    outcome: Outcome = "finished"
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ, output)
        selector.register(process.stderr, selectors.EVENT_READ, error)
        while selector.get_map() and outcome == "finished":
            ready = selector.select(max(0.0, deadline - time.monotonic()))
            for key, _ in ready:
                chunk = os.read(key.fd, _CHUNK_BYTES)
                key.data.extend(chunk)
                if not chunk:
                    selector.unregister(key.fileobj)
            if len(output) + len(error) > _MAX_OUTPUT_BYTES:
                outcome = "printed too much"
            elif not ready:
                outcome = "timed out"
    if outcome == "finished":
        # It may have closed its output and go on.
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            outcome = "timed out"
    return outcome, bytes(output), bytes(error)
