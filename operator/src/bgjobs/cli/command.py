"""Runs one command line of kubectl bgjob, and tells what went wrong with it."""

import os
import sys

import typer

from bgjobs.cli.app import app
from bgjobs.cli.errors import CommandError, UsageError
from bgjobs.cli.rendering import show_error


def run(arguments: list[str]) -> int:
    """Runs a command, or tells of all. Returns its exit code; an error is a sentence on stderr."""
    try:
        exit_code = app(arguments or ["--help"], prog_name="kubectl bgjob", standalone_mode=False)
        sys.stdout.flush()
        return exit_code or 0
    except typer.Abort as error:
        raise KeyboardInterrupt from error
    except BrokenPipeError:
        # Whoever read the output has seen enough; Python would complain as it flushes the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except UnicodeEncodeError as error:
        # Python takes what was typed for text, whatever its bytes are.
        if error.encoding != "utf-8":
            raise
        show_error(f"{error.object!a} cannot be sent: it is not UTF-8.")
        return UsageError.exit_code
    except RecursionError:
        show_error("What is to be shown is nested too deeply for that.")
        return CommandError.exit_code
    except CommandError as error:
        show_error(str(error))
        return error.exit_code
    except typer.TyperException as error:
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        if context and context.parent is None and hasattr(error, "option_name"):
            hint = ": options come after the command, as in kubectl bgjob list -n shop"
        show_error(f"{said}{hint}.")
        return error.exit_code
