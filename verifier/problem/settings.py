"""How hard to try, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

DTYPES: Mapping[str, torch.dtype] = {"float64": torch.float64, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class Settings:
    """How hard to try, and where.

    `lookback`: time steps that a backward pass goes back in a scan, where it ends in linear bounds of the
    states (see verifier.propagation.lookback); by default all of a scan of up to LONG time steps, after FEW
    have been tried if it has more than MANY, and NEAR of a longer one (see verifier.proof.prover).
    `deployed`: bounds also cover the file's own float32 rounding in onnxruntime (see
    verifier.network.rounding). `memory` in MiB: as many instances are bounded together as are estimated to
    fit (see verifier.proof.memory), one at least."""

    dtype: str = "float64"
    device: str = "cpu"
    memory: int = 2048
    deployed: bool = True
    slope_steps: int = 40
    lookback: int | None = None
    attack_restarts: int = 4
    attack_steps: int = 40
    attack_rows: int = 128
    seed: int = 0
