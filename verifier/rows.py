"""Records of equally long tensors: select rows of all of them, or join two records."""

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
