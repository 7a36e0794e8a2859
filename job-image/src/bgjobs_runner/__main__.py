"""Without arguments: the attempt of this pod. With arguments: the laptop's commands."""

import os
import signal
import sys

if __name__ == "__main__":
    if len(sys.argv) == 1:
        # The kernel drops it for the first process of a container until there is a handler.
        signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
        from bgjobs_runner.pod import run_from_environment

        run_from_environment()
    else:
        from bgjobs_runner.laptop import main

        main(sys.argv[1:])
