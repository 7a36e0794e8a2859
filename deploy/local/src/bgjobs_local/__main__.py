"""What `make` does with clusters: python -m bgjobs_local up | down | images | deploy | demo ..."""

import argparse
import functools
import signal
import sys
from pathlib import Path

from bgjobs_local import academic_demo, cluster, delivery, demo, deploy, images
from bgjobs_local.errors import LocalError
from bgjobs_local.kubectl import Kubectl, of_current_context, of_local_cluster

_CHECKOUT = Path(__file__).parents[4]
_STEPS = ("up", "images", "deploy", "demo")


def main() -> int:
    arguments = _parser().parse_args()
    # As an exception, so that what was begun is undone.
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, lambda number, _frame: sys.exit(128 + number))
    try:
        return _run(arguments)
    except LocalError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bgjobs_local", description=__doc__)
    parser.add_argument(
        "--state",
        type=lambda path: Path(path).resolve(),
        default=_CHECKOUT / ".local",
        help="the local cluster's folder (default: %(default)s)",
    )
    parser.add_argument(
        "--cluster",
        choices=["local", "current"],
        default="local",
        help="the local cluster, or the one that kubectl points at (default: %(default)s)",
    )
    parser.add_argument(
        "--load",
        default="",
        help="how images get to the nodes of --cluster current: kind, minikube, k3d or the "
        "prefix of a registry",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("up", help="start the local cluster, or mend what has died of it")
    commands.add_parser("down", help="remove the local cluster and its data")
    load = commands.add_parser("load", help="give image archives to the local cluster's node")
    load.add_argument("archives", type=Path, nargs="+", metavar="IMAGE.tar")
    commands.add_parser("images", help="build the images and give them to the nodes")
    commands.add_parser("deploy", help="install bgjobs and the academic service, or upgrade them")
    commands.add_parser("demo", help="do all that, and run jobs on real input")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    state = arguments.state
    match arguments.command:
        case "down":
            cluster.down(state)
            return 0
        case "load":
            cluster.load(state, arguments.archives)
            return 0
    # Each of the others begins with all before it.
    last = _STEPS.index(arguments.command)
    if arguments.cluster == "local":
        cluster.up(state)
        kubectl = of_local_cluster(state)
    else:
        kubectl = of_current_context()
        print(f"Using the kubectl context {kubectl('config', 'current-context').strip()}")
    if last >= _STEPS.index("images"):
        delivered = _deliver(arguments)
    if last >= _STEPS.index("deploy"):
        deploy.install(kubectl, delivered)
    if last >= _STEPS.index("demo"):
        return _demo(kubectl, arguments)
    return 0


def _deliver(arguments: argparse.Namespace) -> dict[str, str]:
    """Builds the images and brings them to the nodes, which find them under the names returned."""
    if arguments.cluster == "current":
        return delivery.to_current_cluster(arguments.load)
    cluster.load(arguments.state, images.build())
    return {name: f"{images.PREFIX}{name}:{images.TAG}" for name in images.IMAGES}


def _demo(kubectl: Kubectl, arguments: argparse.Namespace) -> int:
    problems = demo.run(kubectl)
    password = academic_demo.people(kubectl)
    problems += academic_demo.run(kubectl, password)
    if arguments.cluster == "local":
        without = functools.partial(cluster.without_api_server, arguments.state)
        problems += academic_demo.run_without_api_server(kubectl, password, without)
    if problems:
        print("\nNot as expected:", *problems, sep="\n  ", file=sys.stderr)
        return 1
    print("\nAll as expected. Look further:")
    if arguments.cluster == "local":
        print(f"  {cluster.environment(arguments.state)}")
    print("  kubectl get bgjob -n demo -o wide")
    print("  kubectl describe bgjob -n demo fails-for-good")
    token = demo.sign_in(kubectl)
    if arguments.cluster == "local":
        print("  kubectl bgjob explain -n demo fails-for-good")
        dashboard, service = demo.dashboard(kubectl), academic_demo.service(kubectl)
        print("Remove everything: make cluster-down")
    else:
        print("  kubectl port-forward -n bgjobs-system service/bgjobs-dashboard 8080")
        print("  kubectl port-forward -n academic service/academic 8081:8080")
        dashboard, service = (f"http://127.0.0.1:{port}, while that runs" for port in (8080, 8081))
    print(f"\nThe academic service: {service}\nSign in as {academic_demo.sign_ins()}")
    print(f"with the password {password}")
    print(f"\nThe dashboard: {dashboard}\nSign in with this token, valid for 8 hours:\n{token}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
