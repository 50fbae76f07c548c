"""Which entries belong to which time step, and what a SPEC chooses of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from parsers.errors import BadInput
from parsers.ir import Graph
from tests.support.networks.handmade import Builder, lstm_cell, lstm_classifier
from verifier.robustness.perturbation import StepChoice, movable_groups, parse_choice, step_of_entries


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
    ("spec", "choice"),
    [
        ("0-4,-1", StepChoice(((0, 4), (-1, -1)))),
        ("each", StepChoice(per_step=True)),
        ("each, 3-5 : 0", StepChoice(((3, 5),), ((0, 0),), True)),
        (":0,1", StepChoice(None, ((0, 0), (1, 1)))),
        ("-3--1", StepChoice(((-3, -1),))),
    ],
)
def test_parsing(spec: str, choice: StepChoice) -> None:
    assert parse_choice(spec) == choice


@pytest.mark.parametrize("spec", ["", ":", "a", "1-", "0:", "0:x", "0,,1", "1.5", "0-1-2", "0,each", "each:"])
def test_malformed_specs(spec: str) -> None:
    with pytest.raises(BadInput, match="steps='"):
        parse_choice(spec)


@pytest.mark.parametrize(
    ("spec", "groups"),
    [
        (None, [0, 0, 0, 0, 0, 0, 0, 0]),
        ("each", [0, 0, 1, 1, 2, 2, 3, 3]),
        ("1-2", [-1, -1, 0, 0, 0, 0, -1, -1]),
        ("0,-1:1", [-1, 0, -1, -1, -1, -1, -1, 0]),
        ("each,1,3:0", [-1, -1, 1, -1, -1, -1, 3, -1]),
        (":-1", [-1, 0, -1, 0, -1, 0, -1, 0]),
    ],
)
def test_groups(spec: str | None, groups: list[int]) -> None:
    got = movable_groups(flat_input(), "x", None if spec is None else parse_choice(spec))
    assert got.tolist() == [-1, -1, -1, *groups]  # the other input stays
    assert got.dtype == torch.int64


@pytest.mark.parametrize("spec", ["4", "-5", "2-4", "3-1", ":2", "0:-3"])
def test_what_does_not_exist(spec: str) -> None:
    with pytest.raises(BadInput, match="does not exist: there are only"):
        movable_groups(flat_input(), "x", parse_choice(spec))
