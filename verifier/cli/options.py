"""Arguments and options that several commands share, each declared once; a command takes them in groups.

Numbers with a grammar of their own (8/255, L2) come as text: `verifier.cli.checks` reads them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast, get_type_hints

import typer

from verifier.cli.checks import DEVICES, METHODS, PRECISIONS, mistake

if TYPE_CHECKING:
    from verifier.problem.settings import Settings


def _choice(name: str, meaning: str, metavar: str, names: tuple[str, ...]) -> Any:
    """An option with one of these values, which a shell completes."""
    return typer.Option(name, help=meaning, metavar=metavar, autocompletion=lambda: list(names))


def _option(name: str, meaning: str, metavar: str) -> Any:
    """An option that has no default worth showing."""
    return typer.Option(name, help=meaning, metavar=metavar, show_default=False)


Model = Annotated[Path, typer.Argument(help="An ONNX file.", metavar="MODEL", show_default=False)]
Data = Annotated[
    Path,
    typer.Argument(
        help="A .npz file: `inputs` (N samples), `labels`, and `lengths` where samples are padded.",
        metavar="DATA.npz",
        show_default=False,
    ),
]
Eps = Annotated[str, _option("--eps", "Radius of the balls around the samples: 0.03, 8/255.", "E")]
Start = Annotated[str, typer.Option("--start", help="The first radius that is tried.", metavar="E")]
Tolerance = Annotated[
    str,
    typer.Option(
        "--tolerance", help="Relative accuracy of the radius; 0.01 at best beyond crown.", metavar="R"
    ),
]
Norm = Annotated[
    str,
    typer.Option("--norm", help="The norm: inf (or Linf), 2 (L2), 1 (L1), any P ≥ 1.", metavar="inf|2|1|P"),
]
Clip = Annotated[tuple[str, str] | None, _option("--clip", "Inputs stay in the range LO … HI.", "LO HI")]
Steps = Annotated[str | None, _option("--steps", "Only these time steps move: 0-4,-1.", "STEPS")]
Features = Annotated[
    str | None, _option("--features", "Only these features of a time step move: 0,3-5.", "FEATURES")
]
PerStep = Annotated[
    bool,
    typer.Option("--per-step", help="A ball of radius E for each time step, all at once."),
]
Frames = Annotated[str | None, typer.Option("--frames", hidden=True)]
Limit = Annotated[int | None, _option("--limit", "Take only the first N samples.", "N")]
Json = Annotated[
    Path | None, _option("--json", "Write one JSON object a line; - writes to standard output.", "FILE")
]
Timeout = Annotated[float | None, _option("--timeout", "Seconds for each sample.", "S")]
QueryTimeout = Annotated[float | None, _option("--timeout", "Seconds for the query, with start-up.", "S")]
Method = Annotated[
    str,
    _choice(
        "--method",
        f"The strongest method that is tried, of {', '.join(METHODS)}; bab needs a --timeout.",
        "METHOD",
        METHODS,
    ),
]
Device = Annotated[
    str,
    _choice("--device", "Where bounds are computed; auto means the CPU.", "|".join(DEVICES), DEVICES),
]
Precision = Annotated[
    str,
    _choice(
        "--dtype",
        "Arithmetic of the bounds: sound in both, tighter in float64.",
        "|".join(PRECISIONS),
        PRECISIONS,
    ),
]
Threads = Annotated[int, typer.Option("--threads", help="CPU threads.", metavar="N")]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", help="Processes that samples are shared among, each with its own threads.", metavar="N"
    ),
]
Memory = Annotated[
    int,
    typer.Option("--memory", help="MiB for the bounds: decides how many go together.", metavar="MIB"),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the attack's random starts.", metavar="N")]
Output = Annotated[
    str | None, _option("--output", "The classifier's output, where the model has several.", "NAME")
]
Bind = Annotated[
    list[str] | None,
    _option("--bind", "Size of a free dimension (time=20), or shape of an input (x=1x20x12).", "NAME=SIZE"),
]
Fix = Annotated[
    list[str] | None,
    _option(
        "--fix",
        "Value of an input that is no part of the question (sr=16000); several numbers as 3,5.",
        "NAME=VALUE",
    ),
]
QueryFile = Annotated[
    Path, typer.Argument(help="A VNN-LIB file.", metavar="QUERY.vnnlib", show_default=False)
]
Networks = Annotated[
    list[str],
    _option("--network", "The ONNX file of a network that the query declares.", "[NAME=]MODEL.onnx"),
]
Assignments = Annotated[
    Path | None,
    _option(
        "--serialise-assignments",
        "After sat, write VARIABLE.pb (ONNX tensors) there instead of printing the assignment.",
        "DIR",
    ),
]


@dataclass(frozen=True, slots=True)
class Machine:
    """Where and how bounds are computed."""

    device: Device = "auto"
    dtype: Precision = "float64"
    threads: Threads = 1
    memory: Memory = 2048
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class Samples:
    """What `certify` and `radius` are asked about: a model, samples, what may move, how long, how deep."""

    model: Model
    data: Data
    norm: Norm = "inf"
    clip: Clip = None
    steps: Steps = None
    features: Features = None
    per_step: PerStep = False
    frames: Frames = None
    output: Output = None
    fix: Fix = None
    limit: Limit = None
    json: Json = None
    timeout: Timeout = None
    method: Method = "bab"
    jobs: Jobs = 1


@dataclass(frozen=True, slots=True)
class Query:
    """What `verify` is asked: a query, the files of its networks, and where an assignment goes."""

    query: QueryFile
    network: Networks
    bind: Bind = None
    fix: Fix = None
    assignments: Assignments = None


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Replace every parameter of `command` that is a dataclass by one option for each of its fields.

    A field is annotated like an option of a command is, and its default is the option's. The command gets
    the dataclass made.
    """
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Any], list[str]]] = {}
    for parameter in inspect.signature(command).parameters.values():
        hint = hints[parameter.name]
        if not is_dataclass(hint):
            parameters.append(parameter.replace(annotation=hint, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        own = get_type_hints(hint, include_extras=True)
        groups[parameter.name] = cast("type[Any]", hint), [field.name for field in fields(hint)]
        for field in fields(hint):
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            parameters.append(
                inspect.Parameter(
                    field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=own[field.name]
                )
            )

    @functools.wraps(command)
    def run(**values: Any) -> None:
        made = {name: group(**{f: values.pop(f) for f in own}) for name, (group, own) in groups.items()}
        command(**values, **made)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def settings(machine: Machine) -> Settings:
    """Prepare torch; return the settings of this run. `Machine`'s fields are called as those of `Settings`.

    Raises `Mistakes` where there is no such device.
    """
    import torch

    from verifier.problem.settings import Settings

    torch.set_num_threads(machine.threads)
    if machine.device == "cuda" and not torch.cuda.is_available():
        raise mistake(
            f"--device cuda: torch {torch.__version__} sees no CUDA device; use --device cpu, or install"
            " a CUDA build of torch on a machine with a GPU"
        )
    names = {field.name for field in fields(Settings)}
    given: dict[str, Any] = {f.name: getattr(machine, f.name) for f in fields(machine) if f.name in names}
    given["device"] = "cuda" if machine.device == "cuda" else "cpu"
    return Settings(**given)
