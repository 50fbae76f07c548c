"""From options to `Settings`: the device, the precision, the threads, the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from verifier.cli import options

if TYPE_CHECKING:
    from verifier.problem.settings import Settings


@dataclass(frozen=True, slots=True)
class Machine:
    """The options that say where and how bounds are computed."""

    device: options.DeviceName = options.Device.auto
    dtype: options.DtypeName = options.Precision.float64
    threads: options.Threads = 1
    memory: options.Memory = 2048
    seed: options.Seed = 0

    def check(self) -> Machine:
        """This, or `BadInput` for numbers that make no sense; nothing heavy is imported."""
        from parsers.errors import BadInput

        if self.threads < 1:
            raise BadInput(f"--threads {self.threads}: give at least 1")
        if self.memory < 1:
            raise BadInput(f"--memory {self.memory}: give at least 1 (MiB)")
        if self.seed < 0:
            raise BadInput(f"--seed {self.seed}: give a number from 0 up")
        return self

    def settings(self) -> Settings:
        """Prepare torch and return the settings of this run. Raises `BadInput` where the machine cannot."""
        import torch

        from parsers.errors import BadInput
        from verifier.problem.settings import Settings

        self.check()
        torch.set_num_threads(self.threads)
        present = torch.cuda.is_available()
        if self.device is options.Device.cuda and not present:
            raise BadInput(
                f"--device cuda: torch {torch.__version__} sees no CUDA device; use --device cpu, or install"
                " a CUDA build of torch on a machine with a GPU"
            )
        chosen = "cuda" if present and self.device is not options.Device.cpu else "cpu"
        return Settings(dtype=self.dtype.value, device=chosen, memory=self.memory, seed=self.seed)
