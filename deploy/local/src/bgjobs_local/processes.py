"""Programs that run in the background, each with a log file."""

import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bgjobs_local.errors import LocalError

# Programs get no proxy settings and no other surprises from the environment of the user.
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}


@dataclass(frozen=True)
class Component:
    """A program to run, started once `after` (an address and port) accepts connections."""

    name: str
    argv: tuple[str, ...]
    after: tuple[str, int] | None = None


def accepts(address: tuple[str, int] | None) -> bool:
    """Whether something listens there; nothing to listen for counts as yes."""
    if address is None:
        return True
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False


def last_lines(log: Path, count: int = 12) -> str:
    """The end of a log, for an error message."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join(["", f"The end of {log}:", *lines[-count:]])


def run(*argv: str, stdin: Path | None = None) -> str:
    """Run a short command and give its output; raises LocalError with what it said."""
    with (stdin or Path("/dev/null")).open("rb") as source:
        done = subprocess.run(argv, stdin=source, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        command = " ".join([*argv, *(["<", str(stdin)] if stdin else [])])
        raise LocalError(f"{command} failed with exit code {done.returncode}: {said}")
    return done.stdout
