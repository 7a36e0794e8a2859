"""kubectl_complete-bgjob: kubectl runs it with the words after `kubectl bgjob` to complete them."""

import os
import shlex
import sys

from typer.completion import get_completion_inspect_parameters

from bgjobs.cli.app import app

_NO_FILES = 4
_FILES = 0
"""What kubectl is told to do beside: cobra's directives NoFileComp and Default."""


def main() -> None:
    """Prints a suggestion a line, a tab before what it means, and last a directive."""
    words = sys.argv[1:]
    # Without its options to install completion, which this stands for, Typer knows no shell.
    get_completion_inspect_parameters()
    # Typer's own protocol for the shell fish has just this form.
    os.environ |= {
        "_KUBECTL_BGJOB_COMPLETE": "complete_fish",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        "_TYPER_COMPLETE_ARGS": _line(words),
    }
    try:
        app(args=[], prog_name="kubectl-bgjob")
    except SystemExit:
        is_file = len(words) > 1 and words[-2] in ("--params-file", "--kubeconfig")
        print(f":{_FILES if is_file else _NO_FILES}")


def _line(words: list[str]) -> str:
    """The words as they may have been typed; the last is incomplete, and may be empty."""
    return shlex.join(["kubectl-bgjob", *words[:-1]]) + " " + "".join(words[-1:])
