"""Bounds of composite operators contain what search finds, in boxes of every kind; a wrong one is caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import verifier.bounds.intermediate
from benchmarks.relaxations.compositions import COMPOSITIONS, Measured, measure, random_boxes, write
from parsers import read_onnx
from parsers.errors import UnsoundBound
from relaxations import Planes
from verifier.bounds.region_bounds import bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import Region, box_region

SIZES = [(name, n) for name, composition in COMPOSITIONS.items() for n in composition.sizes if n < 10]
KINDS = ["narrow", "wide", "points", "one entry moves", "ties", "far apart"]
TIGHT_ALONE = [name for name in COMPOSITIONS if "normalisation" not in name]


def boxes(name: str, n: int, kind: str, count: int = 6) -> Region:
    region = random_boxes(COMPOSITIONS[name], n, 8.0 if kind == "wide" else 0.2, count, seed=n)
    lower, upper = region.lower, region.upper
    if kind == "points":
        return box_region(lower, lower)
    if kind == "one entry moves":
        moves = torch.arange(n) == (torch.arange(count) % n)[:, None]
        return box_region(lower, torch.where(moves, lower + 2, lower))
    if kind == "ties":  # all entries in the same interval: maxima touch, a variance can vanish
        return box_region(
            torch.ones_like(lower), torch.ones_like(lower) + torch.logspace(-6, 0, count)[:, None]
        )
    if kind == "far apart":  # exponentials from 1e-60 to 1e60
        return box_region(50 * lower, 50 * lower + upper - lower)
    return region


def left_by(measured: Measured) -> float:
    """How far search gets out of what is proved, beyond the rounding of the search's own evaluation."""
    (lower, upper), (lowest, greatest) = measured.proved, measured.found
    tolerance = 1e-10 * (1 + torch.maximum(lowest.abs(), greatest.abs()))
    return float(torch.maximum(lower - lowest - tolerance, greatest - upper - tolerance).max())


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "inside"])
@pytest.mark.parametrize(("name", "n"), SIZES)
def test_bounds_contain_what_search_finds(name: str, n: int, inside: bool, tmp_path: Path) -> None:
    path = write(tmp_path / "composition.onnx", COMPOSITIONS[name], n, inside=inside)
    for kind in KINDS:
        measured = measure(path, boxes(name, n, kind), inside=inside)
        assert bool(torch.isfinite(torch.stack(measured.proved)).all()), kind
        assert left_by(measured) <= 0, f"{kind}: left by {left_by(measured):.3g}"


@pytest.mark.parametrize(("name", "n"), SIZES)
def test_a_point_gives_its_value(name: str, n: int, tmp_path: Path) -> None:
    path = write(tmp_path / "composition.onnx", COMPOSITIONS[name], n, inside=True)
    lower, upper = measure(path, boxes(name, n, "points"), inside=True).proved
    assert float(((upper - lower) / (1 + upper.abs())).max()) < 1e-9


@pytest.mark.parametrize("kind", ["narrow", "wide", "one entry moves"])
@pytest.mark.parametrize("name", TIGHT_ALONE)
def test_bounds_shrunk_by_a_thousandth_are_caught(name: str, kind: str, tmp_path: Path) -> None:
    """Over a box these are exact, and the search gets to the ends: nothing less would pass."""
    path = write(tmp_path / "composition.onnx", COMPOSITIONS[name], 4)
    honest = measure(path, boxes(name, 4, kind))
    lower, upper = honest.proved
    inward = 1e-3 * (upper - lower)
    assert left_by(honest) <= 0
    assert left_by(replace(honest, proved=(lower + inward, upper))) > 0
    assert left_by(replace(honest, proved=(lower, upper - inward))) > 0


@pytest.mark.parametrize("name", COMPOSITIONS)
def test_wrong_planes_are_caught(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Planes of the gates that a composition is made of, drawn in by some of their gap."""
    path = write(tmp_path / "composition.onnx", COMPOSITIONS[name], 4, inside=True)
    honest = verifier.bounds.intermediate.planes

    def wrong(*of: Any, **also: Any) -> Planes:
        planes = honest(*of, **also)
        _, lower, upper, *_ = of
        slope, offset = planes.upper_slope - planes.lower_slope, planes.upper_offset - planes.lower_offset
        inward = 0.45 * ((slope * (lower + upper) / 2).sum(0) + offset)
        return replace(
            planes, lower_offset=planes.lower_offset + inward, upper_offset=planes.upper_offset - inward
        )

    monkeypatch.setattr(verifier.bounds.intermediate, "planes", wrong)

    def caught(kind: str) -> bool:
        try:
            return left_by(measure(path, boxes(name, 4, kind), inside=True)) > 0
        except UnsoundBound:  # interval and backward pass contradict each other
            return True

    assert any(caught(kind) for kind in KINDS)


@pytest.mark.parametrize("name", ["layer normalisation", "RMS normalisation"])
def test_normalised_values_stay_bounded_as_the_file_computes_them(name: str, tmp_path: Path) -> None:
    """Boxes around points where the deviation vanishes, up to widths at which the rounding of a variance
    exceeds ε: finite bounds, that contain what onnxruntime computes at corners and inside."""
    n, count, points = 5, 7, 200
    path = write(tmp_path / "composition.onnx", COMPOSITIONS[name], n)
    half = torch.logspace(-4, 2, count, dtype=torch.float64)[:, None].expand(-1, n)
    region = box_region(-half, half)
    rows = torch.cat([torch.eye(n), -torch.eye(n)]).double()[None].expand(count, -1, -1)
    bounds = bound_region(compile_program(read_onnx(path)), region, RoundingModel()).minimum(Objective(rows))
    lower, upper = bounds[:, :n], -bounds[:, n:]
    assert float(torch.maximum(-lower, upper).max()) < 1.05 * n**0.5
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    share = np.concatenate([random.integers(0, 2, (points, n)), random.random((points, n))]) * 2 - 1
    for box in range(count):
        for x in (share * half[box].numpy()).astype(np.float32):
            found = torch.as_tensor(np.asarray(session.run(None, {"x": x[None]})[0]))[0]
            assert bool((lower[box] <= found).all() and (found <= upper[box]).all())


def test_denominators_that_may_vanish_have_no_bound(tmp_path: Path) -> None:
    path = write(tmp_path / "composition.onnx", COMPOSITIONS["division"], 2)
    lower = torch.tensor([[1.0, -1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    rows = torch.tensor([[[1.0], [-1.0]]], dtype=torch.float64).expand(3, -1, -1)
    bounds = bound_region(
        compile_program(read_onnx(path)), box_region(lower, lower + 1), RoundingModel(deployed=False)
    ).minimum(Objective(rows))
    assert bool((bounds[:2] == -torch.inf).all())
    torch.testing.assert_close(bounds[2], torch.tensor([0.5, -2.0]).double())
