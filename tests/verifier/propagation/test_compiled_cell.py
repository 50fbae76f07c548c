"""Backward passes through compiled cells against the same passes in torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from parsers import read_onnx
from tests.support.bounding import optimise_slopes
from tests.support.networks.classifiers import CLASSES, FEATURES, NETWORKS, STEPS, write_network
from tests.support.plane_checks import built
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import Bounds, bound_region
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region
from verifier.propagation import backward
from verifier.propagation import compiled_cell as module

pytestmark = built
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-3}  # ties between planes may be broken otherwise


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Its length counts the calls of the library."""
    made: list[int] = []

    class Counted:
        bound = staticmethod(module.CELL.bound)

        def __call__(self, *given: Any) -> bool:
            made.append(1)
            return compiled(*given)

    compiled = module.CELL
    monkeypatch.setattr(module, "CELL", Counted())
    return made


def _bounds(path: Path, dtype: torch.dtype, batch: int, lookback: int | None) -> tuple[Bounds, Objective]:
    program = compile_program(read_onnx(path), dtype=dtype)
    data = np.random.default_rng(1).normal(size=(batch, STEPS * FEATURES)).astype(np.float32)
    region = ball_region(torch.as_tensor(data), 0.05, torch.inf).to("cpu", dtype)
    rows = torch.cat([torch.eye(CLASSES, dtype=dtype), -torch.eye(CLASSES, dtype=dtype)])
    bounds = bound_region(
        program, region, RoundingModel(dtype, deployed=False), BoundOptions(lookback=lookback)
    )
    return bounds, Objective(rows.expand(batch, -1, -1))


@pytest.mark.parametrize(
    ("dtype", "batch", "lookback"), [(torch.float64, 1, None), (torch.float64, 2, 2), (torch.float32, 1, 3)]
)
@pytest.mark.parametrize("name", NETWORKS)
def test_bounds_are_those_of_the_plain_backward_pass(
    name: str,
    dtype: torch.dtype,
    batch: int,
    lookback: int | None,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = write_network(name, folder)
    found_by, objective = _bounds(path, dtype, batch, lookback)
    found = found_by.minimum(objective)
    close = {"rtol": 0.0, "atol": TOLERANCE[dtype]}
    monkeypatch.setattr(backward, "compiled_cell", lambda *_: None)
    plain, _ = _bounds(path, dtype, batch, lookback)
    torch.testing.assert_close(found, plain.minimum(objective), **close)
    for site, other in zip(found_by.sites.values(), plain.sites.values(), strict=True):
        torch.testing.assert_close(site.lower, other.lower, **close)
        torch.testing.assert_close(site.upper, other.upper, **close)


@pytest.mark.parametrize(
    ("name", "compiles"), [("lstm", True), ("rnn_tanh", True), ("gru_reset_after", True), ("gru", False)]
)
def test_cells_that_are_compiled(name: str, compiles: bool, folder: Path, calls: list[int]) -> None:
    """A GRU that resets before its product needs a product in the middle: torch does that."""
    bounds, objective = _bounds(write_network(name, folder), torch.float64, 2, None)
    bounds.minimum(objective)
    assert bool(calls) == compiles


def test_gradients_go_through_torch(folder: Path, calls: list[int]) -> None:
    bounds, objective = _bounds(write_network("lstm", folder), torch.float64, 2, None)
    known = bounds.minimum(objective)
    calls.clear()
    better = optimise_slopes(bounds, objective, steps=3, target=torch.inf)
    assert bool((better > known).any())
    before = len(calls)  # of passes without gradients
    optimise_slopes(bounds, objective, steps=6, target=torch.inf)
    assert len(calls) == 2 * before


@pytest.mark.parametrize("name", ["lstm", "gru_reset_after"])
def test_blocks_and_threads_change_no_bound(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows in blocks of any size, and all at once where there are several threads: the compiled cell gives
    the same numbers, the product may add up in another order."""
    path = write_network(name, folder)
    whole, objective = _bounds(path, torch.float64, 3, None)
    expected = whole.minimum(objective)
    for block in (1, 700, 3000):  # bytes: rows one by one, and blocks that do not divide their number
        monkeypatch.setattr(module, "BLOCK", block)
        blocks, _ = _bounds(path, torch.float64, 3, None)
        torch.testing.assert_close(blocks.minimum(objective), expected, rtol=0.0, atol=1e-12)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    threads, _ = _bounds(path, torch.float64, 3, None)
    torch.testing.assert_close(threads.minimum(objective), expected, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize("width", [0, 5, 64, 128])
def test_rows_of_a_workspace(width: int) -> None:
    """What was taken two turns ago comes back, and only that; equal names of one turn share no memory with
    those of the other."""
    space, like = module.Workspace(), torch.zeros(1)
    held = []
    for k in range(3):
        space.turn()
        rows = space.lasting("rows", 7, width, like)
        assert rows.shape == (7, width)
        assert rows.stride(1) == 1
        assert width % 64 or not width or rows.stride(0) % 64
        rows.fill_(float(k))
        held.append(rows)
    torch.testing.assert_close(held[0], held[2])
    assert width == 0 or bool((held[1] == 1).all())
    assert space.released(held[2]).data_ptr() != held[2].data_ptr() or width == 0
    larger = space.lasting("rows", 70, width + 1, like)
    assert larger.shape == (70, width + 1)


def test_a_small_error_in_the_compiled_cell_would_be_seen(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above must be able to fail."""
    path = write_network("lstm", folder)
    honest, objective = _bounds(path, torch.float64, 1, None)
    rows = module._rows
    monkeypatch.setattr(module, "_rows", lambda gate: rows(gate) * (1 - 1e-9))
    wrong, _ = _bounds(path, torch.float64, 1, None)
    difference = (honest.minimum(objective) - wrong.minimum(objective)).abs()
    assert float(difference.max()) > TOLERANCE[torch.float64]
