"""Planes against ball arithmetic: the gate at exact points, with proved error bounds, by python-flint.

A gate's function is written in torch operations; `Ball` takes torch's place as their operand, so a new
gate is checked without being written again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from relaxations import GATES, Gate, offsets, planes
from relaxations.gates import swish
from tests.support.plane_checks import boxes, for_every_gate, inside_of

flint = pytest.importorskip("flint")
arb = flint.arb
PRECISION = 160


class Ball:
    """A real number known to lie in an arb ball, that torch's elementwise functions accept."""

    def __init__(self, value: Any) -> None:
        self.ball = value if isinstance(value, arb | bool) else arb(value)  # or the truth of a comparison

    @classmethod
    def __torch_function__(
        cls, function: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Ball:
        name = function.__name__
        if name not in OPERATIONS:
            raise NotImplementedError(
                f"tests/relaxations/test_exact.py has no ball operation for torch.{name}"
            )
        balls = [a.ball if isinstance(a, Ball) else a for a in (*args, *(kwargs or {}).values())]
        return cls(OPERATIONS[name](*balls))

    def __add__(self, other: Any) -> Ball:
        return Ball(self.ball + plain(other))

    def __sub__(self, other: Any) -> Ball:
        return Ball(self.ball - plain(other))

    def __mul__(self, other: Any) -> Ball:
        return Ball(self.ball * plain(other))

    def __truediv__(self, other: Any) -> Ball:
        return Ball(self.ball / plain(other))

    def __rsub__(self, other: Any) -> Ball:
        return Ball(plain(other) - self.ball)

    def __rtruediv__(self, other: Any) -> Ball:
        return Ball(plain(other) / self.ball)

    def __neg__(self) -> Ball:
        return Ball(-self.ball)

    def __lt__(self, other: Any) -> Ball:
        return Ball(bool(self.ball < plain(other)))

    def __gt__(self, other: Any) -> Ball:
        return Ball(bool(self.ball > plain(other)))

    def clamp(self, min: Any = None, max: Any = None) -> Ball:
        return Ball(clamp(self.ball, min, max))

    __radd__, __rmul__ = __add__, __mul__


def plain(value: Any) -> Any:
    return value.ball if isinstance(value, Ball) else arb(value)


def clamp(x: Any, low: Any = None, high: Any = None, **sides: Any) -> Any:
    low, high = sides.get("min", low), sides.get("max", high)
    x = x if low is None else arb.max(x, arb(low))
    return x if high is None else arb.min(x, arb(high))


def sigmoid(x: Any) -> Any:
    return 1 / (1 + (-x).exp())


def power(x: Any, exponent: float) -> Any:
    return x ** int(exponent) if float(exponent).is_integer() else x ** arb(exponent)


def where(condition: bool, x: Any, y: Any) -> Any:
    return x if condition else arb(y)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "sigmoid": sigmoid,
    "tanh": lambda x: x.tanh(),
    "exp": lambda x: x.exp(),
    "expm1": lambda x: x.expm1(),
    "log": lambda x: x.log(),
    "sqrt": lambda x: x.sqrt(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "erf": lambda x: x.erf(),
    "abs": lambda x: abs(x),
    "softsign": lambda x: x / (1 + abs(x)),
    "relu": lambda x: arb.max(x, arb(0)),
    "maximum": lambda x, y: arb.max(x, y),
    "minimum": lambda x, y: arb.min(x, y),
    "reciprocal": lambda x: 1 / x,
    "pow": power,
    "where": where,
    "clamp": clamp,
    "logaddexp": lambda x, y: arb.max(x, y) + (-abs(x - y)).exp().log1p(),
    "trunc": lambda x: x.floor() if x >= 0 else x.ceil(),
    "zeros_like": lambda _: arb(0),
    "ones_like": lambda _: arb(1),
}


def exact(gate: Gate, point: list[float], parameters: dict[str, Any]) -> Any:
    result = gate.function(*(Ball(p) for p in point), **parameters)
    return result.ball


def check(gate: Gate, parameters: dict[str, Any], count: int, seed: int) -> int:
    """Planes of `count` boxes at their corners, at inner points and where they nearly touch; how many
    points."""
    lower, upper = boxes(gate, parameters, seed, each=1 + count // 10)
    pick = torch.randperm(lower.shape[1], generator=torch.Generator().manual_seed(seed))[:count]
    lower, upper = lower[:, pick], upper[:, pick]
    found = planes(gate, lower, upper, parameters)
    sides = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * gate.arity)
    share = torch.cat([sides.reshape(-1, gate.arity).T, torch.full((gate.arity, 1), 0.5).double()], 1)
    points = [inside_of(lower, upper, share[..., None])]
    for slope in (found.lower_slope, found.upper_slope):  # the gradient of an offset is minus its place
        leaf = slope.clone().requires_grad_()
        for side in offsets(gate, leaf, leaf, lower, upper, parameters):
            (gradient,) = torch.autograd.grad(side.sum(), leaf, retain_graph=True)
            points.append(-gradient[:, None])
    places = torch.cat(points, 1)
    planes_of = [t.tolist() for t in (found.lower_slope, found.upper_slope)]
    below, above = found.lower_offset.tolist(), found.upper_offset.tolist()
    for i in range(lower.shape[1]):
        for point in places[:, :, i].T.tolist():
            value = exact(gate, point, parameters)
            low, high = (
                sum((arb(slope[j][i]) * arb(point[j]) for j in range(gate.arity)), arb(offset[i]))
                for slope, offset in zip(planes_of, (below, above), strict=True)
            )
            where_ = f"{gate.name} at {point} in [{lower[:, i].tolist()}, {upper[:, i].tolist()}]"
            assert low <= value, f"{where_}: plane {low} above {value}"
            assert value <= high, f"{where_}: {value} above plane {high}"
    return places.shape[1] * lower.shape[1]


@for_every_gate
def test_planes_are_sound_over_the_reals(gate: Gate, parameters: dict[str, Any]) -> None:
    with flint.ctx.workprec(PRECISION):
        assert check(gate, parameters, 40, seed=5) >= 40


@pytest.mark.slow
@for_every_gate
def test_many_planes_are_sound_over_the_reals(gate: Gate, parameters: dict[str, Any]) -> None:
    with flint.ctx.workprec(PRECISION):
        assert check(gate, parameters, 500, seed=6) >= 500


def test_ball_arithmetic_sees_a_wrong_plane() -> None:
    """A plane below the gate by 1e-13, far less than float64 sampling could tell from rounding."""
    gate = GATES["tanh"]
    with flint.ctx.workprec(PRECISION):
        value = exact(gate, [0.7], {})
        assert not value <= arb(float(torch.tanh(torch.tensor(0.7, dtype=torch.float64)))) - arb(1e-13)


def silu_curvature(x: Any) -> tuple[Any, Any]:
    """g'' / (σ(x)σ(−x)) and its derivative.  Beyond ±4 it is negative: there x·tanh(x/2) > 2."""
    t = (x / 2).tanh()
    return 2 - x * t, -t - x / 2 * (1 - t * t)


def mish_curvature(x: Any) -> tuple[Any, Any]:
    """g''·(n + 2)³ / (4w) = w³(2 − 2x) + w²(6 − 3x) + w(8 + 2x) + 4 + 2x, with w = eˣ, and its derivative.

    It is negative for x ≥ 2, where its first two terms are at most −2w³ and the rest less than 16w; and for
    x ≤ −4, where 4 + 2x ≤ −4, w(8 + 2x) ≤ 0 and the first two are less than 1.
    """
    w = x.exp()
    value = w**3 * (2 - 2 * x) + w**2 * (6 - 3 * x) + w * (8 + 2 * x) + 4 + 2 * x
    return value, w**3 * (4 - 6 * x) + w**2 * (9 - 6 * x) + w * (10 + 2 * x) + 2


@pytest.mark.parametrize("name", ["silu", "mish"])
def test_inflections_are_where_the_pieces_end(name: str) -> None:
    """The sign of g'' on every piece: [−4, 4] is covered with balls, on each of which g'' has the sign that
    the piece claims, or, next to an inflection, g'' is monotone and changes its sign where the piece ends."""
    ends = {"silu": (-swish.SILU_INFLECTION, swish.SILU_INFLECTION), "mish": swish.MISH_INFLECTIONS}[name]
    curvature = {"silu": silu_curvature, "mish": mish_curvature}[name]
    steps = 8000
    with flint.ctx.workprec(PRECISION):
        for i in range(steps):
            low, high = (8 * (i + j) / steps - 4 for j in (0, 1))
            value, change = curvature(arb(0.5 * (low + high), 0.5 * (high - low) * 1.0000001))
            if any(low - 1e-2 <= end <= high + 1e-2 for end in ends):
                assert change > 0 or change < 0
            else:
                assert value > 0 if ends[0] < low < ends[1] else value < 0
        for end, sign in zip(ends, (1, -1), strict=True):
            assert sign * curvature(arb(end) + arb(4e-15))[0] > 0
            assert sign * curvature(arb(end) - arb(4e-15))[0] < 0
