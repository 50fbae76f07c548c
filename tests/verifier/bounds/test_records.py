"""What is known of a region can be sent to another process and printed."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from parsers import read_onnx
from tests.support.networks.classifiers import CLASSES, FEATURES, STEPS, write_network
from verifier.bounds.inheritance import Subproblem
from verifier.bounds.options import BoundOptions
from verifier.bounds.region_bounds import bound_region
from verifier.network.keys import SiteKey
from verifier.network.program import compile_program
from verifier.network.rounding import RoundingModel
from verifier.problem.question import Objective
from verifier.problem.region import ball_region
from verifier.propagation.splits import Part

OPTIONS = {
    "intervals": BoundOptions(backward=False),
    "backward": BoundOptions(),
    "lookback": BoundOptions(lookback=2),
    "octagon": BoundOptions(octagon=True, multi_neuron=True),
}


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_bounds_survive_a_round_trip(options: BoundOptions, split: bool, tmp_path: Path) -> None:
    program = compile_program(read_onnx(write_network("lstm", tmp_path)))
    x = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    region = ball_region(x, 0.1, torch.inf)
    bounds = bound_region(program, region, RoundingModel(), options)
    if split:
        key, operand = next(iter(bounds.operands.items()))
        part = Part(operand.interval.lower, operand.interval.centre)
        bounds = bound_region(program, region, RoundingModel(), options, Subproblem({key: part}))
    rows = Objective(torch.eye(CLASSES).double().unsqueeze(0))
    again = pickle.loads(pickle.dumps(bounds))
    assert torch.equal(again.minimum(rows), bounds.minimum(rows))
    assert again.sites.keys() == bounds.sites.keys()
    assert again.splits.keys() == bounds.splits.keys()


def test_maps_too_large_for_a_table_survive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verifier.network.affine.TABULATE_UP_TO", 0)
    program = compile_program(read_onnx(write_network("gru", tmp_path)))
    x = torch.randn(1, STEPS * FEATURES, generator=torch.Generator().manual_seed(3))
    bounds = bound_region(program, ball_region(x, 0.1, torch.inf), RoundingModel())
    rows = Objective(torch.eye(CLASSES).double().unsqueeze(0))
    assert torch.equal(pickle.loads(pickle.dumps(bounds)).minimum(rows), bounds.minimum(rows))


def test_a_line_says_what_bounds_are(tmp_path: Path) -> None:
    program = compile_program(read_onnx(write_network("lstm", tmp_path)))
    x = torch.zeros(2, STEPS * FEATURES)
    bounds = bound_region(program, ball_region(x, 0.1, torch.inf), RoundingModel())
    assert len(repr(bounds)) < 240
    assert "2 instances" in repr(bounds)


def test_numbers_tell_sites_apart(tmp_path: Path) -> None:
    """Every step and every form of a program has a number of its own, in cells too."""
    program = compile_program(read_onnx(write_network("lstm_two_layers", tmp_path)))
    blocks = [program, *(step.body for step in program.steps if hasattr(step, "body"))]
    steps = [step.number for block in blocks for step in block.steps]
    assert len(set(steps)) == len(steps)
    forms = {form.number: form for block in blocks for stage in block.stages for form in stage.forms}
    assert len({*forms.values()}) == len(forms)
    assert program.steps[0].at(3) == SiteKey(program.steps[0].number, 3)
