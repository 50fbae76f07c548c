"""Run the body of a Loop or Scan symbolically, once per iteration, and tell what each carried value is.

A carried value is *known* while every iteration turns it into something known: a number (a counter), or a
value of the graph around the loop handed on unchanged (weights and whole sequences that frameworks carry
through Identity). Everything else is a *state*. All carried values start as known; one that turns out
otherwise is demoted and the run starts again, so the answer is the largest consistent set of known values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import onnx

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Any, Const, Poison, Sym
from parsers.onnx.building.values import Sequence as Items
from parsers.onnx.lift.step import Step
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.interpret import interpret
from parsers.onnx.reading.scope import Scope

MOST_STEPS = 10_000


@dataclass(frozen=True, slots=True)
class Iteration:
    """A loop to be read.

    `feed(t, carried)` gives the body's inputs; `results(outputs)` splits its outputs into
    (condition or None, next carried values, emitted values). `count` is the number of iterations where known.
    """

    op: Call
    body: onnx.GraphProto
    initial: list[Any]
    feed: Callable[[int, Sequence[Any]], dict[str, Any]]
    results: Callable[[list[Any]], tuple[Any | None, list[Any], list[Any]]]
    count: int | None
    condition: bool


class CannotStep(Exception):
    """The loop runs, but a state changes its shape or is a growing sequence: only unrolling reads it."""


def run(loop: Iteration) -> tuple[list[Step], list[Any], set[int]]:
    """All iterations; the known carried values after the last; which carried values are states."""
    states: set[int] = set()
    while True:
        demoted, steps, known = _attempt(loop, states)
        if not demoted:
            return steps, known, states
        states |= demoted


def _attempt(loop: Iteration, states: set[int]) -> tuple[set[int], list[Step], list[Any]]:
    steps: list[Step] = []
    known = list(loop.initial)
    go = loop.condition
    while go and (loop.count is None or len(steps) < loop.count):
        if len(steps) >= MOST_STEPS:
            raise Unsupported(f"the loop runs more than {MOST_STEPS} times", "bind a shorter sequence")
        body = Builder(loop.op.b)
        before = {}
        for k in sorted(states):
            value = loop.initial[k]
            if not isinstance(value, Const | Sym):
                raise CannotStep
            before[k] = body.input(f"state{k}", value.shape, value.dtype)
        carried = [before.get(k, v) for k, v in enumerate(known)]
        condition, following, emitted = read_body(loop, body, len(steps), carried)
        demoted = {k for k, v in enumerate(following) if k not in states and not _is_known(v, body)}
        if demoted:
            return demoted, [], []
        after = {}
        for k in sorted(states):
            value = following[k]
            if not isinstance(value, Const | Sym) or value.shape != before[k].shape:
                raise CannotStep
            after[k] = value
        if any(not isinstance(v, Const | Sym) for v in emitted):
            raise CannotStep
        steps.append(Step(body, before, after, [v for v in emitted if isinstance(v, Const | Sym)]))
        known = [known[k] if k in states else v for k, v in enumerate(following)]
        go = True if condition is None else truth(condition)
    return set(), steps, known


def read_body(
    loop: Iteration, builder: Builder, t: int, carried: Sequence[Any]
) -> tuple[Any | None, list[Any], list[Any]]:
    """One pass over the body's nodes, written into `builder`."""
    scope = Scope(loop.op.scope.reading, builder, loop.op.scope)
    scope.values.update(loop.feed(t, carried))
    before = len(scope.reading.problems)
    outputs = interpret(loop.body, scope)
    if any(isinstance(v, Poison) for v in outputs) or len(scope.reading.problems) > before:
        raise Unsupported("its body cannot be read (see there)", "")
    return loop.results(outputs)


def truth(condition: Any) -> bool:
    if not isinstance(condition, Const):
        raise Unsupported(
            "whether the loop goes on depends on the network's inputs", "export with a fixed number of steps"
        )
    return bool(condition.array.reshape(-1)[0])


def _is_known(value: Any, body: Builder) -> bool:
    if isinstance(value, Items):
        return all(_is_known(v, body) for v in value.items)
    return isinstance(value, Const) or (isinstance(value, Sym) and value.owner is not body)
