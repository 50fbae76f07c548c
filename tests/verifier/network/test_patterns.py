"""What a gate's function may be made of, to be found in a graph."""

from __future__ import annotations

import pytest
import torch

from verifier.network.patterns import NumberInside, Symbol, patterns

X = Symbol("operand", operand=0)


def test_a_gate_with_a_number_inside_is_no_pattern() -> None:
    assert "sigmoid_tanh" in dict(patterns())
    assert "gelu" not in dict(patterns())
    for function in (lambda x: 0.5 * x, lambda x: x * 0.5, lambda x: 1 - x, lambda x: x / 2):
        with pytest.raises(NumberInside):
            function(X)


def test_a_function_that_is_no_primitive_is_not_passed_over() -> None:
    with pytest.raises(TypeError, match="clamp: it is not a primitive"):
        torch.clamp(X, 0.0, 1.0)  # type: ignore[call-overload]
