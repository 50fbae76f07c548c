"""`recert` and its commands. A command's own imports stand inside it, so that --help is instant."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from verifier import __version__
from verifier.cli import options
from verifier.cli.status import Status, reports_errors
from verifier.cli.supports import CAPABILITIES, entries

STARTED = time.monotonic() - time.process_time()  # near enough to when the process began

app = typer.Typer(
    name="recert",
    help="Certify recurrent neural networks straight from their ONNX files.",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    app()


def _print_and_exit(text: str, wanted: bool) -> None:
    if wanted:
        print(text)
        raise typer.Exit(int(Status.DONE))


def _version(wanted: bool) -> None:
    _print_and_exit(__version__, wanted)


def _name(wanted: bool) -> None:
    _print_and_exit("recert", wanted)


@app.callback()
def recert(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    name: Annotated[
        bool, typer.Option("--name", callback=_name, is_eager=True, help="Print the name.")
    ] = False,
) -> None:
    """Certify recurrent neural networks straight from their ONNX files."""
    del version, name  # dealt with by their callbacks


@app.command()
@reports_errors
def inspect(
    model: options.Model,
    bind: options.Bind = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show what the file was read as: cells as equations, states, lengths, gate patterns, parameters."""
    from verifier.cli.inspect import run

    print(run(model, bind or (), json))


@app.command(
    context_settings={"ignore_unknown_options": True},
    epilog="Capabilities: " + ", ".join(CAPABILITIES) + ".",
)
@reports_errors
def supports(
    capability: Annotated[
        str, typer.Argument(help="One of those below.", metavar="--CAPABILITY", show_default=False)
    ],
) -> None:
    """Print what is supported, one entry a line, as the VNN-LIB 2.0 verifier interface wants it."""
    for entry in entries(capability):
        print(entry)
