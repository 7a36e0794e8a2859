"""python -m academic: serves the service; `migrate` and `seed` prepare its database."""

import argparse
import os
import sys

from sqlalchemy.exc import SQLAlchemyError

from academic.store.database import from_environment


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m academic", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("serve", help="serve the pages and the API, and follow the jobs")
    commands.add_parser("migrate", help="bring the database's schema up to date")
    filling = commands.add_parser("seed", help="fill an empty database with courses to look at")
    filling.add_argument(
        "--password", default="", help="of all its people; a random one if left out"
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "serve":
            # The others need no cluster.
            from academic.serving import serve

            serve(os.environ)
        elif options.command == "migrate":
            from academic.store.migrate import upgrade_once_it_answers

            upgrade_once_it_answers(from_environment(os.environ))
            print("the schema is up to date")
        else:
            from academic.seed import seed

            for line in seed(from_environment(os.environ), options.password):
                print(line)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    except SQLAlchemyError as error:
        print(f"the database cannot be used: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
