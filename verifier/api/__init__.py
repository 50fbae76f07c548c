"""The library: what `import recert` gives. Arrays go in, frozen records come out.

    load       an ONNX file                                      → Network
    ball, box  inputs near a sample, or between two ends         → Ball, Box
    certify    is the class constant there?                      → Outcome
    radius     how far is the nearest input of another class?    → RadiusBounds
    bounds     between what do the outputs lie?                  → OutputBounds
    answer     a VNN-LIB query                                   → QueryOutcome
    inspect    what the file was read as                         → Inspection
    evaluate   what the file computes                            → arrays

The records have a `verdict`, `lower` and `upper`, the `method` that decided, whether it `finished`, the
`reason` of what is undecided, the `counterexample`, `stats`. Errors are `RecertError`s: one line that says
what is wrong and what to do."""

from parsers.errors import (
    BadInput,
    BadQuery,
    RecertError,
    SelfCheckFailed,
    UnboundDimension,
    UnreadableModel,
    UnsoundBound,
    UnsupportedModel,
)
from verifier.api.network import Network, evaluate, inspect, load
from verifier.api.queries import QueryOutcome, answer
from verifier.api.regions import Ball, Box, Region, ball, box
from verifier.api.robustness import OutputBounds, bounds, certify, radius
from verifier.inspection.summary import Inspection
from verifier.problem.settings import Settings
from verifier.queries.answer import Answer
from verifier.robustness.outcome import Outcome, RadiusBounds, Stats, Verdict

__all__ = [
    "Answer",
    "BadInput",
    "BadQuery",
    "Ball",
    "Box",
    "Inspection",
    "Network",
    "Outcome",
    "OutputBounds",
    "QueryOutcome",
    "RadiusBounds",
    "RecertError",
    "Region",
    "SelfCheckFailed",
    "Settings",
    "Stats",
    "UnboundDimension",
    "UnreadableModel",
    "UnsoundBound",
    "UnsupportedModel",
    "Verdict",
    "answer",
    "ball",
    "bounds",
    "box",
    "certify",
    "evaluate",
    "inspect",
    "load",
    "radius",
]
