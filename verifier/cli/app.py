"""`recert` and its commands. A command's own imports stand inside it, so that --help is instant."""

from __future__ import annotations

import time
from pathlib import Path
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


@app.command()
@reports_errors
def verify(
    query: Annotated[
        Path, typer.Argument(help="A VNN-LIB file.", metavar="QUERY.vnnlib", show_default=False)
    ],
    network: Annotated[
        list[str],
        typer.Option(
            "--network",
            help="The ONNX file that the query is about.",
            metavar="[NAME=]MODEL.onnx",
            show_default=False,
        ),
    ],
    bind: options.Bind = None,
    timeout: options.QueryTimeout = None,
    device: options.DeviceName = options.Device.auto,
    dtype: options.DtypeName = options.Precision.float64,
    threads: options.Threads = 1,
    memory: options.Memory = 2048,
    seed: options.Seed = 0,
) -> None:
    """Answer a VNN-LIB query: unsat, sat (with the assignment), unknown or timed-out."""
    from verifier.cli.deadline import Deadline

    with Deadline(timeout, STARTED) as deadline:
        from verifier.cli.machine import settings
        from verifier.cli.verify import run

        how = settings(device, dtype, threads, memory, seed)
        run(query, network, bind or (), timeout, deadline, how)


@app.command()
@reports_errors
def certify(
    model: options.Model,
    data: options.Data,
    eps: options.Eps,
    norm: options.Norm = "inf",
    clip: options.Clip = None,
    frames: options.Frames = None,
    output: options.Output = None,
    limit: options.Limit = None,
    json: options.Json = None,
    timeout: options.Timeout = None,
    device: options.DeviceName = options.Device.auto,
    dtype: options.DtypeName = options.Precision.float64,
    threads: options.Threads = 1,
    memory: options.Memory = 2048,
    seed: options.Seed = 0,
) -> Status:
    """Prove that no input within EPS of a sample changes its class, sample after sample."""
    from verifier.cli.certify import Task, run_certify
    from verifier.cli.machine import settings

    how = settings(device, dtype, threads, memory, seed)
    return run_certify(Task(model, data, norm, clip, frames, output, limit, json, timeout, how), eps)


@app.command()
@reports_errors
def radius(
    model: options.Model,
    data: options.Data,
    start: options.Start = 0.01,
    tolerance: options.Tolerance = 1e-4,
    norm: options.Norm = "inf",
    clip: options.Clip = None,
    frames: options.Frames = None,
    output: options.Output = None,
    limit: options.Limit = None,
    json: options.Json = None,
    timeout: options.Timeout = None,
    device: options.DeviceName = options.Device.auto,
    dtype: options.DtypeName = options.Precision.float64,
    threads: options.Threads = 1,
    memory: options.Memory = 2048,
    seed: options.Seed = 0,
) -> Status:
    """Bound the least distortion that changes a sample's class: proved from below, attacked from above."""
    from verifier.cli.certify import Task, run_radius
    from verifier.cli.machine import settings

    how = settings(device, dtype, threads, memory, seed)
    task = Task(model, data, norm, clip, frames, output, limit, json, timeout, how)
    return run_radius(task, start, tolerance)


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
