"""How the process of one attempt treats its output and ends."""

import atexit
import contextlib
import faulthandler
import io
import os
import sys
import threading
import time

_IDLE_END_WITHIN_S = 0.1


def prepare_output() -> None:
    """Lines leave at once, text that UTF-8 cannot carry fails nothing, a crash shows its stack."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", line_buffering=True)
    faulthandler.enable()


def end(exit_code: int) -> None:
    """End the process with this code, whatever the job left behind.

    The attempt is over when the method returns: threads and processes that would hold this one up
    are not waited for.
    """
    left = _threads() + _kill_processes()
    if left:
        # The job may have closed stderr.
        with contextlib.suppress(Exception):
            print("Stopping what the method did not join:", *left, file=sys.stderr)
    if not _flush() or left:
        # Python's own end would exit with 120 for lost output, and wait for the threads. What runs
        # at exit would wait for the processes.
        atexit._run_exitfuncs()
        _flush()
        os._exit(exit_code)
    sys.exit(exit_code)


def _threads() -> list[str]:
    """The names of those that Python would wait for."""
    others = [
        thread
        for thread in threading.enumerate()
        if thread is not threading.main_thread() and not thread.daemon
    ]
    # Idle threads of an executor that was shut down, as asyncio's is, end by themselves.
    deadline = time.monotonic() + _IDLE_END_WITHIN_S
    for thread in others:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [thread.name for thread in others if thread.is_alive()]


def _kill_processes() -> list[str]:
    """The names of those that multiprocessing would wait for. Its daemons it ends itself."""
    if "multiprocessing" not in sys.modules:
        return []
    # It is there already: few jobs need it, and the others start without it.
    import multiprocessing

    left = [child for child in multiprocessing.active_children() if not child.daemon]
    for child in left:
        # It may have a handler of its own for SIGTERM.
        child.kill()
    return [child.name for child in left]


def _flush() -> bool:
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:
        return False
    return True
