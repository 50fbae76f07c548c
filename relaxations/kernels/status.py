"""Whether the compiled kernels are in use, for `recert --version`, `inspect`, reports and benchmarks.

    from relaxations.kernels.status import kernel_status

imports no torch and takes a few milliseconds."""

from __future__ import annotations

from dataclasses import dataclass

from relaxations.kernels.library import library


@dataclass(frozen=True)
class KernelStatus:
    """The state of this process; `str` makes one line of it, and `dataclasses.asdict` an object for JSON.

    `in_use`        the library with the functions in C is open; else the reference in torch runs instead.
    `reason`        why it is not in use, with the remedy; empty where it is.
    `library`       its path, empty where none is in use.
    `instructions`  the processor's set of them for which its functions run: "x86-64-v3" (AVX2), "baseline";
                    empty where none is in use.
    `build`         the hash of the C sources, with which the library agrees."""

    in_use: bool
    reason: str
    library: str
    instructions: str
    build: str

    def __str__(self) -> str:
        if self.in_use:
            return f"compiled kernels: in use ({self.instructions}, build {self.build})"
        return f"compiled kernels: not in use ({self.reason})"


def kernel_status() -> KernelStatus:
    """What was found of the compiled kernels; opens the library if nobody has yet. It never raises: with
    RECERT_KERNELS=require a missing library is an error (`relaxations.errors.KernelsRequired`, one
    line) where a kernel is first called."""
    found = library()
    return KernelStatus(
        found.handle is not None,
        found.reason,
        "" if found.path is None else str(found.path),
        found.instructions,
        found.build,
    )
