"""Closed-form supports of products: neither below nor above the maximum that a search in one operand finds.

For a fixed x the greatest value over y is a support of the curve g, which has its own tests; what is left is
searched on grids of x, each around the best of the one before.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from relaxations.curves.curve import Curve, complement, largest
from relaxations.curves.pieces import bracketed
from relaxations.curves.sigmoid import SIGMOID
from relaxations.curves.softsign import SOFTSIGN
from relaxations.curves.tanh import TANH
from relaxations.gate import Support
from relaxations.gates import swish
from relaxations.gates.relu import HARD_SIGMOID, RELU
from relaxations.products import sigmoid_softsign, sigmoid_tanh
from relaxations.products.bilinear import Problem, product_support
from relaxations.rounding import margin


def by_intervals(w: Curve, g: Curve) -> Callable[..., Support]:
    return lambda *problem: product_support(w, g, Problem(*problem))


HARD = HARD_SIGMOID.bound(alpha=0.2, beta=0.5)
CASES: dict[str, tuple[Curve, Curve, Callable[..., Support]]] = {
    "sigmoid_tanh": (SIGMOID, TANH, sigmoid_tanh.support),
    "sigmoid_softsign": (SIGMOID, SOFTSIGN, sigmoid_softsign.support),
    "sigmoid_relu": (SIGMOID, RELU, by_intervals(SIGMOID, RELU)),
    "hard_sigmoid_tanh": (HARD, TANH, by_intervals(HARD, TANH)),
    "complement_relu": (complement(HARD), RELU, by_intervals(complement(HARD), RELU)),
}
KINDS = ["any", "around 0", "saturated", "large", "x wide", "y wide"]
COUNT = 300


def boxes(kind: str) -> tuple[Tensor, Tensor]:
    centre = 16 * torch.rand(2, COUNT, dtype=torch.float64) - 8
    width = 12 * 10 ** (4 * torch.rand(2, COUNT, dtype=torch.float64) - 4)
    match kind:
        case "around 0":
            centre = torch.zeros_like(centre)
        case "saturated":
            centre = 6 * centre
        case "large":
            centre, width = 100 * centre, 100 * width
        case "x wide":
            width[0] = 30
        case "y wide":
            width[1] = 300
    return centre - width * torch.rand_like(width), centre + width * torch.rand_like(width)


def searched(
    w: Curve, g: Curve, scale: Tensor, slopes: Tensor, lower: Tensor, upper: Tensor, h: Tensor
) -> Tensor:
    best, left, right = torch.full_like(scale, -torch.inf), lower[0], upper[0]
    share = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None]
    for _ in range(8):
        x = torch.minimum(torch.maximum(left + (right - left) * share, lower[0]), upper[0])
        weight = scale * w.function(x)
        inner = g.support(weight, slopes[1], lower[1].expand_as(x), upper[1].expand_as(x)).value
        found = (inner - weight * h - slopes[0] * x).max(0)
        best = torch.maximum(best, found.values)
        at, step = x.gather(0, found.indices[None])[0], (right - left) / 200
        left, right = torch.maximum(at - step, lower[0]), torch.minimum(at + step, upper[0])
    return best


def compared(
    w: Curve, g: Curve, support: Callable[..., Support], kind: str, shifted: bool
) -> tuple[Tensor, Tensor]:
    """By how much the support lies below what the search finds, its margin added, and by how much above, as
    shares of the magnitude."""
    torch.manual_seed(KINDS.index(kind))
    lower, upper = boxes(kind)
    share = torch.rand(2, COUNT, dtype=torch.float64)
    size = 10 ** torch.where(share < 0.4, 4 * share - 1.5, 8 * share - 9)
    slopes = size * torch.randn(2, COUNT, dtype=torch.float64)
    scale = torch.where(torch.rand(COUNT) < 0.5, 1.0, -1.0).double()
    h = (4 * torch.rand(COUNT, dtype=torch.float64) - 2) * shifted
    found = support(scale, tuple(slopes), (lower[0], upper[0]), (lower[1], upper[1]), h)
    assert ((lower <= found.at) & (found.at <= upper)).all()
    best = searched(w, g, scale, slopes, lower, upper, h)
    size = w.magnitude(lower[0], upper[0]) * (g.magnitude(lower[1], upper[1]) + h.abs())
    size = size + (slopes.abs() * largest(lower, upper)).sum(0)
    return (best - found.value - margin(size)) / size, (found.value - best) / size


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("shifted", [False, True], ids=["plain", "shifted"])
def test_supports_are_maxima(name: str, kind: str, shifted: bool) -> None:
    below, above = compared(*CASES[name], kind, shifted)
    assert float(below.max()) <= 0
    assert float(above.max()) < 1e-3
    assert float(above.quantile(0.98)) < 1e-10


@pytest.mark.parametrize("name", CASES)
def test_a_support_that_forgets_the_inside_is_caught(name: str) -> None:
    w, g, _ = CASES[name]

    def corners(scale: Tensor, slopes: Any, xs: Any, ys: Any, h: Tensor) -> Support:
        found = []
        for x in xs:
            for y in ys:
                value = scale * w.function(x) * (g.function(y) - h) - slopes[0] * x - slopes[1] * y
                found.append((value, torch.stack([x, y])))
        values, places = (torch.stack(part, -1) for part in zip(*found, strict=True))
        value, index = values.max(-1)
        return Support(value, places.gather(-1, index[None, :, None].expand(2, -1, 1))[..., 0])

    assert max(float(compared(w, g, corners, kind, True)[0].max()) for kind in KINDS) > 0


@pytest.mark.parametrize(
    ("derivative", "pieces"),
    [
        (swish.silu_slope, swish.SILU_INFLECTION * torch.tensor([-1.0, 1.0], dtype=torch.float64)),
        (swish.mish_slope, torch.tensor(swish.MISH_INFLECTIONS, dtype=torch.float64)),
        (swish.gelu_slope, swish.ROOT * torch.tensor([-1.0, 1.0], dtype=torch.float64)),
    ],
    ids=["silu", "mish", "gelu"],
)
def test_bracketed_inverses_meet_their_slope(derivative: Callable[[Tensor], Tensor], pieces: Tensor) -> None:
    """Everywhere on a piece, and never NaN for slopes that it does not have."""
    first, last = pieces.tolist()
    for lower, upper, sign in ((-38.0, first, -1), (first, last, 1), (last, 38.0, -1)):
        inverse = bracketed(derivative, lower, upper, sign)
        places = torch.linspace(lower, upper, 5001, dtype=torch.float64)
        wanted = derivative(places)
        assert float((derivative(inverse(wanted).clamp(lower, upper)) - wanted).abs().max()) < 1e-9
        strange = torch.tensor([-torch.inf, -3.0, 3.0, torch.inf], dtype=torch.float64)
        ends = torch.tensor([-torch.inf, -torch.inf, torch.inf, torch.inf], dtype=torch.float64)
        assert torch.equal(inverse(strange), sign * ends)


def test_planes_import_nothing_big() -> None:
    """Some functions of torch import sympy when first called, which takes as long as many verdicts."""
    script = (
        "import sys, torch; from relaxations import GATES, planes\n"
        "for gate in GATES.values():\n"
        "    lower = 0.5 + torch.rand(gate.arity, 4)\n"
        "    planes(gate, lower, lower + 1, gate.example[0])\n"
        "assert 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
