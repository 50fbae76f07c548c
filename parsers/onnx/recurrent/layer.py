"""What LSTM, GRU and RNN have in common: directions, layouts, sequence lengths, initial states.

A layer runs its cell once per direction and, where batch elements have different known lengths, once per
length; each run is one `Scan`. Shapes follow the standard: X (T, B, I), W (D, gates·H, I),
R (D, gates·H, H), B (D, 2·gates·H), states (D, B, H), Y (T, D, B, H) for D directions, T time steps, B batch
elements, I inputs and H hidden units; `layout=1` puts the batch first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from parsers.onnx.building.builder import Builder
from parsers.onnx.building.values import Sym, Val, constant
from parsers.onnx.lift.close import Body, close
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.recurrent.activations import Function, activations


@dataclass(frozen=True, slots=True)
class Weights:
    """One direction: Wᵀ (I, gates·H), Rᵀ (H, gates·H), Wb and Rb (gates·H), P (3·H), functions f, g, h."""

    W: Val
    R: Val
    Wb: Val | None
    Rb: Val | None
    P: Val | None
    functions: list[Function]
    H: int
    clip: float | None
    flag: bool

    def clipped(self, b: Builder, x: Val) -> Val:
        """The input of an activation, limited to ±clip."""
        return x if self.clip is None else b.emit("clip", x, low=-self.clip, high=self.clip)

    def bias(self, b: Builder, x: Val, start: int = 0, stop: int | None = None) -> Val:
        """x + Wb + Rb, for the columns start…stop."""
        if self.Wb is None or self.Rb is None:
            return x
        total = b.add(self.Wb, self.Rb)
        return b.add(x, b.slice(total, 0, start, total.shape[0] if stop is None else stop))

    def gate(self, b: Builder, stacked: Val, k: int) -> Val:
        """Columns of gate `k` of a stacked pre-activation (…, gates·H)."""
        return b.slice(stacked, len(stacked.shape) - 1, k * self.H, (k + 1) * self.H)


# cell(b, Xt, states, weights) → next states, the first of them being Ht
Cell = Callable[[Builder, Val, Sequence[Val], Weights], Sequence[Val]]


def layer(
    op: Call, cell: Cell, gates: int, states: Sequence[str], default: list[str], flag: str
) -> tuple[Val, ...]:
    """Read one LSTM, GRU or RNN node: `(Y, Y_h)` and, for a cell with two states, `Y_c`.

    `states` are the letters of the cell's states, `default` its activations, `flag` the boolean attribute
    that changes its equations ("" where there is none).
    """
    b = op.b
    batch_first = bool(op.get_attr("layout", 0))
    if len(op[0].shape) != 3 or len(op[2].shape) != 3:
        raise Unsupported(f"X is {op[0].shape} and R is {op[2].shape}, both want three axes", "export again")
    X = b.transpose(op[0], (1, 0, 2)) if batch_first else op[0]
    T, B, I = X.shape
    directions = _directions(op)
    D, H = len(directions), op[2].shape[2]
    stacked = _stacked(op, (D, gates, H, I), with_peepholes=len(states) == 2)
    functions = activations(op, default, D)
    clip = _clip(op)
    initial = [_initial(op, op.get(5 + k), (D, B, H), batch_first) for k in range(len(states))]
    lengths = op.get(4)

    Ys: list[Val] = []
    finals: list[list[Val]] = []
    for d, reverse in enumerate(directions):
        W, R, Wb, Rb, P = stacked.of_direction(b, d)
        weights = Weights(W, R, Wb, Rb, P, functions[d], H, clip, bool(flag and op.get_attr(flag, 0)))
        run = _Run(op, cell, weights, tuple(states), reverse)
        Y, last = run.by_length(X, lengths, [b.take(s, d, 0) for s in initial])
        Ys.append(b.reshape(Y, (T, 1, B, H)))
        finals.append([b.reshape(s, (1, B, H)) for s in last])
    results = [b.concat(Ys, 1), *(b.concat([f[k] for f in finals], 0) for k in range(len(states)))]
    if batch_first:
        results = [b.transpose(results[0], (2, 0, 1, 3)), *(b.transpose(s, (1, 0, 2)) for s in results[1:])]
    return tuple(results)


def _directions(op: Call) -> tuple[bool, ...]:
    """Of each direction, whether it runs from the last time step to the first."""
    names = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
    direction = op.get_attr("direction", "forward").lower()
    if direction not in names:
        raise Unsupported(f"direction '{direction}'", "use forward, reverse or bidirectional")
    return names[direction]


@dataclass(frozen=True, slots=True)
class _Stacked:
    """The weights of all directions: W (D, gates·H, I), R (D, gates·H, H), B (D, 2·gates·H), P (D, 3·H)."""

    W: Val
    R: Val
    B: Val | None
    P: Val | None

    def of_direction(self, b: Builder, d: int) -> tuple[Val, Val, Val | None, Val | None, Val | None]:
        """Wᵀ, Rᵀ, Wb, Rb and P of direction `d`."""
        W, R = b.transpose(b.take(self.W, d, 0), (1, 0)), b.transpose(b.take(self.R, d, 0), (1, 0))
        size = self.W.shape[1]
        Wb = None if self.B is None else b.slice(b.take(self.B, d, 0), 0, 0, size)
        Rb = None if self.B is None else b.slice(b.take(self.B, d, 0), 0, size, 2 * size)
        return W, R, Wb, Rb, None if self.P is None else b.take(self.P, d, 0)


def _stacked(op: Call, sizes: tuple[int, int, int, int], with_peepholes: bool) -> _Stacked:
    """The weights of a node, of shapes that fit `sizes` (D, gates, H, I)."""
    D, gates, H, I = sizes
    if op.get_attr("hidden_size", H) != H:
        raise Unsupported(
            f"hidden_size {op.get_attr('hidden_size', H)} but R has {H} columns", "export again"
        )
    _expect(op[1], (D, gates * H, I), "W")
    _expect(op[2], (D, gates * H, H), "R")
    bias, peephole = op.get(3), op.get(7) if with_peepholes else None
    if bias is not None:
        _expect(bias, (D, 2 * gates * H), "B")
    if peephole is not None:
        _expect(peephole, (D, 3 * H), "P")
    return _Stacked(op[1], op[2], bias, peephole)


def _clip(op: Call) -> float | None:
    clip = float(op.get_attr("clip", 0.0)) if op.has("clip") else None
    if clip is not None and clip <= 0:
        raise Unsupported(f"clip {clip} is not positive", "leave the attribute out")
    return clip


def _expect(value: Val, shape: tuple[int, ...], name: str) -> None:
    if value.shape != shape:
        raise Unsupported(
            f"{name} is {value.shape}, wanted {shape}", "the exporter wrote inconsistent weights"
        )


def _initial(op: Call, given: Val | None, shape: tuple[int, int, int], batch_first: bool) -> Val:
    if given is None:
        return constant(np.zeros(shape), op[0].dtype)
    given = op.b.transpose(given, (1, 0, 2)) if batch_first else given
    _expect(given, shape, "an initial state (of this hidden size and batch)")
    return given


@dataclass(frozen=True, slots=True)
class _Run:
    """One direction of a layer."""

    op: Call
    cell: Cell
    weights: Weights
    letters: tuple[str, ...]
    reverse: bool

    def by_length(self, X: Val, lengths: Val | None, initial: list[Val]) -> tuple[Val, list[Val]]:
        """Y (T, B, H) and the last states (B, H); only the valid prefix runs, and Y is zero after it."""
        b, (T, B, _) = self.op.b, X.shape
        if lengths is None:
            return self.scan(X, initial, None)
        if isinstance(lengths, Sym):
            # mask[t, b] = t < length[b]
            time = constant(np.arange(T).reshape(T, 1, 1), lengths.dtype)
            mask = b.emit("less", time, b.reshape(lengths, (1, B, 1)), dtype="bool")
            return self.scan(X, initial, mask)
        known = lengths.array.reshape(-1)
        if known.shape != (B,) or np.any(known < 1) or np.any(known > T):
            raise Unsupported(
                f"sequence_lens {known.tolist()} for {B} sequences of {T} time steps", "give 1 … T for each"
            )
        Ys: list[Val] = []
        lasts: list[list[Val]] = []
        order: list[int] = []
        for length in np.unique(known):
            lanes = np.flatnonzero(known == length)
            order.extend(int(k) for k in lanes)
            part = (
                b.slice(b.take(X, lanes, 1), 0, 0, int(length))
                if len(lanes) < B
                else b.slice(X, 0, 0, int(length))
            )
            starts = [b.take(s, lanes, 0) if len(lanes) < B else s for s in initial]
            Y, last = self.scan(part, starts, None)
            Ys.append(b.pad(Y, ((0, T - int(length)), (0, 0), (0, 0))))
            lasts.append(last)
        back = np.argsort(order)
        join = [b.concat([last[k] for last in lasts], 0) for k in range(len(initial))]
        if len(Ys) == 1:
            return Ys[0], lasts[0]
        return b.take(b.concat(Ys, 1), back, 1), [b.take(s, back, 0) for s in join]

    def scan(self, X: Val, initial: list[Val], mask: Val | None) -> tuple[Val, list[Val]]:
        b, (T, B, I), H = self.op.b, X.shape, self.weights.H
        body = Builder(b)
        body.origin = b.origin
        before = [body.input(f"{s}t_1", (B, H), X.dtype) for s in self.letters]
        Xt = body.input("Xt", (B, I), X.dtype)
        inputs, sequences = [Xt], [X]
        after = list(self.cell(body, Xt, before, self.weights))
        Yt = after[0]
        if mask is not None:
            valid = body.input("valid", mask.shape[1:], "bool")
            inputs, sequences = [Xt, valid], [X, mask]
            Yt = body.emit("where", valid, Yt, body.number(0.0, Yt))
            after = [body.emit("where", valid, new, old) for new, old in zip(after, before, strict=True)]
        for letter, value in zip(self.letters, after, strict=True):
            body.label(value, f"{letter}t")
        whole = Body(self.op.node.op_type, body, before, after, inputs, [Yt])
        finals, stacked = close(b, whole, initial, sequences, T, self.reverse)
        return stacked[0], finals


def labelled(b: Builder, value: Val, name: str) -> Val:
    """Name a value by its letter in the equations."""
    b.label(value, name)
    return value
