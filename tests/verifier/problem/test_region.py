"""Regions: the linear minimum against primal points, scipy and exact arithmetic; points stay inside."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
import scipy.optimize
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from parsers.errors import BadInput
from parsers.ir import Value
from tests.support.bounding import repeated
from verifier.problem import points
from verifier.problem.ball import Groups
from verifier.problem.norms import maximiser, norm, upper_value
from verifier.problem.region import Region, ball_region, box_region, check_products

NORMS = [1.0, 1.01, 1.5, 2.0, 3.0, 10.0, math.inf]
SHAPES = {
    "whole": torch.zeros(12, dtype=torch.int64),
    "steps": torch.arange(12) // 4,
    "uneven": torch.tensor([0, 0, 0, 0, 0, 1, -1, 1, -1, 3, -1, 1]),  # group 2 is empty
}


def example(p: float, shape: str, clip: bool, eps: float = 0.4, seed: int = 0, batch: int = 3) -> Region:
    x = torch.rand(batch, 12, generator=torch.Generator().manual_seed(seed)).float().double()
    x[:, 0], x[:, 5] = 0.0, 1.0  # on the border of the clip range
    return ball_region(x, eps, p, clip=(0.0, 1.0) if clip else None, group=SHAPES[shape])


def rows_for(region: Region, count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(len(region), count, region.lower.shape[1], generator=generator, dtype=torch.float64)
    rows[:, 0] = 0
    rows[:, 1, :5] = 0
    rows[:, 2] = rows[:, 2].sign()  # ties
    return rows


def reached(region: Region, rows: Tensor) -> Tensor:
    """A·x at the corner against each row: the value of a feasible point."""
    values = [(row * points.corner(region, -row)).sum(dim=-1) for row in rows.unbind(1)]
    return torch.stack(values, dim=1)


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", NORMS)
def test_minimum_is_attained_by_a_point_of_the_region(p: float, shape: str, clip: bool) -> None:
    region = example(p, shape, clip)
    rows = rows_for(region, 20)
    bound, value = region.minimum(rows), reached(region, rows)
    torch.testing.assert_close(bound, value, rtol=1e-10, atol=1e-10)  # weak duality is tight: both are exact
    assert bool((bound <= value + 1e-13).all())
    for row in rows.unbind(1):
        corner = points.corner(region, -row)
        shrunk = points.center(region) + (corner - points.center(region)) * (1 - 1e-12)
        assert bool(region.contains(shrunk).all())


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("p", NORMS)
def test_minimum_holds_on_samples(p: float, clip: bool) -> None:
    region = repeated(example(p, "uneven", clip), 50)
    rows = rows_for(region, 20)
    x = points.sample(region, torch.Generator().manual_seed(3))
    assert bool((torch.matmul(rows, x.unsqueeze(-1)).squeeze(-1) >= region.minimum(rows) - 1e-12).all())


def best_by_scipy(a: np.ndarray, m: np.ndarray, r: float, p: float) -> float:
    bounds = list(zip([0.0] * len(m), m, strict=True))
    if p == 1:
        return -scipy.optimize.linprog(-a, A_ub=np.ones((1, len(m))), b_ub=[r], bounds=bounds).fun
    ball = {"type": "ineq", "fun": lambda t: r**p - (np.abs(t) ** p).sum()}
    options = {"ftol": 1e-13, "maxiter": 500}
    return -scipy.optimize.minimize(
        lambda t: -a @ t, m / 10, bounds=bounds, constraints=ball, options=options
    ).fun


@pytest.mark.parametrize("p", [1.0, 1.5, 2.0, 3.0])
def test_value_against_scipy(p: float) -> None:
    rng = np.random.default_rng(5)
    for _ in range(8):
        a, m, r = rng.random(5), rng.random(5) * 0.6, 0.5
        got = upper_value(torch.tensor(a), torch.tensor(m), torch.tensor(r, dtype=torch.float64), p)
        assert float(got) == pytest.approx(best_by_scipy(a, m, r, p), abs=1e-6)


def numbers(n: int, limit: float, width: Literal[32, 64] = 64) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(-limit, limit, allow_subnormal=False, width=width), min_size=n, max_size=n)


@pytest.mark.parametrize(("p", "q"), [(1.25, 5), (1.5, 3), (2.0, 2), (math.inf, 1)])
@settings(derandomize=True, deadline=None, max_examples=50)
@given(data=st.data())
def test_rounding_never_lifts_the_bound_of_a_ball(p: float, q: int, data: st.DataObject) -> None:
    """loss = A·c − bound must be at least ε·‖A‖_q, in rational arithmetic: loss^q ≥ ε^q·Σ|Aᵢ|^q."""
    n = data.draw(st.integers(1, 6))
    x, row = data.draw(numbers(n, 1e6, width=32)), data.draw(numbers(n, 1e9))
    eps = data.draw(st.floats(1e-6, 1e3))
    region = ball_region(torch.tensor([x], dtype=torch.float64), eps, p)
    bound = Fraction(float(region.minimum(torch.tensor([[row]], dtype=torch.float64))))
    a, c = [Fraction(v) for v in row], [Fraction(v) for v in x]
    loss = sum((u * v for u, v in zip(a, c, strict=True)), -bound)
    wanted = Fraction(eps) ** q * sum(abs(u) ** q for u in a)
    assert loss >= 0
    assert loss**q >= wanted
    noise = sum(abs(u) * (abs(v) + Fraction(eps)) for u, v in zip(a, c, strict=True)) * Fraction(1, 10**12)
    assert max(loss - noise - Fraction(1, 10**250), 0) ** q <= wanted  # and not by more than rounding needs


@settings(derandomize=True, deadline=None, max_examples=80)
@given(data=st.data())
def test_rounding_never_lifts_the_bound_of_a_clipped_ball(data: st.DataObject) -> None:
    """p = 1 in the box [−1, 1]: the exact minimum is a fractional knapsack in rational arithmetic."""
    n = data.draw(st.integers(1, 6))
    x, row = data.draw(numbers(n, 1.0, width=32)), data.draw(numbers(n, 1e9))
    eps = data.draw(st.floats(1e-6, 5.0))
    region = ball_region(torch.tensor([x], dtype=torch.float64), eps, 1.0, clip=(-1.0, 1.0))
    bound = Fraction(float(region.minimum(torch.tensor([[row]], dtype=torch.float64))))
    exact, left = Fraction(0), Fraction(eps)
    for u, v in sorted(
        zip(map(Fraction, row), map(Fraction, x), strict=True), key=lambda pair: -abs(pair[0])
    ):
        moved = min(left, 1 + v if u > 0 else 1 - v)
        left -= moved
        exact += u * v - abs(u) * moved
    assert bound <= exact
    assert exact - bound <= Fraction(1, 10**12) * sum(abs(Fraction(u)) for u in row) * (
        1 + Fraction(eps)
    ) + Fraction(1, 10**250)


def test_clipping_and_grouping_tighten() -> None:
    for p in NORMS:
        loose, tight = example(p, "whole", False), example(p, "whole", True)
        rows = rows_for(loose, 20)
        assert bool((tight.minimum(rows) >= loose.minimum(rows) - 1e-12).all())
        assert float((tight.minimum(rows) - loose.minimum(rows)).max()) > 1e-3
        apart = example(p, "steps", True)
        assert bool((apart.minimum(rows) <= tight.minimum(rows) + 1e-12).all())


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("p", NORMS)
def test_gradient_is_the_minimiser(p: float, clip: bool) -> None:
    region = example(p, "steps", clip)
    rows = rows_for(region, 12)[:, 3:].requires_grad_()
    (gradient,) = torch.autograd.grad(region.minimum(rows).sum(), rows)
    assert bool(torch.isfinite(gradient).all())
    value = (rows.detach() * gradient).sum(dim=-1)  # minimum is homogeneous in A: A·∇ = minimum
    torch.testing.assert_close(value, region.minimum(rows.detach()), rtol=1e-8, atol=1e-8)
    for k in range(rows.shape[1]):
        torch.testing.assert_close(
            points.project(region, gradient[:, k]), gradient[:, k], rtol=1e-6, atol=1e-7
        )


def test_gradient_at_zero_rows_is_finite() -> None:
    for p in NORMS:
        region = example(p, "steps", True)
        rows = torch.zeros(3, 2, 12, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(region.minimum(rows).sum(), rows)
        assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("clip", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("p", NORMS)
def test_projection(p: float, shape: str, clip: bool) -> None:
    region = repeated(example(p, shape, clip), 20)
    far = points.center(region) + torch.randn(
        60, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64
    )
    near = points.project(region, far)
    torch.testing.assert_close(points.project(region, near), near, rtol=1e-12, atol=1e-14)
    drawn_in = points.center(region) + (near - points.center(region)) * (1 - 1e-12)
    for dtype in ("float32", "float64"):
        witness = points.representable(region, drawn_in, [Value("x", (3, 4), dtype)])
        assert np.array_equal(witness, witness.numpy().astype(dtype))
        assert bool(region.contains(witness).all())
    inside = points.sample(region, torch.Generator().manual_seed(4))
    torch.testing.assert_close(points.project(region, inside), inside, rtol=1e-9, atol=1e-12)
    if p in (2.0, math.inf):  # the nearest point: no other may be nearer
        distance = (far - near).norm(dim=-1)
        assert bool(((far - inside).norm(dim=-1) >= distance - 1e-12).all())
        toward = points.project(region, near + 0.05 * (inside - near))
        assert bool(((far - toward).norm(dim=-1) >= distance - 1e-10).all())


def test_contains_decides_a_tie_exactly() -> None:
    x = torch.tensor([[1.0, 1.0, 1.0]], dtype=torch.float64)
    # 1 + 2⁻⁵⁴ is no float, so that the box must reach to the next one, which is outside of the ball.
    region = ball_region(x, 2.0**-54, math.inf)
    assert bool(region.contains(x).all())
    assert not bool(region.contains(region.upper).any())
    # ±2⁻⁵⁴ vanishes in 1 ∓ 2⁻⁵⁴: the rounded distance is the radius for both, the exact one is not.
    near, far = (
        ball_region(torch.tensor([[c]], dtype=torch.float64), 1.0, math.inf) for c in (2.0**-54, -(2.0**-54))
    )
    for sign in (1, -1):
        end = torch.tensor([[sign * 1.0]], dtype=torch.float64)
        assert bool(near.contains(end).all()) == (sign > 0)
        assert bool(far.contains(end).all()) == (sign < 0)
    touching = ball_region(x, 0.25, math.inf)
    assert bool(touching.contains(x + 0.25).all())
    assert not bool(touching.contains(torch.nextafter(x + 0.25, x + 1)).any())
    for p in (1.0, 2.0, 3.0):
        region = ball_region(x, 0.25, p)
        on_axis = x + torch.tensor([[0.25 * (1 - 1e-10), 0, 0]], dtype=torch.float64)
        assert bool(region.contains(on_axis).all())
        assert not bool(region.contains(x + 0.25 * 3 ** (-1 / p) * (1 + 1e-9)).any())


def test_frozen_entries_do_not_move() -> None:
    region = example(2.0, "uneven", True)
    fixed = SHAPES["uneven"] < 0
    x = points.sample(region, torch.Generator().manual_seed(0))
    assert torch.equal(x[:, fixed], points.center(region)[:, fixed])
    assert torch.equal(region.lower[:, fixed], region.upper[:, fixed])
    moved = points.center(region).clone()
    moved[:, int(torch.nonzero(fixed)[0])] += 1e-12
    assert not bool(region.contains(moved).any())


@pytest.mark.parametrize("p", NORMS)
def test_zero_radius_is_a_point(p: float) -> None:
    region = example(p, "steps", True, eps=0.0)
    rows = rows_for(region, 10)
    exact = (rows * points.center(region).unsqueeze(1)).sum(dim=-1)
    torch.testing.assert_close(region.minimum(rows), exact, rtol=1e-12, atol=1e-12)
    assert bool((region.minimum(rows) <= exact).all())


@pytest.mark.parametrize("p", NORMS)
def test_radius_per_instance_and_selection(p: float) -> None:
    x = torch.rand(3, 12, generator=torch.Generator().manual_seed(0)).double()
    eps = torch.tensor([0.1, 0.0, 0.5], dtype=torch.float64)
    region = ball_region(x, eps, p, clip=(0, 1))
    rows = rows_for(region, 6)
    for i in range(3):
        alone = ball_region(x[i], float(eps[i]), p, clip=(0, 1))
        picked = region.select(torch.tensor([i]))
        torch.testing.assert_close(region.minimum(rows)[i : i + 1], alone.minimum(rows[i : i + 1]))
        torch.testing.assert_close(picked.minimum(rows[i : i + 1]), alone.minimum(rows[i : i + 1]))


@pytest.mark.parametrize("p", NORMS)
def test_lower_precision_only_enlarges(p: float) -> None:
    region = example(p, "steps", True)
    region = ball_region(region.lower + math.pi * 1e-4, 0.3, p)  # a center that float32 does not hold
    single = region.to("cpu", torch.float32)
    assert single.lower.dtype == torch.float32
    rows = rows_for(region, 20).float()
    assert bool((single.minimum(rows).double() <= region.minimum(rows.double())).all())
    torch.testing.assert_close(
        single.minimum(rows).double(), region.minimum(rows.double()), rtol=1e-4, atol=1e-4
    )
    back = single.to("cpu", torch.float64)
    corner = points.corner(region, torch.ones_like(region.lower))
    assert bool(back.contains(points.center(region) + (corner - points.center(region)) * (1 - 1e-13)).all())


def test_float32_witness_stays_in_odd_boxes() -> None:
    low = torch.tensor([[0.1, -0.3, 1 / 3, 0.7]], dtype=torch.float64)
    region = box_region(low, low + torch.tensor([1e-7, 0.6, 1.0, 0.0], dtype=torch.float64))
    for direction in (-torch.ones(1, 4), torch.ones(1, 4)):
        witness = points.representable(region, points.corner(region, direction.double()), [Value("x", (4,))])
        inside = (witness >= region.lower) & (witness <= region.upper)
        assert inside[:, :3].all()
        assert not bool(region.contains(witness).any())  # 0.7 is no float32 number


def test_broken_bounds_are_caught() -> None:
    """The checks above must notice a wrong multiplier sign, a forgotten clip side, or a lost group."""
    region = example(2.0, "steps", True)
    rows = rows_for(region, 20)
    ball = region.ball
    assert ball is not None
    whole = Region(
        region.lower,
        region.upper,
        replace(ball, radius=ball.radius[:, :1], groups=Groups.of(torch.zeros(12).long())),
    )
    assert bool((whole.minimum(rows) > reached(region, rows) + 1e-3).any())
    smaller = Region(region.lower, region.upper, replace(ball, radius=ball.radius * 0.999))
    assert bool((smaller.minimum(rows) > reached(region, rows) + 1e-9).any())


def test_dual_handles_extreme_scales() -> None:
    for p in (1.0, 1.0 + 2**-40, 1.01, 2.0, 50.0, 1e6):
        for scale in (1e-200, 1e-30, 1.0, 1e30, 1e150):
            a = torch.tensor([1.0, 0.5, 0.0, 1e-9, 0.25], dtype=torch.float64) * scale
            m = torch.tensor([0.1, 0.0, 1.0, 1.0, 1e-12], dtype=torch.float64)
            r = torch.tensor(0.3, dtype=torch.float64)
            t = maximiser(a, m, r, p)
            value = float(upper_value(a, m, r, p))
            assert math.isfinite(value)
            assert float(norm(t, p)) <= 0.3 * (1 + 1e-12)
            assert value >= float((a * t).sum()) * (1 - 1e-15)
            assert value <= float((a * t).sum()) * (1 + 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda x: ball_region(x, 0.1, 0.5), "0.5 is not a norm"),
        (lambda x: ball_region(x, -0.1, 2), "at least 0"),
        (lambda x: ball_region(x, math.inf, 2), "at least 0"),
        (lambda x: ball_region(x * math.nan, 0.1, 2), "NaN"),
        (lambda x: ball_region(x, 0.1, 2, clip=(0.5, 1)), "one value is 0.25"),
        (lambda x: ball_region(x, 0.1, 2, clip=(1, 0)), "must not exceed"),
        (lambda x: ball_region(x, 0.1, 2, group=torch.full((3,), -1)), "no input that may change"),
        (lambda x: ball_region(x, 0.1, 2, group=torch.zeros(2).long()), "groups are given for 2"),
        (lambda x: box_region(x, x - 1), "entry 0 lies above"),
        (lambda x: box_region(x, x + math.inf), "no finite lower or upper bound"),
        (lambda x: box_region(x, x[:, :2]), "lower bounds are"),
    ],
)
def test_bad_regions_are_refused(make, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        make(torch.full((1, 3), 0.25, dtype=torch.float64))


def test_coarse_products_on_a_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "high")
    check_products(torch.device("cpu"), torch.float32)
    check_products(torch.device("cuda"), torch.float64)
    with pytest.raises(BadInput, match="set_float32_matmul_precision"):
        check_products(torch.device("cuda"), torch.float32)
