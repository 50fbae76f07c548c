"""Memory that the steps of a compiled walk share."""

from __future__ import annotations

from torch import Tensor

PADDING = 16  # entries between rows: a power of two apart, they would fall into the same sets of a cache


class Workspace:
    """Memory that the steps of a walk write to in turn, so that it is not asked for anew in every step: what
    a step has returned is overwritten by the next but one. Each row is contiguous, two need not be."""

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
