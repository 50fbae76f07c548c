"""`recert` and its commands. A command's own imports stand inside it, so that --help is instant."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from verifier import __version__
from verifier.cli import options
from verifier.cli.groups import grouped
from verifier.cli.machine import Machine
from verifier.cli.status import Status, reports_errors
from verifier.cli.supports import CAPABILITIES, entries

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
    """The command. It leaves without taking its libraries apart: a verdict is worth no wait."""
    from verifier.cli.deadline import process_start

    try:
        app(obj=process_start)
    except SystemExit as end:
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(end.code if isinstance(end.code, int) else int(Status.DONE))


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
    fix: options.Fix = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
) -> None:
    """Show what the file was read as: cells as equations, states, lengths, gate patterns, parameters."""
    from verifier.cli.inspect import run

    print(run(model, bind or (), fix or (), json))


@app.command()
@grouped
@reports_errors
def verify(
    context: typer.Context,
    machine: Machine,
    query: Annotated[
        Path, typer.Argument(help="A VNN-LIB file.", metavar="QUERY.vnnlib", show_default=False)
    ],
    network: Annotated[
        list[str],
        typer.Option(
            "--network",
            help="The ONNX file of a network that the query declares.",
            metavar="[NAME=]MODEL.onnx",
            show_default=False,
        ),
    ],
    bind: options.Bind = None,
    fix: options.Fix = None,
    timeout: options.QueryTimeout = None,
    assignments: Annotated[
        Path | None,
        typer.Option(
            "--serialise-assignments",
            help="After sat, write VARIABLE.pb (ONNX tensors) there instead of printing the assignment.",
            metavar="DIR",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Answer a VNN-LIB query: unsat, sat (with the assignment), unknown or timed-out."""
    from verifier.cli.deadline import Deadline

    with Deadline(timeout, (context.obj or time.monotonic)()) as deadline:
        from verifier.cli.verify import Task, run

        task = Task(query, network, bind or (), fix or (), timeout, assignments)
        run(task, deadline, machine.check().settings)


@app.command()
@grouped
@reports_errors
def certify(eps: options.Eps, samples: options.Samples, machine: Machine) -> Status:
    """Prove that no input within EPS of a sample changes its class, sample after sample."""
    from verifier.cli.certify import run_certify

    return run_certify(samples, machine, eps)


@app.command()
@grouped
@reports_errors
def radius(
    samples: options.Samples,
    machine: Machine,
    start: options.Start = 0.01,
    tolerance: options.Tolerance = 1e-4,
) -> Status:
    """Bound the least perturbation that changes a sample's class: proved from below, attacked from above."""
    from verifier.cli.certify import run_radius

    return run_radius(samples, machine, start, tolerance)


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
