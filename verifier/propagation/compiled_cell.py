"""One step of a backward pass through a cell, compiled where the cell is made for it.

Substituting through one time step is a handful of elementwise passes over large arrays and one matrix
product. `cell.c` does all the passes at once, row by row, and writes the operands' coefficients next to
each other, where the product wants them. The numbers are those of `RelaxedGate.pull` and `Coefficients`, with
fewer roundings or in another order, which every margin allows for. Nothing needs it: `BackwardPass` does the
same with torch operations, and always does where gradients flow, coefficients are recorded, on another
device, or without the library."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from relaxations.kernels.kernel import POINTER, SIZE, Functions, Kernel
from verifier.network.affine import AffineForm
from verifier.network.linear_maps import Diagonal, Identity, LinearMap
from verifier.network.program import Block, GateStep
from verifier.propagation.coefficients import stacked_table
from verifier.propagation.sites import RelaxedGate

WAITING, DIRECT, SCRATCH = range(3)  # the arrays that the code of a cell names

BLOCK = 1 << 20  # bytes of waiting coefficients between two products, so that they stay in the cache

TYPES = (torch.float64, torch.float32)


class Packed:
    """The planes of the gates of a cell at one time step, [B, 2k + 2, n] each, as `cell.c` reads them."""

    def __init__(self, relaxed: Sequence[RelaxedGate], dtype: torch.dtype) -> None:
        parts = [_rows(gate) for gate in relaxed]
        self.usable = all(t.dtype == dtype and t.device.type == "cpu" for t in parts)
        self.differentiable = any(t.requires_grad for t in parts)
        self.batch = max((t.shape[0] for t in parts), default=1)
        self.pointers = _pointers(parts)
        self.strides = _sizes([t[0].numel() if t.shape[0] > 1 else 0 for t in parts])
        self.parts = parts


def _rows(gate: RelaxedGate) -> Tensor:
    rows = [side for pair in zip(gate.middle, gate.minus_radius, strict=True) for side in pair]
    return torch.cat([*rows, gate.middle_offset.mT, gate.minus_radius_offset.mT], 1)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """`table` [k, Σ sizes] of the maps of k waiting coefficients from `place` on to inputs `reached`, each
    (index, place, size)."""

    place: int
    table: Tensor
    reached: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True, eq=False)
class CompiledCell:
    """One time step of a block, from coefficients of its outputs to those of its inputs.

    `gates` in the order in which they are passed; `products` of the dense maps, over parts of the `waiting`
    coefficients; `direct` inputs that gates read as they are, (index, place, size), and `span` their entries.
    """

    gates: tuple[GateStep, ...]
    inputs: int
    states: int
    dtype: torch.dtype
    waiting: int
    products: tuple[Product, ...]
    direct: tuple[tuple[int, int, int], ...]
    span: int
    scratch: int
    code: Any
    scales: tuple[Tensor, ...]
    scale_pointers: Any

    def takes(self, planes: Packed, given: Sequence[Tensor], constant: Tensor) -> bool:
        """Whether the tensors are for `cell.c`: on the CPU, of one type, and no gradient is wanted."""
        return (
            planes.usable
            and all(A.dtype == self.dtype and A.shape[1] == constant.shape[1] for A in given)
            and constant.dtype == torch.float64
            and not (
                torch.is_grad_enabled()
                and (planes.differentiable or any(t.requires_grad for t in (constant, *given)))
            )
        )

    def step(
        self, planes: Packed, given: Sequence[Tensor], constant: Tensor, space: Workspace
    ) -> tuple[list[Tensor | None], Tensor]:
        """Coefficients [B or 1, R, n] of the block's outputs that are given and the constant [B or 1, R, 1]
        ↦ coefficients of its inputs [B, R, n], None where they are zero, and the constant [B, R, 1].
        Those of states lie in `space`."""
        given = [A if A.stride(-1) == 1 else A.contiguous() for A in given]
        batch = max(planes.batch, constant.shape[0], *(A.shape[0] for A in given))
        rows, like = constant.shape[1], given[0]
        total = batch * rows
        constant = constant.contiguous()
        after = constant.new_empty(batch, rows, 1)
        space.turn()
        # several threads share a product the better the larger it is: all rows at once
        block = total if torch.get_num_threads() > 1 else BLOCK // (self.waiting * like.itemsize)
        block = max(1, min(total, block))
        waiting = space.brief("waiting", block, self.waiting, like)
        direct = space.lasting("direct", total, self.span, like)
        scratch = space.brief("scratch", 1, self.scratch, like)
        strides = [s for A in given for s in (A.stride(0) if A.shape[0] > 1 else 0, A.stride(1))]
        arrays = Arrays(given, constant, after, waiting, direct, scratch, _pointers(given), _sizes(strides))
        found: list[Tensor | None] = [None] * self.inputs

        products = [
            space.lasting(f"product {k}", total, product.table.shape[1], like)
            for k, product in enumerate(self.products)
        ]
        for first in range(0, total, block):
            last = min(first + block, total)
            CELL(self, planes, arrays, first, last)
            for product, into in zip(self.products, products, strict=True):
                place, size = product.place, len(product.table)
                torch.mm(waiting[: last - first, place : place + size], product.table, out=into[first:last])

        def add(index: int, A: Tensor) -> None:
            held = found[index]
            found[index] = A if held is None else held.add_(A)

        for product, into in zip(self.products, products, strict=True):
            for index, place, size in product.reached:
                add(index, into[:, place : place + size])
        for index, place, size in self.direct:
            add(index, direct[:, place : place + size])
        return [
            None if A is None else (A if k < self.states else A.clone()).view(batch, rows, -1)
            for k, A in enumerate(found)
        ], after


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """What a cell reads and writes: the coefficients `given` [B or 1, R, n] and the constants [B or 1, R, 1]
    before and `after`; and, a row each, of coefficients that wait for a product, of those that inputs get
    directly, and of the gates' outputs, one row of `scratch`."""

    given: list[Tensor]
    constant: Tensor
    after: Tensor
    waiting: Tensor
    direct: Tensor
    scratch: Tensor
    pointers: Any  # of the given ones, for C
    strides: Any


