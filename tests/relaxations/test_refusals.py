"""Boxes and names that are refused, each with one clear line."""

from __future__ import annotations

import pytest
import torch

from relaxations import image, offsets, planes
from relaxations.errors import InvalidBox, OutsideDomain, UnknownGate


def box(low: float, high: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.tensor([[low]]).double(), torch.tensor([[high]]).double()


@pytest.mark.parametrize(
    ("low", "high"),
    [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("nan")), (0.0, float("inf")), (-float("inf"), 0.0)],
)
def test_invalid_boxes(low: float, high: float) -> None:
    lower, upper = box(low, high)
    with pytest.raises(InvalidBox, match="finite lower ≤ upper"):
        planes("tanh", lower, upper)
    with pytest.raises(InvalidBox, match="finite lower ≤ upper"):
        image("tanh", lower, upper)
    with pytest.raises(InvalidBox, match="finite lower ≤ upper"):
        offsets("tanh", lower, lower, lower, upper)


def test_shapes_that_do_not_fit() -> None:
    lower, upper = box(0.0, 1.0)
    with pytest.raises(InvalidBox, match="has 2 operands"):
        planes("product", lower, upper)


@pytest.mark.parametrize(
    ("gate", "parameters", "low", "high"),
    [
        ("log", {}, 0.0, 1.0),
        ("sqrt", {}, -1.0, 1.0),
        ("reciprocal", {}, -1.0, 1.0),
        ("reciprocal", {}, 0.0, 1.0),
        ("pow", {"exponent": 0.5}, -1.0, 1.0),
        ("pow", {"exponent": -3.0}, -1.0, 1.0),
    ],
)
def test_outside_the_domain(gate: str, parameters: dict[str, float], low: float, high: float) -> None:
    lower, upper = box(low, high)
    with pytest.raises(OutsideDomain, match="not defined"):
        planes(gate, lower, upper, parameters)
    least, greatest = image(gate, lower, upper, parameters)
    assert least.isneginf().all()
    assert greatest.isposinf().all()


def test_unknown_gates_and_parameters() -> None:
    lower, upper = box(0.0, 1.0)
    with pytest.raises(UnknownGate, match="no gate is named 'swirl'"):
        planes("swirl", lower, upper)
    with pytest.raises(UnknownGate, match="takes parameters"):
        planes("elu", lower, upper)
    with pytest.raises(UnknownGate, match="takes alpha > 0"):
        planes("celu", lower, upper, {"alpha": 0.0})
