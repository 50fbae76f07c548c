"""Names of places in a compiled program: numbers that `compile_program` gives, never addresses.

They mean the same in another process and in a file, so that what is keyed by them can be sent and kept."""

from __future__ import annotations

from typing import NamedTuple


class SiteKey(NamedTuple):
    """The `step` of that number at a `time` step of its scan, 0 outside of scans."""

    step: int
    time: int


class OperandKey(NamedTuple):
    """The affine `form` of that number at a `time` step of its scan, 0 outside of scans."""

    form: int
    time: int