def _cell_in_c(
    functions: Functions, cell: CompiledCell, planes: Packed, arrays: Arrays, first: int, last: int
) -> bool:
    """By `cell.c`."""
    before, waiting, direct = arrays.constant, arrays.waiting, arrays.direct
    rows = before.shape[1]
    functions[TYPES.index(cell.dtype)](
        cell.code,
        rows,
        first,
        last,
        arrays.pointers,
        arrays.strides,
        planes.pointers,
        planes.strides,
        cell.scale_pointers,
        before.data_ptr(),
        rows if before.shape[0] > 1 else 0,
        arrays.after.data_ptr(),
        waiting.data_ptr(),
        waiting.stride(0),
        direct.data_ptr(),
        direct.stride(0),
        arrays.scratch.data_ptr(),
    )
    return True


def _cell(cell: CompiledCell, planes: Packed, arrays: Arrays, first: int, last: int) -> bool:
    """The reference: rows `first` to `last` of B·R through the code of the cell."""
    batch, count, _ = arrays.after.shape
    instance, row = torch.arange(first, last) // count, torch.arange(first, last) % count
    outputs = arrays.scratch.new_empty(last - first, cell.scratch)
    places = {WAITING: arrays.waiting[: last - first], DIRECT: arrays.direct[first:last], SCRATCH: outputs}
    code = iter(cell.code)

    def send(value: Tensor) -> None:
        for _ in range(next(code)):
            where, place, scale, adds = (next(code) for _ in range(4))
            into = places[where][:, place : place + value.shape[1]]
            part = value if scale < 0 else value * cell.scales[scale]
            into.copy_(into + part if adds else part)

    for A in arrays.given[: next(code)]:
        next(code)  # the size, which A has
        send(A.expand(batch, -1, -1)[instance, row])
    constant = arrays.constant.expand(batch, -1, -1)[instance, row, 0]
    for part in planes.parts[: next(code)]:
        plane = part.expand(batch, -1, -1)[instance]
        size, arity, place = (next(code) for _ in range(3))
        A = outputs[:, place : place + size]
        for k in range(arity):
            send(A * plane[:, 2 * k] + A.abs() * plane[:, 2 * k + 1])
        constant = constant + (A * plane[:, -2] + A.abs() * plane[:, -1]).sum(-1)
    arrays.after.view(-1)[first:last] = constant
    return True


_ARGUMENTS = [POINTER, SIZE, SIZE, SIZE, *[POINTER] * 6, SIZE, POINTER, POINTER, SIZE, POINTER, SIZE, POINTER]
CELL = Kernel(
    "cell", _cell, _cell_in_c, {"verifier_cell_double": _ARGUMENTS, "verifier_cell_float": _ARGUMENTS}
)


def compiled_cell(block: Block, given: tuple[bool, ...]) -> CompiledCell | None:
    """The compiled cell of `block` from the outputs that are `given`; None where the kernel is not in use
    (the plain pass is the better one in torch), or the block has more than gates whose operands read its
    inputs by matrices and everything else entry by entry."""
    if not any(given) or CELL.bound() is None:
        return None
    try:
        return _Layout(block, given).cell()
    except _Unsuited:
        return None


class _Unsuited(Exception):
    """There are no words in the code of a cell for a form of the block."""


