"""A way to the dashboard, for as long as the command runs: kubectl's own port-forward."""

import re
import shutil
import subprocess
from collections.abc import Callable, Sequence

from bgjobs.cli.errors import CommandError

_SERVICE = "service/bgjobs-dashboard"
_PORT = 8080
_FORWARDING = re.compile(r"Forwarding from (127\.0\.0\.1:\d+)")


def forward(
    namespace: str, port: int, flags: Sequence[str], opened: Callable[[str], object]
) -> None:
    """Calls `opened` with the address once there is one; returns when it is interrupted.

    `port` 0 is a free one. Raises CommandError where kubectl cannot forward.
    """
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise CommandError("The way to the dashboard is kubectl port-forward: install kubectl.")
    words = (kubectl, "port-forward", "-n", namespace, *flags, _SERVICE, f"{port or ''}:{_PORT}")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                if match := _FORWARDING.match(line):
                    opened(f"http://{match[1]}")
        except KeyboardInterrupt:
            return
        finally:
            process.terminate()
    if process.returncode > 0:
        raise CommandError("The dashboard cannot be reached; kubectl has said why.")
