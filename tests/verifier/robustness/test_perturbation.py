"""Which entries belong to which time step, and what a SPEC chooses of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsers.errors import BadInput
from parsers.ir import Graph
from tests.support.networks.handmade import Builder, lstm_cell, lstm_classifier
from verifier.robustness.perturbation import StepChoice, movable_groups, step_of_entries


def flat_input() -> Graph:
    """Eight numbers, read as four steps of two, next to a second input that is the initial state."""
    net = Builder("flat", {"h0": (1, 3), "x": (1, 8)})
    c0 = net.constant("c0", np.zeros((1, 3)))
    steps = net.node("reshape", "x", shape=(4, 1, 2))
    mixed = net.node("matmul", steps, net.constant("M", np.array([[1.0, 0.0], [0.5, 2.0]])))
    scan = net.scan(lstm_cell(2, 3, 0), ("h0", c0), (mixed,))
    return net.graph(scan.finals[0])


def test_steps_are_found_whatever_the_layout() -> None:
    lstm = lstm_classifier(3, 2, 4, 2)
    assert step_of_entries(lstm, "x").tolist() == [0, 0, 1, 1, 2, 2]
    square = lstm_classifier(3, 3, 4, 2, reverse=True)  # no axis could be told from the other by its size
    assert step_of_entries(square, "x").tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert step_of_entries(flat_input(), "x").tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_steps_that_cannot_be_told_apart() -> None:
    net = Builder("mixing", {"x": (4, 1, 2)})
    zero = net.constant("zero", np.zeros((1, 3)))
    average = net.constant("A", np.full((4, 4), 0.25))
    mixed = net.node(
        "reshape", net.node("matmul", average, net.node("reshape", "x", shape=(4, 2))), shape=(4, 1, 2)
    )
    graph = net.graph(net.scan(lstm_cell(2, 3, 0), (zero, zero), (mixed,)).finals[0])
    with pytest.raises(BadInput, match="reach several time steps at once"):
        step_of_entries(graph, "x")
    plain = Builder("plain", {"x": (1, 2)})
    with pytest.raises(BadInput, match="no recurrence reads input 'x'"):
        step_of_entries(plain.graph(plain.node("tanh", "x")), "x")


@pytest.mark.parametrize(
    ("choice", "groups"),
    [
        (None, [0, 0, 0, 0, 0, 0, 0, 0]),
        (StepChoice(per_step=True), [0, 0, 1, 1, 2, 2, 3, 3]),
        (StepChoice(((1, 2),)), [-1, -1, 0, 0, 0, 0, -1, -1]),
        (StepChoice(((0, 0), (-1, -1)), ((1, 1),)), [-1, 0, -1, -1, -1, -1, -1, 0]),
        (StepChoice(((1, 1), (3, 3)), ((0, 0),), per_step=True), [-1, -1, 1, -1, -1, -1, 3, -1]),
        (StepChoice(None, ((-1, -1),)), [-1, 0, -1, 0, -1, 0, -1, 0]),
    ],
)
def test_groups(choice: StepChoice | None, groups: list[int]) -> None:
    got = movable_groups(flat_input(), "x", choice)
    assert got.tolist() == [-1, -1, -1, *groups]  # the other input stays
    assert got.dtype == torch.int64


@pytest.mark.parametrize(
    ("steps", "features"),
    [((4, 4), None), ((-5, -5), None), ((2, 4), None), ((3, 1), None), (None, (2, 2)), ((0, 0), (-3, -3))],
)
def test_what_does_not_exist(steps: tuple[int, int] | None, features: tuple[int, int] | None) -> None:
    choice = StepChoice(steps and (steps,), features and (features,))
    with pytest.raises(BadInput, match="does not exist: there are only"):
        movable_groups(flat_input(), "x", choice)
