"""The commands of kubectl bgjob."""

from typing import Annotated

import typer

from bgjobs.cli import cluster as api
from bgjobs.cli.explain import explain as explain_facts
from bgjobs.cli.observe import observe
from bgjobs.cli.rendering import (
    Format,
    console,
    dump,
    explanation_data,
    show_explanation,
)

app = typer.Typer(
    help="Submit BackgroundJobs, watch them, change them, and ask why they do not run.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Namespace = Annotated[
    str | None,
    typer.Option("--namespace", "-n", help="The namespace; the context's own if left out."),
]
Context = Annotated[
    str | None, typer.Option("--context", help="A context of the kubeconfig; else its current one.")
]
Kubeconfig = Annotated[
    str | None, typer.Option("--kubeconfig", help="A kubeconfig; else the one that kubectl uses.")
]
OperatorNamespace = Annotated[
    str,
    typer.Option(
        "--operator-namespace",
        envvar="BGJOBS_NAMESPACE",
        show_envvar=True,
        help="Where the operator runs.",
    ),
]
Output = Annotated[Format | None, typer.Option("--output", "-o", help="How to print it.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of a BackgroundJob.")]


@app.command()
def explain(
    name: Name,
    output: Output = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    operator_namespace: OperatorNamespace = api.OPERATOR_NAMESPACE,
) -> None:
    """Say why a job is where it is, when that ends, and what changes it."""
    with api.connected(kubeconfig, context, namespace, operator_namespace) as cluster:
        explanation = explain_facts(observe(cluster, name))
    if output is Format.NAME:
        print(f"backgroundjob.bgjobs.dev/{name}")
    elif output is not None:
        print(dump(explanation_data(explanation), output))
    else:
        show_explanation(console(), explanation, api.now(cluster))


@app.callback()
def _group() -> None:
    """One command so far."""
