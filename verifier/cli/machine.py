"""From options to `Settings`: the device, the precision, the threads, the memory."""

from __future__ import annotations

from verifier.cli.options import Device, Precision
from verifier.verify import Settings


def settings(
    device: Device,
    dtype: Precision = Precision.float64,
    threads: int = 1,
    memory: int = 2048,
    seed: int = 0,
) -> Settings:
    """Prepare torch and return the settings of this run. Raises `BadInput` where the machine cannot do it."""
    import torch

    from parsers.errors import BadInput

    if threads < 1:
        raise BadInput(f"--threads {threads}: give at least 1")
    torch.set_num_threads(threads)
    if memory < 1:
        raise BadInput(f"--memory {memory}: give at least 1 (MiB)")
    if seed < 0:
        raise BadInput(f"--seed {seed}: give a number from 0 up")
    present = torch.cuda.is_available()
    if device is Device.cuda and not present:
        raise BadInput(
            f"--device cuda: torch {torch.__version__} sees no CUDA device; use --device cpu, or install"
            " a CUDA build of torch on a machine with a GPU"
        )
    chosen = "cuda" if present and device is not Device.cpu else "cpu"
    return Settings(dtype=dtype.value, device=chosen, memory=memory, seed=seed)
