"""The numbers that C shares with Python, as its header: written here, each typed once, beside its proof.

`python -m tests.support.constants` writes it anew after one has changed; then build the kernels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import ModuleType

import relaxations.curves.curve
import relaxations.curves.sigmoid
import relaxations.curves.tanh
import relaxations.octagon
import relaxations.polygons.polygon
import relaxations.polygons.segments
import relaxations.polygons.sigmoid_tanh
import relaxations.products.arc
import relaxations.products.bilinear
import relaxations.products.sigmoid_tanh
import relaxations.rounding
import relaxations.slopes.least_volume
import relaxations.slopes.simplex
import verifier.bounds.concave
import verifier.propagation.compiled_cell
from tests.support.paths import ROOT

HEADER = ROOT / "relaxations" / "kernels" / "constants.h"

SHARED: Sequence[tuple[ModuleType, str]] = (
    (relaxations.rounding, "UNIT TINY"),
    (relaxations.curves.curve, "DERIVATIVE_ERROR INTERVALS"),
    (relaxations.curves.sigmoid, "CORE"),
    (relaxations.curves.tanh, "CORE"),
    (relaxations.products.arc, "LEAST"),
    (relaxations.products.bilinear, "PARTS"),
    (relaxations.products.sigmoid_tanh, "NEWTON"),
    (relaxations.octagon, "THIN"),
    (relaxations.polygons.polygon, "TOUCH"),
    (relaxations.polygons.sigmoid_tanh, "APART"),
    (
        relaxations.polygons.segments,
        "PARTS AGAIN ROUNDS TOLERANCE SIGMOID_MOST TANH_MOST TANH_SHARE REMAINDER",
    ),
    (relaxations.slopes.simplex, "TOLERANCE PIVOT"),
    (
        relaxations.slopes.least_volume,
        "COARSE_STEPS FINE_STEPS STAGES ALONG AROUND LEAST_WIDTH FAR RIM",
    ),
    (verifier.bounds.concave, "COLUMNS LANES TINY MIXED"),
    (verifier.propagation.compiled_cell, "WAITING DIRECT SCRATCH"),
)


def header() -> str:
    """The text of the header: MODULE_NAME for every name, and how many there are of several."""
    lines = [
        "/* Numbers that C and Python share, of the modules that their names begin with: written by",
        " * `python -m tests.support.constants`. */",
        "",
        "#ifndef RECERT_CONSTANTS_H",
        "#define RECERT_CONSTANTS_H",
        "",
        *_defined(),
        "",
        "#endif",
    ]
    return "\n".join(lines) + "\n"


def _defined() -> Iterator[str]:
    for module, names in SHARED:
        folder, place = module.__name__.split(".")[-2:]
        prefix = f"POLYGONS_{place}" if place == "sigmoid_tanh" and folder == "polygons" else place
        for name in names.split():
            value = getattr(module, name)
            full = f"{prefix}_{name}".upper()
            if isinstance(value, tuple):
                yield f"#define {full} {{{', '.join(map(repr, value))}}}"
                yield f"#define {full}_COUNT {len(value)}"
            else:
                yield f"#define {full} {value!r}"


if __name__ == "__main__":
    HEADER.write_text(header())
