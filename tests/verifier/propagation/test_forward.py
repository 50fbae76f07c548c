"""Linear bounds: each rule holds at points, passes that end in them against search; wrong ones are caught."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

import verifier.bounds.on_demand
import verifier.proof.prover
from parsers import read_onnx
from parsers.errors import UnsoundBound
from parsers.ir import Graph
from relaxations import GATES, Gate, planes
from tests.support.bound_search import smallest_found
from tests.support.bounding import repeated
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.bounds.rows import RowBounds
from verifier.network.affine import AffineForm
from verifier.network.evaluator import Evaluator
from verifier.network.linear_maps import Dense, Diagonal
from verifier.network.program import Block, compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.budget import Budget
from verifier.problem.method import Method
from verifier.problem.points import project
from verifier.problem.question import Objective
from verifier.problem.region import Region, ball_region, box_region
from verifier.problem.settings import Settings
from verifier.proof.prover import Prover
from verifier.propagation.forward import LinearBounds, LinearRules
from verifier.propagation.interval import Interval
from verifier.propagation.linear_functions import LinearFunctions
from verifier.propagation.lookback import StateLines

SIGNS = torch.cat([torch.eye(CLASSES), -torch.eye(CLASSES)]).double()
DTYPES = [torch.float64, torch.float32]
INPUTS, UNITS, POINTS = 6, 7, 300
CELLS = [n for n in NETWORKS if n != "attention"]


# --- the rules, one by one ---------------------------------------------------------------------------


def _random(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def _regions(dtype: torch.dtype) -> list[Region]:
    x = _random(2, INPUTS, seed=1)
    balls = [
        ball_region(x, eps, p) for eps, p in ((0.3, torch.inf), (0.5, 2.0), (0.7, 1.0), (0.0, torch.inf))
    ]
    boxes = box_region(torch.cat([x, x])[:2] - 0.1, x + torch.tensor([0.0] * 3 + [0.5] * 3))
    return [region.to("cpu", dtype) for region in (*balls, boxes)]


def _points(region: Region) -> Tensor:
    """Points of the region [B, POINTS, n] in float64, with corners among them."""
    many = repeated(region.to("cpu", torch.float64), POINTS)
    share = torch.rand(many.lower.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    share[::2] = share[::2].round()
    x = project(many, many.lower + share * (many.upper - many.lower))
    return x.unflatten(0, (len(region), POINTS))


def _sides(linear: LinearBounds, x: Tensor) -> tuple[Tensor, Tensor]:
    """Both functions at x [B, P, N], in float64: [B, P, n]."""
    slopes, offsets = linear.slopes.double(), linear.offsets.double()
    low, high = (
        x[..., linear.start : linear.stop] @ slopes[side].mT + offsets[side].unsqueeze(1) for side in (0, 1)
    )
    return low, high


def _between(linear: LinearBounds, x: Tensor, share: Tensor) -> Tensor:
    low, high = _sides(linear, x)
    assert bool((low <= high).all())
    return low + share * (high - low)


def _assert_around(linear: LinearBounds, x: Tensor, value: Tensor) -> None:
    low, high = _sides(linear, x)
    tolerance = 1e-13 * (1 + value.abs())  # of this comparison itself
    assert bool((low <= value + tolerance).all()), f"left below by {float((low - value).max()):.3g}"
    assert bool((value <= high + tolerance).all()), f"left above by {float((value - high).max()):.3g}"
    reach = torch.maximum(low.abs(), high.abs()).amax(1)
    assert bool((reach <= linear.reach * (1 + 1e-6)).all())


def _operand(rules: LinearRules, region: Region, start: int, width: int, seed: int) -> LinearBounds:
    """Random functions of inputs start … start + width, a little apart."""
    dtype = region.lower.dtype
    slopes = 0.3 * _random(len(region), UNITS, width, seed=seed, dtype=dtype)
    tilt = 0.1 * _random(len(region), UNITS, width, seed=seed + 1, dtype=dtype)
    offset = _random(len(region), UNITS, seed=seed + 2, dtype=dtype) + 1
    rows = torch.cat([slopes - tilt, -slopes - tilt], 1)
    farthest = torch.maximum(region.lower.abs(), region.upper.abs())[:, start : start + width]
    apart = (tilt.abs() @ farthest.unsqueeze(-1)).squeeze(-1) + 0.05
    constant = torch.cat([offset - apart, -offset - apart], -1)
    return rules.of_rows(LinearFunctions(rows, constant, start), torch.zeros_like(offset), 0, INPUTS)


def _interval(rules: LinearRules, linear: LinearBounds) -> Interval:
    low, high = rules.interval(linear)
    return Interval(low, high, torch.zeros_like(low))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("gate", GATES.values(), ids=lambda gate: gate.name)
def test_gates(gate: Gate, dtype: torch.dtype) -> None:
    parameters = {"exponent": 2.0, "low": -0.5, "high": 0.8, "limit": 2.0**31}
    given = {name: parameters.get(name, 0.4) for name in gate.parameters}
    for region in _regions(dtype):
        rules = LinearRules(region, RoundingModel(dtype, deployed=False))
        x = _points(region)
        operands = [
            _operand(rules, region, k, INPUTS - 2 * k, seed=10 * k) for k in range(gate.arity)
        ]  # over windows that differ
        boxes = [_interval(rules, operand) for operand in operands]
        if gate.inside is not None:  # to where the gate is defined
            move = [(0.1 - box.lower.amin()).clamp_min(0) for box in boxes]
            operands = [
                LinearBounds(v.slopes, v.offsets + by, v.start, v.reach + by)
                for v, by in zip(operands, move, strict=True)
            ]
            boxes = [_interval(rules, operand) for operand in operands]
        lower, upper = (torch.stack([getattr(box, side) for box in boxes]) for side in ("lower", "upper"))
        found = rules.through_gate(planes(gate, lower, upper, given), operands, 0.0)
        share = torch.rand(UNITS, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        for part in (0.0, 1.0, share):
            value = gate.function(*(_between(v, x, torch.as_tensor(part)) for v in operands), **given)
            _assert_around(found, x, value)


def test_a_rule_that_takes_the_wrong_side_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the slope is negative the lower bound comes from the operand's upper one."""
    monkeypatch.setattr(Tensor, "flip", lambda self, *_: self)
    with pytest.raises(AssertionError, match="left"):
        test_gates(GATES["sigmoid_tanh"], torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
def test_affine_forms(dtype: torch.dtype) -> None:
    table, entries = _random(UNITS, UNITS, seed=4, dtype=dtype), _random(UNITS, seed=5, dtype=dtype)
    maps = {"u": Dense(table, table.abs() + 0.1), "v": Diagonal(entries)}
    bias = _random(UNITS, seed=6, dtype=dtype)
    form = AffineForm(0, "p", UNITS, maps, bias, bias.abs(), UNITS + 2, True, False, {}, {})
    for region in _regions(dtype):
        rules = LinearRules(region, RoundingModel(dtype, deployed=False))
        x = _points(region)
        u, v = _operand(rules, region, 0, 4, 20), _operand(rules, region, 1, 5, 30)
        found = rules.through_form(form, {"u": u, "v": v}, torch.zeros_like(u.reach), 50)
        for part in (0.0, 1.0, 0.3):
            value = _between(u, x, torch.as_tensor(part)) @ table.double().T
            value = value + _between(v, x, torch.as_tensor(1 - part)) * entries.double() + bias.double()
            _assert_around(found, x, value)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dropped_inputs_intervals_and_states(dtype: torch.dtype) -> None:
    for region in _regions(dtype):
        rules = LinearRules(region, RoundingModel(dtype, deployed=False))
        x = _points(region)
        rows = _random(2, 2 * UNITS, INPUTS, seed=7, dtype=dtype)
        whole = rules.of_rows(
            LinearFunctions(rows, _random(2, 2 * UNITS, seed=8, dtype=dtype) - 9, 0),
            torch.zeros(2, UNITS, dtype=dtype),
            0,
            INPUTS,
        )
        low, high = _sides(whole, x)
        below = torch.cat([whole.slopes[0], -whole.slopes[1]], 1)
        constant = torch.cat([whole.offsets[0], -whole.offsets[1]], -1)
        for first, last in ((2, 6), (0, 3), (2, 4)):
            part = rules.of_rows(
                LinearFunctions(below, constant, 0), torch.zeros_like(whole.reach), first, last
            )
            assert (part.start, part.stop) == (first, last)
            _assert_around(part, x, low)
            _assert_around(part, x, high)
        interval = _interval(rules, whole)
        assert bool((interval.lower.double().unsqueeze(1) <= low).all())
        assert bool((high <= interval.upper.double().unsqueeze(1)).all())
        state = rules.state(whole, interval, 1e-6)
        A = _random(2, 5, UNITS, seed=9)
        function = A @ state.middle.double() - A.abs() @ state.radius.double()
        at = (x @ function[..., :-1].mT) + function[..., -1].unsqueeze(1)
        least = low @ A.clamp_min(0).mT + high @ A.clamp_max(0).mT
        assert bool((at <= least + 1e-12).all())
        near = rules.against(whole, interval)
        _assert_around(near, x, low)
        _assert_around(near, x, high)


# --- passes that end in linear bounds -----------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


def _region(eps: float | Tensor, p: float = torch.inf, count: int = 2) -> Region:
    x = np.random.default_rng(1).normal(size=(count, STEPS * FEATURES)).astype(np.float32)
    return ball_region(torch.as_tensor(x), eps, p)


def _lower(graph: Graph, region: Region, lookback: int, dtype: torch.dtype = torch.float64) -> Tensor:
    bounds = bound_region(
        compile_program(graph, dtype=dtype),
        region.to("cpu", dtype),
        RoundingModel(dtype, deployed=False),
        BoundOptions(lookback=lookback),
    )
    return bounds.minimum(Objective(SIGNS.to(dtype).expand(len(region), -1, -1)))


def _excess(graph: Graph, region: Region, lower: Tensor) -> float:
    """By how much a search gets below the bounds; negative where they hold."""
    found = smallest_found(graph, region, SIGNS.expand(len(region), -1, -1))
    return float((lower.double() - found).max())


@pytest.mark.parametrize("p", [torch.inf, 2.0])
@pytest.mark.parametrize("name", CELLS)
def test_short_passes_hold(name: str, p: float, folder: Path) -> None:
    graph = read_onnx(write_network(name, folder))
    region = _region(0.2, p)
    lower = torch.maximum(*(_lower(graph, region, lookback) for lookback in (1, 2)))
    assert _excess(graph, region, lower) <= 1e-12


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_reverse"])
@pytest.mark.parametrize(("scale", "eps"), [(400.0, 0.1), (1.0, 0.0), (1.0, 1e-9), (0.01, 0.5)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_saturated_degenerate_and_tiny_boxes(
    name: str, scale: float, eps: float, dtype: torch.dtype, folder: Path
) -> None:
    graph = read_onnx(write_network(name, folder, scale=scale))
    region = _region(eps)
    lower = _lower(graph, region, 2, dtype)
    assert bool(torch.isfinite(lower).all())
    assert _excess(graph, region, lower) <= (1e-12 if dtype == torch.float64 else 0.0)


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh"])
def test_deployed_bounds_contain_what_onnxruntime_computes(name: str, folder: Path) -> None:
    path = write_network(name, folder, scale=2.0)
    region = _region(0.0, count=20)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    feeds = [{"x": row.reshape(STEPS, 1, FEATURES).float().numpy()} for row in region.lower]
    outputs = np.concatenate([np.asarray(session.run(None, feed)[0]) for feed in feeds])
    found = torch.as_tensor(outputs, dtype=torch.float64) @ SIGNS.T
    bounds = bound_region(compile_program(read_onnx(path)), region, RoundingModel(), BoundOptions(lookback=2))
    lower = bounds.minimum(Objective(SIGNS.expand(20, -1, -1)))
    assert bool((lower <= found).all())
    assert float((found - lower).max()) < 0.05


@pytest.mark.parametrize("name", ["lstm", "gru", "lstm_two_layers"])
def test_linear_bounds_are_worth_it(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = read_onnx(write_network(name, folder))
    region = _region(0.05)
    lines = _lower(graph, region, 2)
    honest = RowBounds.end_in
    monkeypatch.setattr(
        RowBounds, "end_in", lambda self, scan, k, states, _: honest(self, scan, k, states, [])
    )
    boxes = _lower(graph, region, 2)
    assert bool((lines >= boxes - 1e-3 * (1 + boxes.abs())).all())
    assert bool((lines > boxes + 1e-3).any())


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn_tanh"])
def test_functions_drawn_in_are_caught(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The searches above must be able to fail: states within less than their linear bounds are found out."""
    honest = LinearRules.state

    def wrong(self: LinearRules, linear: LinearBounds, interval: Interval, relative: float) -> StateLines:
        lines = honest(self, linear, interval, relative)
        return StateLines(lines.middle, -3 * lines.radius, lines.start)

    monkeypatch.setattr(LinearRules, "state", wrong)
    graph = read_onnx(write_network(name, folder))

    def caught(eps: float) -> bool:
        region = _region(eps, count=4)
        try:
            return _excess(graph, region, _lower(graph, region, 1)) > 1e-9
        except UnsoundBound:  # interval and backward pass contradict each other
            return True

    assert any(caught(eps) for eps in (0.05, 0.2, 0.5))


# --- short passes before long ones --------------------------------------------------------------------


def test_short_passes_come_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What they decide gets no whole pass, and what they leave undecided gets the bounds of whole passes."""
    graph = read_onnx(write_network("lstm", folder))
    region = _region(torch.tensor([0.005, 0.05, 0.2, 0.4, 0.8]), count=5)
    labels = Evaluator(graph).flat(region.middle).argmax(-1).tolist()
    whole = Prover(graph).margins(region, labels, Budget(method=Method.crown))
    assert whole.method == "crown"
    monkeypatch.setattr(verifier.proof.prover, "MANY", STEPS - 1)
    monkeypatch.setattr(verifier.proof.prover, "FEW", 2)
    whole_passes: list[int] = []

    def counted(
        program: Block, region: Region, rounding: RoundingModel, options: BoundOptions, **rest: Any
    ) -> Bounds:
        whole_passes.extend([len(region)] * (options.backward and options.lookback is None))
        return bound_region(program, region, rounding, options, **rest)

    monkeypatch.setattr(verifier.bounds.on_demand, "bound_region", counted)
    short = Prover(graph).margins(region, labels, Budget(method=Method.truncated_crown))
    assert short.method == "truncated-crown"
    assert not whole_passes
    both = Prover(graph).margins(region, labels, Budget(method=Method.crown))
    assert both.method == "crown"
    decided = int((short.lower > 0).sum())
    assert 0 < decided < 5
    assert whole_passes == [5 - decided]
    assert (both.lower > 0).tolist() == (whole.lower > 0).tolist()
    unknown = whole.lower <= 0
    assert bool((both.lower[unknown] >= whole.lower[unknown] - 1e-9).all())
    assert [bool(text) for text in both.why] == unknown.tolist()


def test_branching_with_short_passes_holds(folder: Path) -> None:
    """Subproblems get no whole pass: their states' linear bounds come from the rules alone."""
    graph = read_onnx(write_network("lstm", folder))
    region = _region(torch.tensor([0.4, 0.6]))
    labels = Evaluator(graph).flat(region.middle).argmax(-1).tolist()
    found = Prover(graph, Settings(lookback=2, slope_steps=4)).margins(
        region, labels, Budget(time.monotonic() + 2)
    )
    assert found.method == "bab"
    rows = torch.eye(CLASSES).double()[labels].unsqueeze(1) - torch.eye(CLASSES).double()
    least = smallest_found(graph, region, rows)
    same = torch.arange(CLASSES) == torch.tensor(labels).unsqueeze(1)
    assert bool(((found.per_class <= least + 1e-12) | same).all())
