"""Which arithmetic of a file its proofs cover."""

from __future__ import annotations

from parsers.ir import Graph

# Floating types whose own rounding the bounds cover: verifier.network.rounding models float32, float64 errs
# less.
COVERED_FLOATS = ("float32", "float64")


def caveat(graph: Graph) -> str | None:
    """What has to be said about verdicts on `graph` because of the types it computes in, if anything."""
    values = [*graph.values.values(), *(v for scan in graph.scans() for v in scan.body.values.values())]
    odd = sorted({v.dtype for v in values if "float" in v.dtype} - set(COVERED_FLOATS))
    if not odd:
        return None
    return f"the file computes in {', '.join(odd)}; proofs hold over the reals and do not cover its rounding"
