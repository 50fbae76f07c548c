"""Matrix products."""

from __future__ import annotations

import string

from parsers.onnx.building.values import Val
from parsers.onnx.problems import Unsupported
from parsers.onnx.reading.call import Call
from parsers.onnx.reading.registry import onnx_op


@onnx_op("MatMul", newest=13)
def matmul(op: Call) -> Val:
    return op.b.matmul(op[0], op[1])


@onnx_op("Gemm", newest=13)
def gemm(op: Call) -> Val:
    """α·A'·B' + β·C"""
    b, x, y = op.b, op[0], op[1]
    if op.get_attr("transA", 0):
        x = b.transpose(x, (1, 0))
    if op.get_attr("transB", 0):
        y = b.transpose(y, (1, 0))
    alpha, beta = op.get_attr("alpha", 1.0), op.get_attr("beta", 1.0)
    product = b.matmul(x, b.mul(y, b.number(alpha, y)))
    if op.get(2) is None:
        return product
    return b.add(product, b.mul(op[2], b.number(beta, product)))


@onnx_op("Einsum", newest=28)
def einsum(op: Call) -> Val:
    """One or two operands without repeated letters, as transposes, a batched product and sums."""
    xs = op.tensors()
    equation = op.require("equation", str).replace(" ", "")
    left, arrow, out = equation.partition("->")
    terms = left.split(",")
    if len(xs) > 2 or len(terms) != len(xs):
        raise Unsupported(
            f"equation '{equation}' over {len(xs)} operands", "write it over one or two operands"
        )
    # "..." stands for the dimensions without a letter, the same ones in every operand
    rank = max(len(x.shape) - len(t.replace("...", "")) for x, t in zip(xs, terms, strict=True))
    dots = string.ascii_uppercase[:rank]
    if any("..." in t and len(x.shape) != len(t) - 3 + rank for x, t in zip(xs, terms, strict=True)):
        raise Unsupported(
            f"equation '{equation}' broadcasts its dots", "give all operands the same rank there"
        )
    terms = [t.replace("...", dots) for t in terms]
    if not arrow:  # letters that occur once, in alphabetical order
        letters = "".join(terms)
        out = ("..." if "..." in left else "") + "".join(
            sorted(c for c in set(letters) - set(dots) if letters.count(c) == 1)
        )
    out = out.replace("...", dots)
    if any(len(set(t)) != len(t) for t in (*terms, out)):
        raise Unsupported(
            f"equation '{equation}' repeats a letter in one operand", "take the diagonal another way"
        )
    if len(xs) == 1:
        kept = [c for c in terms[0] if c in out]
        summed = op.b.sum(xs[0], [k for k, c in enumerate(terms[0]) if c not in out])
        return op.b.transpose(summed, [kept.index(c) for c in out])
    return _pair(op, terms, out, xs)


def _pair(op: Call, terms: list[str], out: str, xs: list[Val]) -> Val:
    b = op.b
    for k in range(2):  # letters of one operand alone are summed first
        alone = [i for i, c in enumerate(terms[k]) if c not in out and c not in terms[1 - k]]
        xs[k] = b.sum(xs[k], alone)
        terms[k] = "".join(c for i, c in enumerate(terms[k]) if i not in alone)
    first, second = terms
    sizes = dict(zip(first + second, xs[0].shape + xs[1].shape, strict=True))
    batch = [c for c in first if c in second and c in out]
    inner = [c for c in first if c in second and c not in out]
    rows, columns = [c for c in first if c not in second], [c for c in second if c not in first]

    def size(letters: list[str]) -> int:
        total = 1
        for c in letters:
            total *= sizes[c]
        return total

    def arrange(x: Val, term: str, *groups: list[str]) -> Val:
        x = b.transpose(x, [term.index(c) for group in groups for c in group])
        return b.reshape(x, [sizes[c] for c in batch] + [size(g) for g in groups[1:]])

    product = b.matmul(
        arrange(xs[0], first, batch, rows, inner), arrange(xs[1], second, batch, inner, columns)
    )
    product = b.reshape(product, [sizes[c] for c in (*batch, *rows, *columns)])
    order = [*batch, *rows, *columns]
    return b.transpose(product, [order.index(c) for c in out])
