"""Without arguments: the attempt of this pod. With arguments: the laptop's commands."""

import sys

if __name__ == "__main__":
    if len(sys.argv) == 1:
        from bgjobs_runner.pod import run_from_environment

        run_from_environment()
    else:
        from bgjobs_runner.laptop import main

        main(sys.argv[1:])
