"""`recert` and its commands. A command's own imports stand inside it, so that --help is instant."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any, cast

import typer

from verifier import __version__
from verifier.cli import checks, options
from verifier.cli.checks import Checked
from verifier.cli.options import Machine, Query, Samples, grouped
from verifier.cli.process import (
    Deadline,
    Status,
    heed_termination,
    leave,
    process_start,
    reports_errors,
    say,
)
from verifier.cli.supports import CAPABILITIES, entries

# click's, which some versions of typer carry inside; its subclasses are all that parsing raises
UsageError = cast("type[Exception]", typer.BadParameter.__base__)

app = typer.Typer(
    name="recert",
    help="Certify recurrent neural networks straight from their ONNX files.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """The command."""
    heed_termination()
    try:
        arguments = sys.argv[1:] or ["--help"]
        status = app(arguments, prog_name="recert", standalone_mode=False, obj=process_start)
    except UsageError as error:
        say(f"recert: error: {usage_line(error)}")
        status = Status.BAD_INPUT
    leave(status if isinstance(status, int) else Status.DONE)


def usage_line(error: Any) -> str:
    """What click says at length, in one line; of several missing arguments all are named at once."""
    text = " ".join(error.format_message().split()).removesuffix(".")
    if error.ctx is None:
        return text
    required = [p for p in error.ctx.command.params if p.required]
    if "Missing" in text and any(p.name not in error.ctx.params for p in required):
        inputs = [p.metavar for p in required if p.param_type_name == "argument"]
        options = [f"{p.opts[0]} {p.metavar}" for p in required if p.param_type_name != "argument"]
        return f"{text}; write {' '.join([error.ctx.command_path, *inputs, *options])}"
    return f"{text}; {error.ctx.command_path} --help shows what there is"


def _print_and_exit(text: str, wanted: bool) -> None:
    if wanted:
        print(text)
        raise typer.Exit(int(Status.DONE))


def _version(wanted: bool) -> None:
    """The version alone on standard output, as the VNN-LIB interface wants it."""
    if wanted:
        from relaxations.kernels.status import kernel_status

        say(str(kernel_status()))
    _print_and_exit(__version__, wanted)


def _name(wanted: bool) -> None:
    _print_and_exit("recert", wanted)


@app.callback()
def recert(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version, and the kernels in use."
        ),
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
    checked = Checked()
    checked(checks.model, model)
    bound, fixed = checked(checks.bindings, bind or ()), checked(checks.fixed, fix or ())
    checked.end()
    from verifier.cli.inspect import run

    print(run(model, bound, fixed, json))


@app.command()
@grouped
@reports_errors
def verify(
    context: typer.Context, query: Query, machine: Machine, timeout: options.QueryTimeout = None
) -> None:
    """Answer a VNN-LIB query: unsat, sat (with the assignment), unknown or timed-out."""
    checked = Checked()
    checked(checks.query, query.query)
    for text in query.network:
        checked(checks.network, text)
    bound, fixed = checked(checks.bindings, query.bind or ()), checked(checks.fixed, query.fix or ())
    checked(checks.timeout, timeout)
    checked(checks.folder, query.assignments)
    checks.machine(machine, checked)
    checked.end()
    with Deadline(timeout, (context.obj or time.monotonic)()) as deadline:
        from verifier.cli.verify import Task, run

        run(Task(query.query, query.network, bound, fixed, query.assignments), deadline, machine)


@app.command()
@grouped
@reports_errors
def certify(eps: options.Eps, samples: Samples, machine: Machine) -> Status:
    """Prove that no input within EPS of a sample changes its class, sample after sample."""
    checked = Checked()
    radius = checked(checks.radius, eps)
    asked = checks.asked(samples, machine, checked)
    checked.end()
    from verifier.cli.certify import run_certify

    return run_certify(asked, machine, radius, eps)


@app.command()
@grouped
@reports_errors
def radius(
    samples: Samples,
    machine: Machine,
    start: options.Start = "0.01",
    tolerance: options.Tolerance = "1e-4",
) -> Status:
    """Bound the minimum adversarial perturbation of samples: a proved lower bound, an upper bound by PGD."""
    checked = Checked()
    first = checked(checks.radius, start, "--start", zero=False)
    accuracy = checked(checks.radius, tolerance, "--tolerance", zero=False)
    asked = checks.asked(samples, machine, checked)
    checked.end()
    from verifier.cli.certify import run_radius

    return run_radius(asked, machine, first, accuracy)


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
