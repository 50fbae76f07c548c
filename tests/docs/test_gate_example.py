"""The worked example of CONTRIBUTING.md is a gate like any other."""

from __future__ import annotations

import re

import torch

from relaxations import GATES, planes
from tests.support.paths import ROOT
from tests.support.plane_checks import boxes, worst_violation

GUIDE = ROOT / "CONTRIBUTING.md"


def test_the_example_makes_a_sound_gate() -> None:
    code = next(
        block for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.S) if "register(" in block
    )
    before = set(GATES)
    try:
        exec(compile(code, str(GUIDE), "exec"), {})
        (name,) = set(GATES) - before
        gate = GATES[name]
    finally:
        for new in set(GATES) - before:
            del GATES[new]
    lower, upper = boxes(gate, {})
    found = planes(gate, lower, upper)
    assert worst_violation(gate, found, lower, upper, {}) <= 0
    tight = planes(gate, torch.tensor([[-1.0]]).double(), torch.tensor([[1.0]]).double())
    assert float(tight.upper_offset - tight.lower_offset) < 0.2
