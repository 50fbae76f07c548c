"""Records of equally long tensors: select or replace rows of all of them, or join two records."""

from __future__ import annotations

from dataclasses import fields
from typing import Self

import torch
from torch import Tensor


class Rows:
    """Base of dataclasses all of whose fields are tensors [N, ..]."""

    __slots__ = ()

    def select(self, indices: Tensor) -> Self:
        """The rows at `indices`, copied."""
        return type(self)(*(getattr(self, field.name)[indices] for field in fields(self)))  # type: ignore[arg-type]

    def join(self, other: Self) -> Self:
        """The rows of this record, then those of `other`."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return type(self)(*(torch.cat(pair) for pair in pairs))

    def put(self, indices: Tensor, other: Self) -> Self:
        """With the rows of `other` at `indices`."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))  # type: ignore[arg-type]
        return type(self)(*(mine.index_copy(0, indices, theirs) for mine, theirs in pairs))
