"""What a primitive's row says of it is true of its function."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import numpy as np
import pytest

from parsers.primitives import PRIMITIVES, Primitive, apply

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(2, 3)), RNG.normal(size=(2, 3))
MOVES: Mapping[str, Mapping[str, Any]] = {
    "reshape": {"shape": (3, 2)},
    "transpose": {"perm": (1, 0)},
    "slice": {"axis": 1, "start": 0, "stop": 3, "step": 2},
    "take": {"indices": np.array([2, 0, 0]), "axis": 1},
    "concat": {"axis": 0},
    "expand": {"shape": (4, 2, 3)},
    "pad": {"pads": ((1, 0), (0, 2))},
}


def those_with(name: str) -> list[Primitive]:
    return [row for row in PRIMITIVES.values() if getattr(row, name) not in (False, None)]


def arity(row: Primitive) -> int:
    if isinstance(row.function, np.ufunc):
        return row.function.nin
    return len(signature(row.function).parameters) - len(row.attributes)


def test_the_examples_are_the_moves() -> None:
    assert set(MOVES) == {row.name for row in those_with("moves")}


@pytest.mark.parametrize("op", MOVES)
def test_moves_make_no_numbers(op: str) -> None:
    assert set(apply(op, [X], MOVES[op]).reshape(-1)) <= {*X.reshape(-1), 0.0}


@pytest.mark.parametrize("row", those_with("commutative"), ids=lambda row: row.name)
def test_operands_may_change_places(row: Primitive) -> None:
    np.testing.assert_array_equal(apply(row.name, [X, Y], {}), apply(row.name, [Y, X], {}))


@pytest.mark.parametrize("row", those_with("neutral"), ids=lambda row: row.name)
def test_the_neutral_number_changes_nothing(row: Primitive) -> None:
    np.testing.assert_array_equal(apply(row.name, [X, np.full_like(X, row.neutral)], {}), X)


@pytest.mark.parametrize("row", those_with("keeps_order"), ids=lambda row: row.name)
def test_a_larger_entry_stays_the_larger_one(row: Primitive) -> None:
    np.testing.assert_array_equal(np.argsort(apply(row.name, [X], {"axis": 1}), 1), np.argsort(X, 1))


@pytest.mark.parametrize("row", those_with("elementwise"), ids=lambda row: row.name)
def test_an_entry_depends_on_those_in_its_place(row: Primitive) -> None:
    attributes = dict.fromkeys(row.attributes, 1.0)
    inputs = [X, Y][: arity(row)]
    whole = apply(row.name, inputs, attributes)
    part = apply(row.name, [x[1:, :2] for x in inputs], attributes)
    np.testing.assert_array_equal(whole[1:, :2], part)