class _Layout:
    """Gives every value that gets coefficients its place, and writes the code."""

    def __init__(self, block: Block, given: tuple[bool, ...]) -> None:
        self._block = block
        self._outputs = [form for form, wanted in zip(block.outputs, given, strict=False) if wanted]
        reached = {name for form in self._outputs for name in form.terms}
        gates = []
        for step in reversed(block.steps):
            if not isinstance(step, GateStep):
                raise _Unsuited
            if step.output in reached:
                gates.append(step)
                reached.update(name for form in step.operands for name in form.terms)
        self._gates = tuple(gates)
        operands = [form for step in gates for form in step.operands]
        dense = {form.number: form for form in operands if form.dense}
        self._groups: dict[tuple[str, ...], list[AffineForm]] = {}  # by the inputs that they read
        for form in dense.values():
            self._groups.setdefault(tuple(form.dense), []).append(form)
        read_by_matrices = {name for group in self._groups for name in group}
        if not read_by_matrices or not read_by_matrices <= set(block.inputs):
            raise _Unsuited
        if any(form.dense or form.has_bias for form in self._outputs):
            raise _Unsuited
        light = {name for form in (*self._outputs, *operands) for name in form.light}
        direct = [name for name in block.inputs if name in light]
        self._waiting = _places((form.number, form.size) for group in self._groups.values() for form in group)
        self._direct = _places((name, block.variables[name]) for name in direct)
        self._scratch = _places((step.output, step.size) for step in gates)
        self._scales: list[Tensor] = []
        self._written: set[tuple[int, int]] = set()

    def cell(self) -> CompiledCell:
        block, size, index = self._block, self._block.variables, self._block.inputs.index
        products = []
        for forms in self._groups.values():
            stacked = stacked_table(block.inputs, forms)
            columns = _places(zip(stacked.reached, stacked.widths, strict=True)).items()
            into = tuple((index(name), place, size[name]) for name, place in columns)
            products.append(Product(self._waiting[forms[0].number], stacked.table.T.contiguous().T, into))
        code = [len(self._outputs)]
        for form in self._outputs:
            code += [form.size, *self._destinations(form)]
        code.append(len(self._gates))
        for step in self._gates:
            code += [step.size, len(step.operands), self._scratch[step.output]]
            for form in step.operands:
                code += self._destinations(form)
        return CompiledCell(
            self._gates,
            len(block.inputs),
            block.states,
            products[0].table.dtype,
            sum(len(product.table) for product in products),
            tuple(products),
            tuple((index(name), place, size[name]) for name, place in self._direct.items()),
            sum(size[name] for name in self._direct),
            sum(step.size for step in self._gates),
            _sizes(code),
            tuple(self._scales),
            _pointers(self._scales),
        )

    def _destinations(self, form: AffineForm) -> list[int]:
        found = [] if not form.dense else [*self._written_to(WAITING, self._waiting[form.number], -1)]
        for name, linear_map in form.light.items():
            where = DIRECT if name in self._direct else SCRATCH
            place = (self._direct if where == DIRECT else self._scratch)[name]
            found += self._written_to(where, place, self._scale(linear_map))
        return [len(found) // 4, *found]

    def _written_to(self, where: int, place: int, scale: int) -> tuple[int, int, int, int]:
        adds = (where, place) in self._written
        self._written.add((where, place))
        return where, place, scale, int(adds)

    def _scale(self, linear_map: LinearMap) -> int:
        if isinstance(linear_map, Identity):
            return -1
        if not isinstance(linear_map, Diagonal):
            raise _Unsuited
        self._scales.append(linear_map.entries.contiguous())
        return len(self._scales) - 1


def _places(sizes: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    """Places one after the other for pairs of a name and a size."""
    places: dict[Any, int] = {}
    total = 0
    for name, size in sizes:
        places[name] = total
        total += size
    return places


def _pointers(tensors: Sequence[Tensor]) -> Any:
    return (POINTER * len(tensors))(*(t.data_ptr() for t in tensors))


def _sizes(values: Sequence[int]) -> Any:
    return (SIZE * len(values))(*values)


PADDING = 16  # entries between rows: a power of two apart, they would fall into the same sets of a cache


class Workspace:
    """Memory that the time steps of compiled cells write to in turn, so that it is not asked for each time.

    Who owns what: coefficients of states that `CompiledCell.step` returns belong to the workspace, which
    overwrites them at the next `turn` but one. A step may be given those of the step before it. Whoever keeps
    them longer, or hands them to torch operations that may return them as they are, keeps `released(A)`.
    Each row is contiguous, two need not be."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}  # memory, and the part last taken
        self._turn = 0

    def turn(self) -> None:
        self._turn = 1 - self._turn

    def lasting(self, name: str, rows: int, width: int, like: Tensor) -> Tensor:
        """[rows, width], until the next turn but one."""
        return self._take((name, self._turn), rows, width, like)

    def brief(self, name: str, rows: int, width: int, like: Tensor) -> Tensor:
        """[rows, width], until it is asked for again."""
        return self._take((name, 2), rows, width, like)

    def released(self, A: Tensor) -> Tensor:
        """A, or a copy where it lies in here."""
        place = A.untyped_storage().data_ptr()
        inside = any(held.untyped_storage().data_ptr() == place for held, _ in self._held.values())
        return A.clone() if inside else A

    def _take(self, key: tuple[str, int], rows: int, width: int, like: Tensor) -> Tensor:
        memory, rows_of_it = self._held.get(key, (None, None))
        if rows_of_it is not None and rows_of_it.shape == (rows, width) and rows_of_it.dtype == like.dtype:
            return rows_of_it
        stride = width + PADDING if width % 64 == 0 else width
        if memory is None or memory.numel() < rows * stride or memory.dtype != like.dtype:
            memory = like.new_empty(rows * stride)
        rows_of_it = memory[: rows * stride].view(rows, stride)[:, :width]
        self._held[key] = memory, rows_of_it
        return rows_of_it
