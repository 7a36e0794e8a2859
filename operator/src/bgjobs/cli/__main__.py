"""kubectl-bgjob, which kubectl runs as `kubectl bgjob`."""

import sys

_INTERRUPTED = 130


def main() -> None:
    try:
        # Not above: it takes long enough to be interrupted, which is no reason for a traceback.
        from bgjobs.cli.command import run

        sys.exit(run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
