"""Arguments and options that several commands share, each declared once."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Method(StrEnum):
    """`verifier.problem.budget.Depth`, as far as there is something to choose."""

    backward = "backward"
    corners = "corners"
    slopes = "slopes"
    clipping = "clipping"
    joint = "joint"
    branching = "branching"


class Device(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Precision(StrEnum):
    float64 = "float64"
    float32 = "float32"


Model = Annotated[Path, typer.Argument(help="An ONNX file.", metavar="MODEL", show_default=False)]
Data = Annotated[
    Path,
    typer.Argument(
        help="A .npz file: `inputs` (N samples), `labels`, and `lengths` where samples are padded.",
        metavar="DATA.npz",
        show_default=False,
    ),
]
Eps = Annotated[
    float,
    typer.Option("--eps", help="Radius of the balls around the samples.", metavar="E", show_default=False),
]
Start = Annotated[float, typer.Option("--start", help="The first radius that is tried.", metavar="E")]
Tolerance = Annotated[
    float,
    typer.Option(
        "--tolerance",
        help="Relative accuracy of the radius; 0.01 at best beyond backward sweeps.",
        metavar="R",
    ),
]
Norm = Annotated[
    str, typer.Option("--norm", help="The norm: inf, 2, 1 or any number from 1 up.", metavar="inf|2|1|P")
]
Clip = Annotated[
    tuple[float, float] | None,
    typer.Option("--clip", help="Inputs stay in the range LO … HI.", metavar="LO HI", show_default=False),
]
Frames = Annotated[
    str | None,
    typer.Option(
        "--frames",
        help="What may change: 0-4,-1 (frames), :0,1 (features), each (a ball per frame), each,0-4:0.",
        metavar="SPEC",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", help="Take only the first N samples.", metavar="N", show_default=False),
]
Json = Annotated[
    Path | None,
    typer.Option(
        "--json",
        help="Write one JSON object a line; - writes to standard output.",
        metavar="FILE",
        show_default=False,
    ),
]
Timeout = Annotated[
    float | None, typer.Option("--timeout", help="Seconds for each sample.", metavar="S", show_default=False)
]
QueryTimeout = Annotated[
    float | None,
    typer.Option("--timeout", help="Seconds for the query, with start-up.", metavar="S", show_default=False),
]
MethodName = Annotated[
    Method,
    typer.Option("--method", help="Bounds that go no further than this; branching needs a --timeout."),
]
DeviceName = Annotated[
    Device, typer.Option("--device", help="Where to compute bounds; auto takes CUDA if there is some.")
]
DtypeName = Annotated[
    Precision, typer.Option("--dtype", help="RoundingModel of the bounds; sound in both, tighter in float64.")
]
Threads = Annotated[
    int,
    typer.Option("--threads", help="CPU threads.", metavar="N"),
]
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs", help="Processes that samples are shared among, each with its own threads.", metavar="N"
    ),
]
Memory = Annotated[
    int,
    typer.Option(
        "--memory", help="Memory (MiB) for the bounds: decides how many go together.", metavar="MIB"
    ),
]
Seed = Annotated[int, typer.Option("--seed", help="Seed of the attack's random starts.", metavar="N")]
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        help="The classifier's output, where the model has several.",
        metavar="NAME",
        show_default=False,
    ),
]
Bind = Annotated[
    list[str] | None,
    typer.Option(
        "--bind",
        help="Size of a free dimension (time=20), or shape of an input (x=1x20x12).",
        metavar="NAME=SIZE",
        show_default=False,
    ),
]
Fix = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        help="Value of an input that is no part of the question (sr=16000); several numbers as 3,5.",
        metavar="NAME=VALUE",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True)
class Samples:
    """What `certify` and `radius` are asked about: a model, samples, what may move, how long, how deep."""

    model: Model
    data: Data
    norm: Norm = "inf"
    clip: Clip = None
    frames: Frames = None
    output: Output = None
    fix: Fix = None
    limit: Limit = None
    json: Json = None
    timeout: Timeout = None
    method: MethodName = Method.branching
    jobs: Jobs = 1
